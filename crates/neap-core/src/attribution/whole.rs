//! Is it plain that an answer is whole and its host's own, so that nothing more need be asked?
//!
//! Most answers are. What would make one anything else is looked for where it would stand; whoever finds none of
//! it knows what [`attribute`] would say. Only where something is found is all of the evidence gathered.

use std::sync::LazyLock;

use http::HeaderMap;
use memchr::memmem::Finder;

use super::attribute;
use super::challenges::{CHALLENGES, Challenge};
use super::evidence::{Evidence, Fields, Reply};
use super::words::Attribution;
use crate::exchange::Exchange;
use crate::route::Way;

/// What is said of an answer of which this is plain; without reasons. `None` if it takes a closer look.
pub fn plainly_whole(exchange: &Exchange) -> Option<Attribution> {
    let answer = exchange.result.as_ref().ok()?;
    let is_plain = exchange.route.way == Way::Direct
        && (200..400).contains(&answer.status)
        && !is_of_wall(answer.status)
        && !answer.body.is_empty()
        && answer.headers.contains_key("content-type")
        && !answer.headers.contains_key("x-transformed-from")
        && !has_mark(&answer.headers)
        && !has_page(&answer.body);
    is_plain.then(|| WHOLE.clone())
}

/// What is said of any of them.
static WHOLE: LazyLock<Attribution> = LazyLock::new(|| {
    let mut headers = Fields::new();
    headers.push("content-type", "text/html");
    let answer = Reply {
        status: Some(200),
        headers: Some(headers),
        body: "a page".to_owned(),
        ..Reply::default()
    };
    let said = attribute(&Evidence {
        way: Some(Way::Direct),
        answer: Some(answer),
        ..Evidence::default()
    });
    Attribution {
        reasons: Vec::new(),
        ..said
    }
});

/// Whether there are walls that come with this very status.
fn is_of_wall(status: u16) -> bool {
    CHALLENGES
        .iter()
        .any(|wall| wall.statuses.contains(&status))
}

/// Walls that come with any status.
fn walls() -> impl Iterator<Item = &'static Challenge> {
    CHALLENGES.iter().filter(|wall| wall.statuses.is_empty())
}

/// Whether the header has a field of such a wall.
fn has_mark(headers: &HeaderMap) -> bool {
    let begins = |value: &[u8], prefix: &str| {
        let start = value.get(..prefix.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
    };
    let mut fields = walls().filter_map(|wall| wall.header);
    fields.any(|(name, prefix)| {
        let mut values = headers.get_all(name).iter();
        values.any(|value| begins(value.as_bytes().trim_ascii(), prefix))
    })
}

/// Of each of these walls that is known by its page alone, a phrase that is on it.
static PHRASES: LazyLock<Vec<Finder<'static>>> = LazyLock::new(|| {
    let by_page = walls().filter(|wall| wall.header.is_none());
    by_page
        .filter_map(|wall| wall.page.first().copied())
        .map(Finder::new)
        .collect()
});

/// Whether such a phrase is on the page. To look for each in a copy in lower case takes a tenth of the time of an
/// automaton for all: five searches that compare 32 bytes at once.
fn has_page(body: &[u8]) -> bool {
    let mut page = [0; Reply::MAX_BODY];
    let page = &mut page[..body.len().min(Reply::MAX_BODY)];
    page.copy_from_slice(&body[..page.len()]);
    page.make_ascii_lowercase();
    PHRASES.iter().any(|phrase| phrase.find(page).is_some())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::header::{HeaderName, HeaderValue};
    use proptest::prelude::*;

    use super::*;
    use crate::attribution::{Cause, Fault};
    use crate::exchange::{Answer, Timings};
    use crate::route::Route;

    fn exchange(status: u16, fields: &[(&'static str, &str)], body: Vec<u8>) -> Exchange {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(
                HeaderName::from_static(name),
                HeaderValue::from_str(value).unwrap(),
            );
        }
        let body = Bytes::from(body);
        Exchange {
            result: Ok(Answer {
                status,
                version: http::Version::HTTP_11,
                headers,
                payload: body.clone(),
                body,
                address: None,
            }),
            timings: Timings::default(),
            sent: HeaderMap::new(),
            route: Route::default(),
        }
    }

    #[test]
    fn an_ordinary_page_is_plainly_whole() {
        let page = exchange(200, &[("content-type", "text/html")], b"<p>hi".to_vec());
        let said = plainly_whole(&page).unwrap();
        assert_eq!((said.fault, said.cause), (Fault::Nobody, Cause::Ok));
    }

    #[test]
    fn every_wall_that_may_come_with_a_200_takes_a_closer_look() {
        for wall in CHALLENGES {
            let body = wall.page.join(" and ").to_ascii_uppercase();
            let mut fields = vec![("content-type", "text/html")];
            fields.extend(wall.header);
            for status in [200, 202, 302] {
                let page = exchange(status, &fields, format!("x {body}").into_bytes());
                let is_wall = attribute(&Evidence::from(&page)).cause == wall.cause;
                assert!(
                    !is_wall || plainly_whole(&page).is_none(),
                    "{} with {status}",
                    wall.vendor
                );
            }
        }
    }

    fn any_field() -> impl Strategy<Value = (&'static str, &'static str)> {
        let marks: Vec<_> = CHALLENGES.iter().filter_map(|wall| wall.header).collect();
        let others = vec![
            ("content-type", "text/html"),
            ("content-type", ""),
            ("x-transformed-from", "HTTP/0.9"),
            ("content-length", "0"),
            ("location", "/"),
            ("server", "cloudflare"),
            ("via", "1.1 squid"),
            ("x-squid-error", "ERR_DNS_FAIL 0"),
            ("proxy-status", "p; error=dns_error"),
            ("x-cache-error", "x"),
        ];
        prop::sample::select([marks, others].concat())
    }

    fn any_body() -> impl Strategy<Value = Vec<u8>> {
        let pages = CHALLENGES.iter().flat_map(|wall| wall.page);
        let words: Vec<_> = pages.map(|page| page.as_bytes().to_vec()).collect();
        let word = prop_oneof![
            prop::sample::select(words),
            prop::collection::vec(any::<u8>(), 0..40),
            Just(vec![b'x'; 4000]),
            Just(b"<html><body>".to_vec()),
        ];
        prop::collection::vec(word, 0..6).prop_map(|words| words.concat())
    }

    proptest! {
        #[test]
        fn a_closer_look_would_say_the_same(
            status in prop::sample::select(vec![200_u16, 201, 202, 204, 206, 226, 301, 304, 403, 502]),
            fields in prop::collection::vec(any_field(), 0..4),
            is_typed in any::<bool>(),
            body in any_body(),
        ) {
            let mut fields = fields;
            if is_typed {
                fields.push(("content-type", "text/html"));
            }
            let page = exchange(status, &fields, body);
            if let Some(said) = plainly_whole(&page) {
                let closer = attribute(&Evidence::from(&page));
                prop_assert_eq!(said, Attribution { reasons: Vec::new(), ..closer });
            }
        }
    }
}
