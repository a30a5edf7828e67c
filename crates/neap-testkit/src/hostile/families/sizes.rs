//! What if a part of the answer is far too large, or made of far too many?

use crate::reply::{Reply, Then};

use super::super::call::Call;

/// What bodies and headers without end are made of.
const BLOCK_BYTES: u64 = 16 << 10;
const OK: &str = "HTTP/1.1 200 OK\r\n";

pub(super) fn reply(call: &Call<'_>) -> Option<Reply> {
    let block = "z".repeat(16 << 10);
    let blocks = |bytes: u64| bytes / BLOCK_BYTES;
    let most = call.most_bytes();
    Some(match call.case {
        "body" if call.has("chunked") => chunked(&block, blocks(call.number("n", 10 << 30))),
        "body" => {
            let n = call.number("n", 10 << 30);
            let rest = &block[..(n % BLOCK_BYTES) as usize];
            Reply::raw(format!(
                "{OK}content-type: text/plain\r\ncontent-length: {n}\r\n\r\n"
            ))
            .and_times(block.clone(), blocks(n))
            .and(rest.to_owned())
        }
        "endless" => chunked(&block, blocks(most)).then(Then::Reset),
        "headers" => Reply::raw(OK)
            .and_times("x-many: m\r\n", call.number("n", 10_000))
            .and("content-length: 0\r\n\r\n"),
        "header" => Reply::raw(format!("{OK}x-huge: "))
            .and_times(block.clone(), blocks(call.number("bytes", 10 << 20)))
            .and("\r\ncontent-length: 0\r\n\r\n"),
        "header-endless" => Reply::raw(OK)
            .and_times(format!("x-endless: {block}\r\n"), blocks(most))
            .then(Then::Reset),
        "status-line" => Reply::raw("HTTP/1.1 200 ")
            .and_times(block.clone(), blocks(call.number("bytes", 1 << 20)))
            .and("\r\ncontent-length: 0\r\n\r\n"),
        "trailers" => Reply::raw(format!(
            "{OK}transfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n"
        ))
        .and_times("x-trailer: t\r\n", call.number("n", 100_000))
        .and("\r\n"),
        "set-cookie" => {
            let value = "c".repeat(call.small("bytes", 8192));
            let cookie = format!("set-cookie: sid={value}; path=/\r\n");
            Reply::raw(OK)
                .and_times(cookie, call.number("n", 5000))
                .and("content-length: 0\r\n\r\n")
        }
        "empty" => Reply::text(""),
        // A size of a chunk is a number: it may begin with zeros, and need not end.
        "zeros" => Reply::raw(format!("{OK}transfer-encoding: chunked\r\n\r\n"))
            .and_times("0".repeat(1024), call.number("n", 1 << 20) / 1024)
            .and("2\r\nok\r\n0\r\n\r\n"),
        "tiny-chunks" => Reply::raw(format!("{OK}transfer-encoding: chunked\r\n\r\n"))
            .and_times("1\r\nz\r\n".repeat(1024), call.number("n", 1 << 20) / 1024)
            .and("0\r\n\r\n"),
        _ => return None,
    })
}

fn chunked(block: &str, times: u64) -> Reply {
    Reply::raw(format!(
        "{OK}content-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n"
    ))
    .and_times(format!("{BLOCK_BYTES:x}\r\n{block}\r\n"), times)
    .and("0\r\n\r\n")
}
