//! What if a sitemap nests, repeats, unpacks, refers or leads where it must not?

use crate::coding::Coding;
use crate::reply::Reply;

use super::super::call::Call;

const XML: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";
const SPACE: &str = "xmlns=\"http://www.sitemaps.org/schemas/sitemap/0.9\"";

pub(super) fn reply(call: &Call<'_>) -> Option<Reply> {
    let base = format!("http://{}:{}", call.host(), call.ports().site);
    let urls = |urls: &[String]| set("urlset", "url", urls);
    let page = |n: u64| format!("{base}/ok?m={n}");
    Some(match call.case {
        "index" => {
            let depth = call.number("depth", 100);
            let fan = call.number("fan", 50).min(1000);
            let below = |n| format!("{base}/m/index?depth={}&amp;fan={fan}&amp;n={n}", depth - 1);
            match depth {
                0 => urls(&[page(0)]),
                _ => set(
                    "sitemapindex",
                    "sitemap",
                    &(0..fan).map(below).collect::<Vec<_>>(),
                ),
            }
        }
        "self" => set("sitemapindex", "sitemap", &[format!("{base}/m/self")]),
        "urls" => many(&base, call.number("n", 50_000)),
        "gz-bomb" => {
            // Members follow each other: the sitemap, and 60 MiB of blanks behind it.
            let blanks = call
                .shared
                .once("a MiB of blanks", || Coding::Gzip.encode(&[b' '; 1 << 20]));
            let sitemap = Coding::Gzip.encode(body("urlset", "url", &[page(0)]).as_bytes());
            Reply::ok([&sitemap[..], &blanks.repeat(60)].concat())
                .header("content-type", "application/gzip")
        }
        "laughs" => entities(
            &(1..10)
                .map(|n| format!("<!ENTITY l{n} \"{}\">", format!("&l{};", n - 1).repeat(10)))
                .fold("<!ENTITY l0 \"ha\">".to_owned(), |all, one| all + &one),
            &format!("{base}/ok?&l9;"),
        ),
        "xxe-file" => entities(
            "<!ENTITY x SYSTEM \"file:///etc/passwd\">",
            &format!("{base}/ok?&x;"),
        ),
        "xxe-http" => entities(
            &format!(
                "<!ENTITY x SYSTEM \"http://127.0.0.1:{}/\">",
                call.ports().trap
            ),
            &format!("{base}/ok?&x;"),
        ),
        "cross-host" => urls(&[page(0), format!("http://{}/ok?cross", call.at("other"))]),
        "bad-dates" => dated(&base),
        "truncated" => {
            let whole = body("urlset", "url", &[page(0), page(1)]);
            xml(whole[..whole.len() - 40].to_owned())
        }
        "internal" => urls(&[
            page(0),
            format!("http://127.0.0.1:{}/", call.ports().trap),
            format!("http://localhost:{}/", call.ports().trap),
            format!("http://[::ffff:127.0.0.1]:{}/", call.ports().trap),
            "file:///etc/passwd".to_owned(),
            "gopher://127.0.0.1/".to_owned(),
        ]),
        _ => return None,
    })
}

fn xml(text: String) -> Reply {
    Reply::ok(text).header("content-type", "application/xml")
}

fn body(root: &str, of: &str, urls: &[String]) -> String {
    let entries = urls
        .iter()
        .map(|url| format!("<{of}><loc>{url}</loc></{of}>\n"));
    format!(
        "{XML}<{root} {SPACE}>\n{}</{root}>\n",
        entries.collect::<String>()
    )
}

fn set(root: &str, of: &str, urls: &[String]) -> Reply {
    xml(body(root, of, urls))
}

/// As many entries as wanted; those beyond the first thousand are all alike, and made as they are sent.
fn many(base: &str, n: u64) -> Reply {
    let own = n.min(1000);
    let entry = |query: &str| format!("<url><loc>{base}/ok?{query}</loc></url>\n");
    let first: String = (0..own).map(|n| entry(&format!("m={n}"))).collect();
    Reply::raw(format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/xml\r\n\r\n{XML}<urlset {SPACE}>\n{first}"
    ))
    .and_times(entry("m=0"), n - own)
    .and("</urlset>\n")
}

fn entities(entities: &str, location: &str) -> Reply {
    xml(format!(
        "{XML}<!DOCTYPE urlset [{entities}]>\n<urlset {SPACE}><url><loc>{location}</loc></url></urlset>\n"
    ))
}

fn dated(base: &str) -> Reply {
    let dates = [
        "yesterday",
        "2025-13-45",
        "9999999999999",
        "-1",
        "2025-02-30T25:61:61+99:99",
        "",
    ];
    let entries = (0..).zip(dates).map(|(n, date)| {
        format!("<url><loc>{base}/ok?m={n}</loc><lastmod>{date}</lastmod><priority>1e308</priority></url>")
    });
    xml(format!(
        "{XML}<urlset {SPACE}>{}</urlset>",
        entries.collect::<String>()
    ))
}
