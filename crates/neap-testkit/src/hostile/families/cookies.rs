//! What if cookies are for others, too many, or too large?

use crate::reply::Reply;

use super::super::call::Call;

pub(super) fn reply(call: &Call<'_>) -> Option<Reply> {
    let of_parameter = |name: &str, as_written: &str| {
        let value = call.text(name);
        value
            .map(|value| format!("; {as_written}={value}"))
            .unwrap_or_default()
    };
    Some(match call.case {
        "set" => {
            let name = call.text("name").unwrap_or_else(|| "sid".to_owned());
            let value = call
                .text("value")
                .unwrap_or_else(|| format!("SECRET-{:x}", call.dice(0)));
            let domain = of_parameter("domain", "domain");
            let path = of_parameter("path", "path");
            Reply::html("set", ["/k/echo"])
                .header("set-cookie", format!("{name}={value}{domain}{path}"))
        }
        "echo" => Reply::text(call.asked.header("cookie").unwrap_or("none").to_owned()),
        "many" => {
            let value = "c".repeat(call.small("bytes", 10));
            let n = call.number("n", 200).min(5000);
            (0..n).fold(Reply::html("many", ["/k/echo"]), |reply, n| {
                reply.header("set-cookie", format!("c{n}={value}; path=/"))
            })
        }
        _ => return None,
    })
}
