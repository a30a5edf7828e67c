//! Does a crawl come to an end of sites that have none, and does it find all that is real beside them?

use std::collections::BTreeMap;

use neap_testkit::{Asked, Reply, Site};

use crate::support::{Place, site_job};

/// Pages of the real site, `/real/0` and on.
const REAL: usize = 500;

/// The traps, each below its own first segment, and what is told of what was left alone there.
const TRAPS: [(&str, Option<&str>); 9] = [
    ("calendar", Some("far_date")),
    ("past", Some("near_duplicates")),
    ("session", None),
    ("relative", Some("repeating_path")),
    ("counter", Some("near_duplicates")),
    ("facets", Some("query_variants")),
    ("soft", Some("near_duplicates")),
    ("hop", Some("near_duplicates")),
    ("grow", Some("long_url")),
];

fn html(title: &str, text: &str, links: &[String]) -> Reply {
    let links: String = links
        .iter()
        .map(|link| format!("<a href='{link}'>next</a> "))
        .collect();
    let body = format!("<title>{title}</title><h1>{title}</h1><p>{text}</p>{links}");
    Reply::ok(body).header("content-type", "text/html")
}

/// Numbers that look random and are the same in every run.
fn scattered(n: u64) -> u64 {
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

/// Letters for a number.
fn word(n: u64) -> String {
    let letter = |at: u32| char::from(b'a' + (n >> (4 * at) & 15) as u8);
    (0..7).map(letter).collect()
}

/// A page of the real site, with words of its own.
fn real(n: usize) -> Reply {
    let words: Vec<String> = (0..40)
        .map(|at| word(scattered(1 + (n * 64 + at) as u64)))
        .collect();
    let children = (1..=4).map(|at| 4 * n + at).filter(|child| *child < REAL);
    let links: Vec<String> = children.map(|child| format!("/real/{child}")).collect();
    html("Real", &words.join(" "), &links)
}

fn month(path: &str, at: i64, leads: &[i64]) -> Reply {
    let date = |at: i64| {
        format!(
            "/{path}/{:04}/{:02}",
            at.div_euclid(12),
            at.rem_euclid(12) + 1
        )
    };
    let names = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    let days: Vec<String> = (1..=30).map(|day| day.to_string()).collect();
    let name = names[at.rem_euclid(12) as usize];
    let links: Vec<String> = leads.iter().map(|step| date(at + step)).collect();
    let text = format!(
        "{} no events in this month {}",
        at.div_euclid(12),
        days.join(" ")
    );
    html(name, &text, &links)
}

/// What is answered below one of the traps. The last part of the path or of the query is what the page is told by.
fn trap(name: &str, rest: &str, query: &str) -> Reply {
    let number = |text: &str| text.parse::<u64>().unwrap_or(0);
    let seed = scattered(rest.bytes().chain(query.bytes()).fold(7, |hash, byte| {
        hash.wrapping_mul(31).wrapping_add(u64::from(byte))
    }));
    match name {
        "calendar" | "past" => {
            let (year, month_number) = rest.split_once('/').unwrap_or(("2026", "11"));
            let at = number(year) as i64 * 12 + number(month_number) as i64 - 1;
            month(name, at, if name == "past" { &[-1, -12] } else { &[1] })
        }
        // A small shop whose links carry another session on every page.
        "session" => {
            let page = number(rest);
            let leads = [(page + 1) % 20, (page + 7) % 20];
            let links =
                leads.map(|to| format!("/session/{to}?sid={:016x}{:016x}", seed, scattered(seed)));
            html(
                "Shop",
                &format!("we sell {}", word(scattered(page))),
                &links,
            )
        }
        // A link that lacks the slash in front.
        "relative" => html(
            "About",
            "about us",
            &["us/".to_owned(), "contact/".to_owned()],
        ),
        "counter" => {
            let n = number(query.trim_start_matches("n="));
            html(
                "List",
                &format!("entries from {n}"),
                &[1, 2].map(|step| format!("/counter?n={}", n + step)),
            )
        }
        // Twenty filters, of which each page offers those that are not chosen.
        "facets" => {
            let chosen: Vec<u64> = query
                .split('&')
                .map(|part| number(part.trim_end_matches("=on").trim_start_matches('f')))
                .collect();
            let offered = (1..=20).filter(|filter| !chosen.contains(filter));
            let links: Vec<String> = offered
                .map(|filter| {
                    let mut all: Vec<u64> = chosen
                        .iter()
                        .copied()
                        .filter(|one| *one > 0)
                        .chain([filter])
                        .collect();
                    all.sort_unstable();
                    let all: Vec<String> = all.iter().map(|one| format!("f{one}=on")).collect();
                    format!("/facets?{}", all.join("&"))
                })
                .collect();
            html(
                "Offers",
                &format!("{} {} {}", word(seed), word(scattered(seed)), word(!seed)),
                &links,
            )
        }
        // Whatever is asked for: nothing was found, with 200.
        "soft" => html(
            "Sorry",
            "there is no such page here",
            &[1, 2, 3].map(|n| format!("/soft/{}/{}", word(seed ^ n), word(scattered(seed ^ n)))),
        ),
        // Nearly everything leads somewhere else, and nothing to an end.
        "hop" if !seed.is_multiple_of(4) => {
            Reply::redirect(302, format!("/hop/{:016x}", scattered(seed)))
        }
        "hop" => html(
            "Door",
            "another door",
            &[1, 2, 3].map(|n| format!("/hop/{:016x}", scattered(seed ^ n))),
        ),
        "grow" => html(
            "Trail",
            &word(seed),
            &[format!(
                "/grow?trail={}-{}",
                query.trim_start_matches("trail="),
                word(seed).repeat(20)
            )],
        ),
        _ => Reply::status(404),
    }
}

fn answer(asked: &Asked) -> Reply {
    let (path, query) = asked.target.split_once('?').unwrap_or((&asked.target, ""));
    let path = path.trim_start_matches('/');
    let (first, rest) = path.split_once('/').unwrap_or((path, ""));
    match first {
        "" => {
            let traps = TRAPS.iter().map(|(name, _)| format!("/{name}/"));
            let links: Vec<String> = traps.chain(["/real/0".to_owned()]).collect();
            html("Home", "where all begins", &links)
        }
        "real" => match rest.parse() {
            Ok(n) if n < REAL => real(n),
            Ok(_) | Err(_) => Reply::status(404),
        },
        name => trap(name, rest, query),
    }
}

#[test]
fn traps_of_every_kind_end_and_the_real_site_beside_them_is_complete() {
    let site = Site::builder()
        .fallback(answer)
        .page("/robots.txt", Reply::status(404))
        .start();
    let place = Place::new();
    place.write(
        "site.toml",
        &site_job(&site.url("/"), "[store]\nbodies = \"none\""),
    );
    place.neap(&["run", "site.toml"]).expect(0);

    // 1. All that is real.
    let results = place.results();
    for n in 0..REAL {
        let url = site.url(&format!("/real/{n}"));
        assert_eq!(results.get(&url), Some(&200), "{url}");
    }
    // 2. Not much of the rest.
    let mut asked: BTreeMap<String, usize> = BTreeMap::new();
    for request in site.log() {
        let first = request
            .target
            .split(['/', '?'])
            .nth(1)
            .unwrap_or_default()
            .to_owned();
        *asked.entry(first).or_default() += 1;
    }
    println!("requests by their first segment: {asked:?}");
    for (name, _) in TRAPS {
        let times = asked.get(name).copied().unwrap_or(0);
        assert!((5..=2_000).contains(&times), "{name}: {times} of {asked:?}");
    }
    // 3. And the reason why.
    for (name, reason) in TRAPS {
        let Some(reason) = reason else { continue };
        let rows = place.number(&format!(
            "SELECT count(*) FROM skipped WHERE url LIKE '%/{name}%' AND reason = '{reason}'"
        ));
        assert!(rows > 0, "{name} has no row that says {reason}: {asked:?}");
    }
    let skipped =
        place.query("SELECT url, reason FROM skipped WHERE reason = 'near_duplicates' LIMIT 1");
    let explained = place
        .neap(&["explain", skipped[0]["url"].as_str().unwrap()])
        .expect(0);
    assert!(
        explained.out.contains("crawl.traps.max_near_duplicates"),
        "{}",
        explained.out
    );
    // 4. Pages that say the same are told apart from those that do not.
    let alike = |of: &str| {
        place.number(&format!(
            "SELECT count(*) FROM duplicates WHERE url LIKE '%/{of}/%'"
        ))
    };
    assert!(alike("soft") > 400, "{}", alike("soft"));
    assert_eq!(alike("real"), 0);
    place.check_invariants();
}

#[test]
fn a_site_of_pages_that_are_rightly_alike_is_crawled_when_its_job_says_so() {
    let site = Site::builder()
        .fallback(|asked: &Asked| {
            let n = asked
                .target
                .trim_start_matches("/thin/")
                .parse::<usize>()
                .unwrap_or(0);
            let next: Vec<String> = (1..=3)
                .map(|at| 3 * n + at)
                .filter(|child| *child < 40)
                .map(|child| format!("/thin/{child}"))
                .collect();
            html("Part", &format!("part number {n}"), &next)
        })
        .page("/robots.txt", Reply::status(404))
        .start();
    for (most, pages) in [(10, false), (1_000, true)] {
        let place = Place::new();
        let traps = format!("[crawl.traps]\nmax_near_duplicates = {most}");
        place.write("site.toml", &site_job(&site.url("/thin/0"), &traps));
        place.neap(&["run", "site.toml"]).expect(0);
        assert_eq!(place.results().len() == 40, pages, "at most {most}");
    }
}
