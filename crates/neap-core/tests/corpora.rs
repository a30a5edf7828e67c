//! Outside test suites for URLs and names, read from the folder that `NEAP_CORPORA` names.
//!
//! The suites are data of others and no part of this repository. Without the variable each test says
//! that it ran nothing; the crate's own cases stand beside its code.

// A test says what is wrong by panicking.
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use neap_core::CanonicalUrl;
use neap_core::canonical::resolve;
use serde_json::Value;
use url::Url;

/// The cases of one suite; none, and a line that says so, if there is no such file.
fn cases(name: &str) -> Vec<Value> {
    let path = std::env::var_os("NEAP_CORPORA")
        .map(|folder| PathBuf::from(folder).join(format!("{name}.jsonl")));
    let Some(text) = path.and_then(|path| std::fs::read_to_string(path).ok()) else {
        println!("{name}: not in NEAP_CORPORA, so only this crate's own cases ran");
        return Vec::new();
    };
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Fails if more than `percent` of a hundred cases differ.
fn judge(name: &str, ran: usize, differ: &[String], percent: usize) {
    println!("{name}: {} of {ran} pass", ran - differ.len());
    println!("{differ:#?}");
    assert!(differ.len() * 100 <= ran * percent, "{differ:#?}");
}

/// Names that the suite, as it was in 2017, wants to have passed on: no Punycode, which the standard refuses
/// since.
const NO_PUNYCODE: &str = "xn--pokxncvks";

#[test]
fn urls_of_the_web_platform_tests_are_read_as_browsers_read_them() {
    for is_http in [true, false] {
        let cases = cases("url_wpt");
        let cases = cases
            .iter()
            .filter(|case| (case["http"] == true) == is_http);
        let (mut ran, mut differ) = (0, Vec::new());
        for case in cases {
            let input = case["input"].as_str().unwrap();
            let url = match case["base"].as_str() {
                Some(base) => Url::parse(base).and_then(|base| resolve(&base, input)),
                None => Url::parse(input),
            };
            let found = url.ok().map(String::from);
            let expected = case["href"].as_str().filter(|_| case["failure"] != true);
            ran += 1;
            if found.as_deref() != expected {
                let is_meant = input.to_ascii_lowercase().contains(NO_PUNYCODE);
                assert!(
                    !is_http || is_meant,
                    "{input:?}: {found:?}, not {expected:?}"
                );
                differ.push(format!(
                    "{input:?} at {}: {found:?}, not {expected:?}",
                    case["base"]
                ));
            }
        }
        let name = if is_http {
            "url_wpt, http"
        } else {
            "url_wpt, other schemes"
        };
        judge(name, ran, &differ, if is_http { 2 } else { 10 });
    }
}

/// What crawler-commons' normaliser changes beyond the URL standard, and why it is left here.
const LEFT_AS_IT_IS: [(&str, &str); 11] = [
    (
        "unnecessary ../",
        "two slashes are a path of their own to many servers",
    ),
    (
        "without host (authority)",
        "only http and https are fetched, and those have a host",
    ),
    ("http:, http:/", "a URL without host is none"),
    ("#263", "a lone % is sent as browsers send it"),
    (
        "special characters in path/query",
        "the URL standard leaves ^ and | in a query",
    ),
    ("percent sign", "a lone % is sent as browsers send it"),
    (
        "#271",
        "a URL without scheme is a mistake that `neap check` tells of",
    ),
    ("less-used schemes", "only http and https are fetched"),
    ("file:/ URLs", "only http and https are fetched"),
    (
        "parameter",
        "the order of parameters and empty values mean something to some servers",
    ),
    ("empty (null) base URL", "a link is always on a page"),
];

#[test]
fn urls_of_crawler_commons_have_their_canonical_form() {
    let (mut ran, mut differ) = (0, Vec::new());
    for case in cases("url_crawler_commons") {
        let input = case["input"].as_str().unwrap();
        let expected = case["expected"].as_str();
        let found = match case["kind"].as_str().unwrap() {
            "normalise" => CanonicalUrl::parse(input).ok().map(String::from),
            _ => {
                let base = Url::parse(case["base"].as_str().unwrap());
                base.and_then(|base| base.join(input))
                    .ok()
                    .map(String::from)
            }
        };
        ran += 1;
        if found.as_deref() != expected {
            let why = case["why"].as_str().unwrap();
            let difference = format!("{input:?}: {found:?}, not {expected:?} ({why})");
            let is_meant = LEFT_AS_IT_IS.iter().any(|(part, _)| why.contains(part));
            assert!(is_meant, "{difference}");
            differ.push(difference);
        }
    }
    judge("url_crawler_commons", ran, &differ, 40);
}

#[test]
fn registrable_domains_are_those_of_the_public_suffix_list() {
    let (mut ran, mut differ) = (0, Vec::new());
    for case in cases("public_suffix") {
        let input = case["input"].as_str().unwrap_or_default();
        // Names are in ASCII here.
        let ascii = |name: &str| Url::parse(&format!("http://{name}/")).ok();
        let expected = case["registrable"].as_str().and_then(ascii);
        let expected = expected.as_ref().and_then(Url::domain);
        let url = CanonicalUrl::parse(&format!("http://{input}/")).ok();
        let domain = url
            .as_ref()
            .and_then(|url| url.url().domain())
            .and_then(psl::domain_str);
        ran += 1;
        if domain != expected {
            differ.push(format!(
                "{input:?}: {domain:?}, not {expected:?} ({})",
                case["why"]
            ));
        }
    }
    judge("public_suffix", ran, &differ, 3);
}

#[test]
fn international_names_are_written_as_unicode_says() {
    let (mut ran, mut differ) = (0, Vec::new());
    for case in cases("idna_uts46") {
        // What is blank is as in the column before it (UTS #46, section 8.2).
        let or = |column: &str, other: &str| match case[column].as_str().unwrap() {
            "" => other.to_owned(),
            text => text.to_owned(),
        };
        let source = case["source"].as_str().unwrap();
        let status = or("toAsciiNStatus", case["toUnicodeStatus"].as_str().unwrap());
        let (source, expected) = (
            unescaped(source),
            unescaped(&or("toAsciiN", &or("toUnicode", source))),
        );
        let is_valid = matches!(status.as_str(), "" | "[]");
        let is_name = source
            .chars()
            .all(|c| !"/?#@:[]\\%<>^|".contains(c) && !c.is_whitespace());
        if !is_valid || !is_name {
            continue;
        }
        let url = CanonicalUrl::parse(&format!("http://{source}/")).ok();
        let found = url.as_ref().and_then(|url| url.url().host_str());
        ran += 1;
        if found != Some(expected.as_str()) {
            differ.push(format!("{source:?}: {found:?}, not {expected:?}"));
        }
    }
    judge("idna_uts46", ran, &differ, 1);
}

/// A text with its `\\u` escapes replaced.
fn unescaped(text: &str) -> String {
    serde_json::from_str(&format!("\"{}\"", text.replace('"', "\\\"")))
        .unwrap_or_else(|_| text.to_owned())
}
