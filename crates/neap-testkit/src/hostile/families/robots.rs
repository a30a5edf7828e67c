//! What does a host say to robots whose name asks for something odd?

use std::fmt::Write;

use crate::coding::Coding;
use crate::reply::{Reply, Then};

use super::super::call::Call;

/// What most of the odd files say, too: who reads them rightly leaves `/no` alone.
const RULES: &str = "user-agent: *\ndisallow: /no\n";

pub(super) fn reply(call: &Call<'_>) -> Reply {
    let host = call.host();
    let label = host.split('.').next().unwrap_or_default();
    let Some(case) = label.strip_prefix("robots-") else {
        return Reply::status(404);
    };
    let with = |more: String| Reply::text(format!("{RULES}{more}"));
    let delay = |value: &str| with(format!("crawl-delay: {value}\n"));
    match case {
        "huge" => Reply::raw(format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{RULES}",
            (500 << 20) + RULES.len()
        ))
        .and_times(
            "disallow: /x\n\n\n".repeat(1 << 10),
            (500 << 20) / (15 << 10) + 1,
        ),
        "endless" => Reply::endless(format!("{RULES}{}", "x".repeat(20_000))),
        "bom8" => Reply::text(format!("\u{feff}{RULES}")),
        "utf16le" => wide([0xff, 0xfe], u16::to_le_bytes),
        "utf16be" => wide([0xfe, 0xff], u16::to_be_bytes),
        "latin1" => Reply::text([&b"# caf\xe9 \xff\xfe\n"[..], RULES.as_bytes()].concat()),
        "nul" => Reply::text(format!("\0\0\r\n{}\0", RULES.replace('\n', "\r\n"))),
        "gzip-bomb" => bomb(call),
        "html" => Reply::html("We have no such file", ["/no"]),
        "empty" => Reply::text(""),
        "silent" => Reply::silent(),
        "reset" => Reply::raw("").then(Then::Reset),
        "r5" => Reply::redirect(301, format!("/r/chain?n={}", 4)),
        "r6" => Reply::redirect(301, format!("/r/chain?n={}", 30)),
        "loop" => Reply::redirect(301, "/robots.txt"),
        "cross" => Reply::redirect(301, format!("http://{}/robots.txt", call.at("robots-bom8"))),
        "groups" => with(many(20_000, |n, out| {
            writeln!(out, "user-agent: bot{n}\ndisallow: /{n}")
        })),
        "rules" => with(many(30_000, |n, out| writeln!(out, "disallow: /{n}*$"))),
        "stars" => with(format!("disallow: /{}a\n", "*".repeat(100_000))),
        _ => match (case.strip_prefix("delay-"), case.parse()) {
            (Some("neg"), _) => delay("-1"),
            (Some(value), _) => delay(value),
            (None, Ok(status)) => Reply::status(status),
            (None, Err(_)) => Reply::status(404),
        },
    }
}

fn wide(mark: [u8; 2], bytes: impl Fn(u16) -> [u8; 2]) -> Reply {
    let mut body = mark.to_vec();
    body.extend(RULES.encode_utf16().flat_map(bytes));
    Reply::text(body)
}

fn many(n: u32, mut write: impl FnMut(u32, &mut String) -> std::fmt::Result) -> String {
    let mut out = String::new();
    for n in 0..n {
        write(n, &mut out).expect("a text takes all");
    }
    out
}

/// The rules, and 64 MiB of empty lines behind them, as members that follow each other.
fn bomb(call: &Call<'_>) -> Reply {
    let lines = call
        .shared
        .once("a MiB of lines", || Coding::Gzip.encode(&[b'\n'; 1 << 20]));
    let rules = Coding::Gzip.encode(RULES.as_bytes());
    Reply::text([&rules[..], &lines.repeat(64)].concat()).header("content-encoding", "gzip")
}
