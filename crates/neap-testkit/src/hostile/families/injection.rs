//! What if a text is made to act where it is shown?

use crate::reply::Reply;

use super::super::call::Call;

pub(super) fn reply(call: &Call<'_>) -> Option<Reply> {
    Some(match call.case {
        "csv" => titled("=cmd|' /C calc'!A0", "+1+1"),
        "ansi" => titled(
            "\u{1b}[2J\u{1b}]0;owned\u{7}\u{1b}]8;;http://evil.example\u{1b}\\x\u{1b}]52;c;ZXZpbA==\u{7}\u{9b}31m\u{90}q",
            "\u{1b}[31mred",
        )
        .header("server", "\u{9b}31m evil"),
        "log" => titled("x\r\n2026-01-01T00:00:00Z ERROR neap: all is lost\n\"}{\"level\":\"ERROR\"", "\r\n-"),
        "html" => titled("</title><script>alert(1)</script>", "<img src=x onerror=alert(1)>")
            .header("x-note", "<script>alert(2)</script>"),
        "sql" => titled("'; DROP TABLE requests; --", "\"; DELETE FROM jobs; --"),
        "bidi" => titled("\u{202e}gpj.exe\u{202c}\u{200b}\u{2066}x\u{2069}\u{feff}", "\u{202e}evil"),
        "title" => titled(&"t".repeat(call.small("bytes", 1 << 20)), "x"),
        _ => return None,
    })
}

/// A page whose title and link text are these, as they are.
fn titled(title: &str, anchor: &str) -> Reply {
    Reply::ok(format!(
        "<title>{title}</title><a href='/ok?from=injection'>{anchor}</a>"
    ))
    .header("content-type", "text/html; charset=utf-8")
}
