//! What if the answer breaks the rules of HTTP/1.1 by which it begins and ends?

use crate::reply::{Reply, Then};

use super::super::call::Call;

const OK: &str = "HTTP/1.1 200 OK\r\n";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";

pub(super) fn reply(call: &Call<'_>) -> Option<Reply> {
    let head = |fields: &str, body: &str| Reply::raw(format!("{OK}{fields}\r\n\r\n{body}"));
    let chunks = |body: &str| Reply::raw(format!("{CHUNKED}{body}"));
    Some(match call.case {
        "lf-only" => Reply::raw("HTTP/1.1 200 OK\ncontent-length: 2\n\nok"),
        "no-version" => Reply::raw("200 OK\r\ncontent-length: 2\r\n\r\nok"),
        "http09" => Reply::raw("<html>hello from 1991</html>"),
        "garbage" => Reply::raw(noise(call, 4096)),
        "nul" => head("x-nul: a\0b\r\ncontent-length: 2", "ok"),
        "obs-fold" => head("x-fold: a\r\n  b\r\ncontent-length: 2", "ok"),
        "space-before-colon" => head("content-length : 2", "ok"),
        "no-colon" => head("this is no field\r\ncontent-length: 2", "ok"),
        "bare-cr" => head("x-cr: a\rb\r\ncontent-length: 2", "ok"),
        "no-status" => Reply::raw("HTTP/1.1\r\ncontent-length: 2\r\n\r\nok"),
        "bad-status" => Reply::raw("HTTP/1.1 2x7 OK\r\ncontent-length: 2\r\n\r\nok"),
        "long-reason" => Reply::raw("HTTP/1.1 200 ")
            .and("R".repeat(10_000))
            .and("\r\ncontent-length: 2\r\n\r\nok"),
        "cl-te" => head(
            "content-length: 100\r\ntransfer-encoding: chunked",
            "2\r\nok\r\n0\r\n\r\n",
        ),
        "cl-short" => head("content-length: 10", "ok"),
        "cl-long" => head("content-length: 2", "ok and more"),
        "two-cl" => head("content-length: 2\r\ncontent-length: 3", "ok!"),
        "same-cl" => head("content-length: 2\r\ncontent-length: 2", "ok"),
        "neg-cl" => head("content-length: -2", "ok"),
        "huge-cl" => head("content-length: 99999999999999999999999999", "ok"),
        "chunk-neg" => chunks("-2\r\nok\r\n0\r\n\r\n"),
        "chunk-overflow" => chunks("fffffffffffffffff\r\nok\r\n0\r\n\r\n"),
        "chunk-ext" => Reply::raw(format!("{CHUNKED}2;x="))
            .and_times("e".repeat(1024), call.number("bytes", 1 << 20) / 1024)
            .and("\r\nok\r\n0\r\n\r\n"),
        "chunk-no-final" => chunks("2\r\nok\r\n"),
        "te-order" => head("transfer-encoding: chunked, gzip", "2\r\nok\r\n0\r\n\r\n"),
        "te-unknown" => head("transfer-encoding: hostile", "ok"),
        // A second answer behind the first: who keeps the connection must not take it for that to the next request.
        "extra" => head("content-length: 2", "ok")
            .and("HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nsmuggled")
            .then(Then::KeepAlive),
        "tls" => Reply::raw(&b"\x15\x03\x01\x00\x02\x02\x0a"[..]),
        "h2-preface" => {
            Reply::raw(&b"\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0d\0\x04\0\0\xff\xff\0\x06\0\0@\0"[..])
        }
        "upgrade" => Reply::raw(
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: hostile\r\nconnection: upgrade\r\n\r\n??",
        ),
        "mutated" => Reply::raw(mutated(call)),
        _ => return None,
    })
}

/// Bytes that follow from the seed and the target.
fn noise(call: &Call<'_>, bytes: u64) -> Vec<u8> {
    (0..bytes).map(|n| call.dice(n) as u8).collect()
}

/// A good answer in which some bytes were changed, left out, doubled or moved: one of as many as `n` has values.
fn mutated(call: &Call<'_>) -> Vec<u8> {
    const GOOD: [&str; 5] = [
        "HTTP/1.1 200 OK\r\ncontent-type: text/html; charset=utf-8\r\ncontent-length: 38\r\n\r\n<title>t</title><a href='/ok'>ok</a>\r\n",
        "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ntransfer-encoding: chunked\r\n\r\n10\r\n<a href='/ok'>ok\r\n4;x=y\r\n</a>\r\n0\r\nx: y\r\n\r\n",
        "HTTP/1.1 302 Found\r\nlocation: /ok\r\nset-cookie: a=b; path=/; expires=Fri, 31 Dec 2100 23:59:59 GMT\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.0 502 Bad Gateway\r\nserver: nginx\r\nretry-after: 1\r\nproxy-status: p; error=dns_error; details=\"x\"\r\n\r\n<h1>502</h1>",
        "HTTP/1.1 200 OK\r\ncontent-type: application/xml\r\ncontent-encoding: gzip\r\ncontent-length: 20\r\n\r\n\x1f\x0b\x08\0\0\0\0\0\0\x03\x03\0\0\0\0\0\0\0\0\0",
    ];
    let pick = |salt: u64, among: usize| call.dice(salt) as usize % among.max(1);
    let mut bytes = GOOD[pick(0, GOOD.len())].as_bytes().to_vec();
    for change in 0..1 + pick(1, 6) as u64 {
        let at = pick(10 + change, bytes.len());
        let to = pick(20 + change, bytes.len());
        match pick(30 + change, 6) {
            0 => bytes[at] = call.dice(40 + change) as u8,
            1 => drop(bytes.remove(at)),
            2 => bytes.insert(at, call.dice(40 + change) as u8),
            3 => bytes.truncate(at),
            4 => bytes.swap(at, to),
            _ => {
                let part = bytes[at.min(to)..at.max(to)].to_vec();
                bytes.splice(at..at, part);
            }
        }
        if bytes.is_empty() {
            break;
        }
    }
    bytes
}
