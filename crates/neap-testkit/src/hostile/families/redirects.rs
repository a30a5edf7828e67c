//! Where do redirects lead that should not be followed, or not for long?

use crate::reply::Reply;

use super::super::call::Call;

pub(super) fn reply(call: &Call<'_>) -> Option<Reply> {
    let to = |target: String| Reply::redirect(302, target);
    Some(match call.case {
        "loop" => to("/r/pool".to_owned()),
        "pool" => to("/r/loop".to_owned()),
        "chain" => match call.number("n", 50) {
            0 => page(),
            n => to(format!("/r/chain?n={}", n - 1)),
        },
        "self-cookie" => match call.asked.header("cookie") {
            Some(cookie) if cookie.contains("pass=1") => page(),
            Some(_) | None => to(call.asked.target.clone()).header("set-cookie", "pass=1; path=/"),
        },
        "fan" => to(format!("/r/fan?n={:x}", call.dice(0))),
        "to" => to(lead(call)),
        "two-locations" => to("/ok".to_owned()).header("location", "/r/loop"),
        "no-location" => Reply::status(302).body("nowhere"),
        "crlf" => to("/ok%0d%0aset-cookie:%20sid=SECRET-c0".to_owned()),
        "long-location" => to(format!("/{}", "l".repeat(call.small("bytes", 2 << 20)))),
        "meta" => match call.number("n", 3) {
            0 => page(),
            n => refreshing(&format!("/r/meta?n={}", n - 1)),
        },
        "refresh" => Reply::ok("wait").header("refresh", "0; url=/ok"),
        code @ ("300" | "301" | "302" | "303" | "307" | "308") => {
            Reply::redirect(code.parse().ok()?, "/ok")
        }
        _ => return None,
    })
}

fn page() -> Reply {
    Reply::html("there", [""; 0])
}

/// The target of `to`: a URL as it is, in which `TRAP`, `SITE`, `FULL`, `REFUSING` and `TLS` stand
/// for ports.
fn lead(call: &Call<'_>) -> String {
    let ports = call.ports();
    let tls = ports.tls.get("good").copied().unwrap_or_default();
    let mut target = call.text("u").unwrap_or_default();
    for (word, port) in [
        ("TRAP", ports.trap),
        ("SITE", ports.site),
        ("FULL", ports.full),
        ("REFUSING", ports.refusing),
        ("TLS", tls),
    ] {
        target = target.replace(word, &port.to_string());
    }
    target
}

fn refreshing(target: &str) -> Reply {
    Reply::ok(format!(
        "<meta http-equiv=refresh content='0; url={target}'>"
    ))
    .header("content-type", "text/html")
}
