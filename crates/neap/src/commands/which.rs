//! Which host or URL is meant?
//!
//! A host may be written as a URL, as scheme, name and port, or as a bare name if only one host has it.
//! What is not known is answered with the nearest that is.

use neap_core::CanonicalUrl;
use neap_store::{HostSummary, Reader};

use crate::failure::Failure;
use crate::print::escape::{for_terminal, quoted};

/// Names that are looked through for one that is near.
const LOOKED_THROUGH: u32 = 10_000;
/// Names that are proposed.
const PROPOSED: usize = 3;
/// How alike two names must be to be proposed, by Jaro and Winkler; 1 is the same.
const ALIKE: f64 = 0.75;

/// Finds the host that a person means.
///
/// # Errors
/// It is no host, there is no such host, or there are several.
pub(super) async fn host(reader: &Reader, text: &str) -> Result<HostSummary, Failure> {
    let names = candidates(reader, text).await?;
    match &names[..] {
        [] => Err(unknown_host(reader, text).await?),
        [name] => {
            let gone = || Failure::error(format!("{} is gone", for_terminal(name)));
            reader.host(name).await?.ok_or_else(gone)
        }
        several => Err(Failure::usage(
            format!(
                "{} means several hosts: {}",
                quoted(text),
                several.join(", ")
            ),
            "write the scheme, and the port if it is not the usual one",
        )),
    }
}

/// The exact names of the hosts that a person means.
///
/// # Errors
/// As [`host`], for the first that is none.
pub(super) async fn hosts(reader: &Reader, texts: &[String]) -> Result<Vec<String>, Failure> {
    let mut names = Vec::with_capacity(texts.len());
    for text in texts {
        names.push(host(reader, text).await?.name);
    }
    Ok(names)
}

/// The hosts that a text may mean.
async fn candidates(reader: &Reader, text: &str) -> Result<Vec<String>, Failure> {
    let is_whole = text.contains("://");
    let whole = match is_whole {
        true => text.to_owned(),
        false => format!("http://{text}"),
    };
    let url = CanonicalUrl::parse(&whole).map_err(|error| {
        Failure::usage(
            format!("{} is no host: {error}", quoted(text)),
            "write a URL, or a name such as `shop.example` or `shop.example:8443`",
        )
    })?;
    let host = url.host();
    if !is_whole && url.url().port().is_none() {
        return Ok(reader.hosts_named(host.name()).await?);
    }
    let mut names = vec![host.as_str().to_owned()];
    if !is_whole {
        names.push(host.as_str().replacen("http://", "https://", 1));
    }
    let mut known = Vec::new();
    for name in names {
        if reader.host(&name).await?.is_some() {
            known.push(name);
        }
    }
    Ok(known)
}

/// What to say of a host that is not there.
async fn unknown_host(reader: &Reader, text: &str) -> Result<Failure, Failure> {
    let known = reader.host_names(LOOKED_THROUGH).await?;
    let near = nearest(text, &known);
    Ok(Failure::usage(
        format!("no host {} is in {}", quoted(text), reader.path().display()),
        proposal(&near, "`neap hosts` lists those that are"),
    ))
}

/// What to say of a URL that is not there.
///
/// # Errors
/// The store cannot be read.
pub(super) async fn unknown_url(reader: &Reader, url: &CanonicalUrl) -> Result<Failure, Failure> {
    let host = url.host();
    let known = reader.urls_of(host.as_str(), LOOKED_THROUGH).await?;
    if known.is_empty() {
        return unknown_host(reader, host.as_str()).await;
    }
    let near = nearest(url.as_str(), &known);
    Ok(Failure::usage(
        format!(
            "{} is in {} neither as a request nor as a link that was kept",
            quoted(url.as_str()),
            reader.path().display()
        ),
        proposal(
            &near,
            "`neap query \"SELECT url FROM requests\"` lists what is asked for; of links that are not, \
             a thousand for each job and reason are kept",
        ),
    ))
}

fn proposal(near: &[&str], otherwise: &str) -> String {
    if near.is_empty() {
        return otherwise.to_owned();
    }
    let near: Vec<_> = near.iter().map(|name| for_terminal(name)).collect();
    format!("did you mean {}?", near.join(" or "))
}

/// The known texts that are most alike, the nearest first.
fn nearest<'a>(text: &str, known: &'a [String]) -> Vec<&'a str> {
    let bare = |name: &str| {
        name.split_once("://")
            .map_or(name, |(_, rest)| rest)
            .to_owned()
    };
    let text = bare(text);
    let mut alike: Vec<(f64, &str)> = known
        .iter()
        .map(|name| (strsim::jaro_winkler(&text, &bare(name)), name.as_str()))
        .filter(|(score, _)| *score >= ALIKE)
        .collect();
    alike.sort_by(|a, b| b.0.total_cmp(&a.0));
    // Each round has the same names.
    let mut names: Vec<&str> = Vec::new();
    for (_, name) in alike {
        if names.len() < PROPOSED && !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_is_proposed_and_nothing_that_is_far() {
        let known = [
            "http://shop.example",
            "https://blog.test",
            "http://shop.example:81",
        ];
        let known = known.map(str::to_owned);
        assert_eq!(nearest("shpo.example", &known)[0], "http://shop.example");
        assert_eq!(
            nearest("https://shop.exmaple", &known)[0],
            "http://shop.example"
        );
        assert!(nearest("xyzzy", &known).is_empty());
        let rounds = [
            "http://a.example/1",
            "http://a.example/1",
            "http://a.example/2",
        ];
        let rounds = rounds.map(str::to_owned);
        assert_eq!(
            nearest("http://a.example/3", &rounds),
            ["http://a.example/1", "http://a.example/2"]
        );
    }
}
