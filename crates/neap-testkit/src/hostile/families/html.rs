//! What if a page is deep, wide, unfinished, or in no charset that there is?

use crate::reply::Reply;

use super::super::call::Call;

const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\n\r\n";

pub(super) fn reply(call: &Call<'_>) -> Option<Reply> {
    let typed = |kind: String, body: Vec<u8>| Reply::ok(body).header("content-type", kind);
    let page = |body: &str| typed("text/html".to_owned(), body.as_bytes().to_vec());
    let times = |n: u64| n / 1000;
    Some(match call.case {
        "deep" => {
            let n = times(call.number("n", 1_000_000));
            Reply::raw(HEAD)
                .and_times("<div>".repeat(1000), n)
                .and("<a href=/ok?deep>down here</a>")
                .and_times("</div>".repeat(1000), n)
        }
        "attr" => Reply::raw(format!("{HEAD}<a title='"))
            .and_times("a".repeat(1000), times(call.number("bytes", 100 << 20)))
            .and("' href=/ok?attr>x</a>"),
        "links" => Reply::raw(HEAD)
            .and_times("<a href=/ok?l=1>x</a><a href=/ok?l=2>y</a>", call.number("n", 1_000_000) / 2),
        "base" => page(&format!(
            "<base href='http://127.0.0.1:{}/'><a href=in>x</a><base href='javascript:'><a href='/ok?base'>y</a>",
            call.ports().trap
        )),
        "entities" => page("<a href='/ok?e=&amp;&#0;&#xffffffffff;&#x110000;&notit;&lt'>&AMP&#128;&bogus;</a>"),
        "unclosed" => page("<html><body><a href='/ok?unclosed'>x<!-- <a href='/ok?comment'>y<script><a href='/ok?script'>"),
        "charset" => {
            let name = call.text("x").unwrap_or_default();
            typed(
                format!("text/html; charset={name}"),
                b"<title>\xe9\xff\x80\xf0\x9f\x98\x1b$B</title><a href='/ok?charset'>\xe9</a>".to_vec(),
            )
        }
        "mixed" => typed(
            "text/html; charset=utf-16".to_owned(),
            b"\xef\xbb\xbf<meta charset=shift_jis><?xml encoding='koi8-r'?><a href='/ok?mixed'>\x81</a>".to_vec(),
        ),
        "nul" => page("<a\0 href='/ok?n\0ul'>x\0</a>\0"),
        "scripts" => page("<script>document.write(\"<a href='/ok?s'>\")</script><a href='javascript:alert(1)'>x</a>"),
        "title" => page(&format!("<title>{}</title>", call.text("s").unwrap_or_default())),
        "twin" => page(&format!("<p>{}</p>", "all the same words again ".repeat(50))),
        _ => return None,
    })
}
