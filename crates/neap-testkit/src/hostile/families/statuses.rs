//! What if the status is odd, or comes in an order, at a rate, above a load or in one place alone?

use crate::reply::{Reply, Then};

use super::super::call::Call;

pub(super) fn reply(call: &Call<'_>) -> Option<Reply> {
    let (case, rest) = call.case.split_once('/').unwrap_or((call.case, ""));
    Some(match case {
        "seq" => in_turn(call, rest),
        "rate" => at_a_rate(call),
        "cap" => {
            let is_over = call.asked.in_flight as u64 > call.number("n", 8);
            if is_over { Reply::status(502) } else { page() }
        }
        "flap" => {
            let period = call.number("period", 10).max(1);
            let is_down = (call.asked.at().as_secs() / period) % 2 == 1;
            if is_down { Reply::status(502) } else { page() }
        }
        "edge502" if rest.starts_with("protected") => Reply::status(502),
        "edge502" => page(),
        "103" => Reply::raw("HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n")
            .and("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
            .then(Then::KeepAlive),
        "1xx" => Reply::raw("")
            .and_times("HTTP/1.1 100 Continue\r\n\r\n", call.number("n", 1000))
            .and("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
            .then(Then::KeepAlive),
        "204body" => Reply::raw("HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\nhello"),
        code => status(call, code)?,
    })
}

fn page() -> Reply {
    Reply::html("fine", [""; 0])
}

/// Any number as a status, also one that has no place in a status line.
fn status(call: &Call<'_>, code: &str) -> Option<Reply> {
    let _: i64 = code.parse().ok()?;
    let mut head = format!("HTTP/1.1 {code} Hostile\r\n");
    if let Some(after) = call.text("ra") {
        let value = match after.as_str() {
            "date" => "Fri, 31 Dec 2100 23:59:59 GMT",
            "past" => "Thu, 01 Jan 1970 00:00:00 GMT",
            "bad" => "soon, I promise",
            "neg" => "-10",
            "huge" => "1000000000000000000000000",
            seconds => seconds,
        };
        head += &format!("retry-after: {value}\r\n");
    }
    if call.has("ps") {
        head += "proxy-status: edge.example; error=connection_refused\r\n";
    }
    let has_no_body = code == "304" || code == "204" || code.starts_with('1');
    let body = "h".repeat(call.small("body", 0));
    let length = match has_no_body {
        true => String::new(),
        false => format!("content-length: {}\r\n", body.len()),
    };
    Some(Reply::raw(format!("{head}{length}\r\n{body}")))
}

/// One status after the other, the last one from then on.
fn in_turn(call: &Call<'_>, codes: &str) -> Reply {
    let codes: Vec<u16> = codes
        .split(',')
        .filter_map(|code| code.parse().ok())
        .collect();
    let turn = usize::try_from(call.turn()).unwrap_or(usize::MAX);
    match codes.get(turn).or(codes.last()) {
        None | Some(200) => page(),
        Some(code) => Reply::status(*code),
    }
}

/// So many a second of a host, and 429 to the others.
fn at_a_rate(call: &Call<'_>) -> Reply {
    let second = call.asked.at().as_secs();
    let so_far = call.shared.in_second(&call.host(), second);
    if so_far > call.number("ok", 20) {
        Reply::status(429)
    } else {
        page()
    }
}
