//! Replies from other projects' test suites, if the variable `NEAP_CORPORA` names their folder.

use std::path::PathBuf;

use data_encoding::{BASE64, HEXLOWER};
use neap_core::exchange::{Answer, Failure, FailureKind};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::support::*;

/// The cases of a file, or none, with a word about it, if the corpora are not here.
fn cases(file: &str) -> Vec<Value> {
    let Some(folder) = std::env::var_os("NEAP_CORPORA") else {
        eprintln!("NEAP_CORPORA is not set: {file} is skipped");
        return Vec::new();
    };
    let text = std::fs::read_to_string(PathBuf::from(folder).join(file)).unwrap();
    let cases: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    eprintln!("{file}: {} cases", cases.len());
    assert!(!cases.is_empty());
    cases
}

fn bytes(value: &Value) -> Vec<u8> {
    BASE64.decode(value.as_str().unwrap().as_bytes()).unwrap()
}

async fn replay(reply: Vec<u8>) -> Result<Answer, Failure> {
    fetch_raw(&fetcher(), reply).await.exchange.result
}

#[tokio::test]
async fn coded_bodies_of_scrapy() {
    for case in cases("compressed_scrapy.jsonl") {
        let file = case["file"].as_str().unwrap();
        let body = bytes(&case["body_b64"]);
        let mut reply = format!(
            "HTTP/1.1 200 OK\r\ncontent-encoding: {}\r\ncontent-length: {}\r\n\r\n",
            case["content_encoding"].as_str().unwrap(),
            body.len()
        )
        .into_bytes();
        reply.extend(body);
        let result = replay(reply).await;
        if case["bomb"] == true {
            assert_eq!(result.unwrap_err().kind, FailureKind::TooLarge, "{file}");
        } else if file.contains("truncated") || file.contains("unexpected-eof") {
            // curl keeps what it could decode; neap calls nothing complete that is not.
            assert_eq!(result.unwrap_err().kind, FailureKind::Decode, "{file}");
        } else {
            let digest = HEXLOWER.encode(&Sha256::digest(&result.unwrap().body));
            assert_eq!(
                digest,
                case["decoded_sha256_curl"].as_str().unwrap(),
                "{file}"
            );
        }
    }
}

/// curl's exit codes that say that the reply itself was no good: weird, partial, receive error, bad
/// coding, too large. Others are about options that this client does not have.
const REPLY_IS_BAD: [i64; 6] = [1, 8, 18, 56, 61, 100];
/// Those of them that say that something was missing or not decoded.
const REPLY_IS_CUT: [i64; 3] = [18, 56, 61];

/// Why neap differs from curl on purpose.
fn decision(reply: &[u8], result: &Result<Answer, Failure>) -> Option<&'static str> {
    match result {
        Err(failure) if failure.detail.starts_with("transfer coding other") => {
            Some("transfer codings are not asked for, so they are not undone either")
        }
        Err(_) if !reply.starts_with(b"HTTP/") => Some("HTTP/0.9 is not spoken"),
        Ok(_) if reply.len() > 50_000 => Some("headers may have 300 KiB, as in browsers"),
        Err(_) | Ok(_) => None,
    }
}

#[tokio::test]
async fn odd_replies_of_curl() {
    let cases = cases("http_replies_curl.jsonl");
    let mut decided = 0;
    let mut differ = Vec::new();
    for case in &cases {
        let exit = case["curl_exit"].as_i64().unwrap();
        let name = format!("{} {}", case["id"], case["name"]);
        let reply = bytes(&case["replies_b64"]["0"]);
        let result = replay(reply.clone()).await;
        let is_cut = REPLY_IS_CUT.contains(&exit);
        assert!(
            result.is_err() || !is_cut,
            "{name}: cut short and yet a success"
        );
        if result.is_err() == REPLY_IS_BAD.contains(&exit) {
            continue;
        }
        if let Some(why) = decision(&reply, &result) {
            eprintln!("{name}: {why}");
            decided += 1;
        } else {
            differ.push(format!("{name} (curl: {exit}): {result:?}"));
        }
    }
    let (all, agree) = (cases.len(), cases.len() - decided - differ.len());
    eprintln!("agrees with curl in {agree} of {all}, differs on purpose in {decided}, also in:");
    eprintln!("{}", differ.join("\n"));
    assert!(
        differ.len() * 20 <= all,
        "{} of {all} are not as in curl",
        differ.len()
    );
}

#[tokio::test]
async fn content_lengths_of_the_web_platform_tests() {
    let cases = cases("content_length_wpt.jsonl");
    let mut differ = Vec::new();
    for case in &cases {
        let header = case["header"].as_str().unwrap();
        let body = "x".repeat(42);
        let result =
            replay(format!("HTTP/1.1 200 OK\r\n{header}\r\n\r\n{body}").into_bytes()).await;
        let expected = case["body_bytes_read"].as_u64();
        let read = result.as_ref().ok().map(|answer| answer.body.len() as u64);
        if read != expected {
            differ.push(format!(
                "{header:?}: browsers {expected:?}, here {result:?}"
            ));
            let is_stricter = read.is_none();
            assert!(
                is_stricter || ALSO_ACCEPTED.contains(&header),
                "{header:?}: {result:?}"
            );
        }
    }
    let agree = cases.len() - differ.len();
    eprintln!(
        "agrees with browsers in {agree} of {}; not in:\n{}",
        cases.len(),
        differ.join("\n")
    );
    assert!(
        agree * 100 >= cases.len() * 65,
        "{agree} of {}",
        cases.len()
    );
}

/// Lengths that the client reads though browsers refuse: the two values are the same number.
const ALSO_ACCEPTED: [&str; 1] = ["Content-Length: 030, 30"];
