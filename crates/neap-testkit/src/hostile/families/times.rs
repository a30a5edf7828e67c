//! What if the answer is late, slow, or ends in the middle?

use std::time::Duration;

use crate::reply::{Reply, Then};

use super::super::call::Call;

/// A good answer that keeps its connection.
const GOOD: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

pub(super) fn reply(call: &Call<'_>) -> Option<Reply> {
    let every = || Duration::from_nanos(1_000_000_000 / call.number("bps", 1).max(1));
    let after = call.number("after", 100);
    let page = || Reply::text(vec![b's'; call.small("n", 10_000)]);
    Some(match call.case {
        "silent" => Reply::silent(),
        "slow-header" => Reply::ok("slow").drip_all(1, every()),
        "slow-body" => page().drip(1, every()),
        "stall" => page().stall_after(after),
        "rst" => page().reset_after(after),
        "fin" => page().cut_after(after),
        "half-close" => Reply::raw("HTTP/1.1 200 OK\r\n\r\nuntil the end"),
        // The connection is kept, and closed as the next request comes.
        "keepalive-lie" if call.asked.turn > 1 => Reply::hang_up(),
        "keepalive-lie" => Reply::text("kept"),
        // The good answer, and then one that nobody asked for.
        "late-408" => Reply::raw(GOOD)
            .and("HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
            .then(Then::Close),
        "latency" => {
            let jitter = call.number("jitter", 0);
            let more = if jitter == 0 {
                0
            } else {
                call.dice(1) % jitter
            };
            Reply::text("late").delay(Duration::from_millis(call.number("ms", 100) + more))
        }
        _ => return None,
    })
}
