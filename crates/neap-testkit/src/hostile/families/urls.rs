//! What if the addresses on a page are hardly any?

use crate::reply::Reply;

use super::super::call::Call;

pub(super) fn reply(call: &Call<'_>) -> Option<Reply> {
    (call.case == "page").then(|| page(call))
}

fn page(call: &Call<'_>) -> Reply {
    let host = format!("{}:{}", call.host(), call.ports().site);
    let trap = call.ports().trap;
    let written = [
        format!("http://user:SECRET-a1@{host}/ok?userinfo"),
        "http://exаmple.com/".to_owned(),
        format!("http://{}\u{200b}x.example/", '\u{202e}'),
        "/ok?nul=%00".to_owned(),
        "/ok?crlf=%0d%0aset-cookie:x".to_owned(),
        "ht\ttp://127.0.0.1:1/".to_owned(),
        "java\nscript:alert(1)".to_owned(),
        format!("/ok?long={}", "l".repeat(2 << 20)),
        "http://a.example:0/".to_owned(),
        "http://a.example:65536/".to_owned(),
        "http:/ok?one-slash".to_owned(),
        format!("\\\\127.0.0.1:{trap}\\x"),
        format!("http://127.0.0.1:{trap}/"),
        format!("http://{}.:{}/ok?stop", call.host(), call.ports().site),
        "/ok?escapes=%2f%2F%zz%".to_owned(),
        "/ok?fragment#a".to_owned(),
        "/ok?fragment#b".to_owned(),
        format!("/ok?{}", "p=1&".repeat(100_000)),
        "javascript:alert(1)".to_owned(),
        "data:text/html,<a href=x>".to_owned(),
        "mailto:a@b.example".to_owned(),
        "tel:+1".to_owned(),
        "blob:http://a.example/x".to_owned(),
        "file:///etc/passwd".to_owned(),
        "http://[::1".to_owned(),
        "//".to_owned(),
        "?".to_owned(),
        "/ok?last".to_owned(),
    ];
    let links = written
        .iter()
        .map(|url| format!("<a href=\"{url}\">x</a>\n"));
    Reply::ok(links.collect::<String>()).header("content-type", "text/html; charset=utf-8")
}
