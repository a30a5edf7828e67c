//! Behaviours of whole robots files; those of lines, names and patterns are tested beside them.

use proptest::prelude::*;

use super::*;

fn url(path: &str) -> Url {
    Url::parse(&format!("https://a.example{path}")).unwrap()
}

fn allows(robots: &str, token: &str, path: &str) -> bool {
    Robots::parse(robots.as_bytes(), token).allows(&url(path))
}

#[test]
fn the_longest_rule_decides_and_allow_wins_a_tie() {
    for (rules, path, expected) in [
        ("disallow: /x\nallow: /x/page", "/x/page", true),
        ("allow: /x/page\ndisallow: /x", "/x/page", true),
        ("disallow: /x/page\nallow: /x", "/x/page", false),
        ("disallow: /x\nallow: /x", "/x", true),
        ("allow: /page\ndisallow: /*.htm", "/page.htm", false),
        ("allow: /$\ndisallow: /", "/", true),
        ("allow: /$\ndisallow: /", "/x", false),
        ("disallow:", "/x", true),
        ("disallow: /\ndisallow:", "/x", false),
        ("allow: /\ndisallow: /*?", "/x?y", false),
    ] {
        let robots = format!("user-agent: neap\n{rules}\n");
        assert_eq!(allows(&robots, "neap", path), expected, "{rules:?} {path}");
    }
}

#[test]
fn the_groups_that_name_a_crawler_are_one_and_replace_those_for_all() {
    let robots = "disallow: /before-any-group\n\
                  user-agent: neap\ndisallow: /1\n\
                  user-agent: *\ndisallow: /all\n\
                  user-agent: other\nuser-agent: NEAP/2.0\nallow: /1/open\ndisallow: /2\n";
    for (token, path, expected) in [
        ("neap", "/1", false),
        ("neap", "/1/open", true),
        ("neap", "/2", false),
        ("neap", "/all", true),
        ("neap", "/before-any-group", true),
        ("other", "/1", true),
        ("other", "/2", false),
        ("stranger", "/all", false),
        ("stranger", "/1", true),
    ] {
        assert_eq!(allows(robots, token, path), expected, "{token} {path}");
    }
}

#[test]
fn a_group_without_rules_frees_its_crawler() {
    assert!(allows(
        "user-agent: *\ndisallow: /\nuser-agent: neap\n",
        "neap",
        "/x"
    ));
}

#[test]
fn records_that_are_no_rules_do_not_end_a_list_of_names() {
    for between in ["sitemap: /s.xml", "crawl-delay: 1", "host: a.example", ""] {
        let robots = format!("user-agent: neap\n{between}\nuser-agent: other\ndisallow: /\n");
        assert!(!allows(&robots, "neap", "/x"), "{between}");
    }
}

#[test]
fn the_crawl_delay_is_that_of_the_applying_groups() {
    let robots = b"user-agent: *\ncrawl-delay: 30\ndisallow:\n\
                   user-agent: neap\ncrawl-delay: 2\nallow: /\n\
                   user-agent: neap\ncrawl-delay: 1\nallow: /\n\
                   user-agent: quick\nallow: /\n";
    for (token, seconds) in [("neap", Some(2)), ("stranger", Some(30)), ("quick", None)] {
        let delay = Robots::parse(robots, token).crawl_delay();
        assert_eq!(delay, seconds.map(Duration::from_secs), "{token}");
    }
}

#[test]
fn the_robots_file_itself_is_always_allowed() {
    for robots in [
        Robots::disallow_all(),
        Robots::parse(b"user-agent: *\ndisallow: /", "neap"),
    ] {
        assert!(robots.allows(&url("/robots.txt")));
        assert!(!robots.allows(&url("/robots.txt?x")));
        assert!(!robots.allows(&url("/")));
    }
}

#[test]
fn a_verdict_names_the_rule_that_decided() {
    let robots = Robots::parse(
        b"user-agent: *\r\n\r\ndisallow: /m\xFCll \x1B[31m\r\n",
        "neap",
    );
    let url = url("/m%FCll%20%1B[31m/x");
    let verdict = robots.verdict(&url);
    assert!(!verdict.allowed);
    let rule = verdict.rule.unwrap();
    assert_eq!(rule.to_string(), "disallow: /m%FCll%20%1B[31m (line 3)");
    assert_eq!(
        Robots::allow_all().verdict(&url),
        Verdict {
            allowed: true,
            rule: None
        }
    );
    assert_eq!(
        Robots::disallow_all().verdict(&url),
        Verdict {
            allowed: false,
            rule: None
        }
    );
}

#[test]
fn to_allow_an_index_file_is_to_allow_its_folder() {
    let robots = "user-agent: *\nallow: /open/index.html\ndisallow: /\n";
    for (path, expected) in [
        ("/open/", true),
        ("/open/index.html", true),
        ("/open/index.htm", false),
        ("/open/x", false),
    ] {
        assert_eq!(allows(robots, "neap", path), expected, "{path}");
    }
}

#[test]
fn a_file_is_read_in_any_encoding_and_with_any_mark() {
    let text = "user-agent: *\ndisallow: /ü\n";
    let utf16 = |to_bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
        "\u{feff}"
            .encode_utf16()
            .chain(text.encode_utf16())
            .flat_map(to_bytes)
            .collect()
    };
    let marked = |mark: &[u8]| [mark, text.as_bytes()].concat();
    for body in [
        marked(b""),
        marked(b"\xEF\xBB\xBF"),
        marked(b"\xEF\xBB"),
        marked(b"\xEF"),
        utf16(u16::to_le_bytes),
        utf16(u16::to_be_bytes),
    ] {
        let robots = Robots::parse(&body, "neap");
        assert!(!robots.allows(&url("/%C3%BC")), "{body:?}");
        assert!(robots.allows(&url("/u")), "{body:?}");
    }
}

#[test]
fn what_the_size_limit_cuts_off_says_nothing() {
    let mut body = b"user-agent: *\ndisallow: /secret\n".to_vec();
    body.resize(MAX_ROBOTS_BYTES - "disallow: /".len(), b'\n');
    body.extend_from_slice(b"disallow: /only-this\ndisallow: /late\n");
    let robots = Robots::parse(&body, "neap");
    assert!(!robots.allows(&url("/secret")));
    // Cut after `disallow: /`, the line would have forbidden everything.
    assert!(robots.allows(&url("/x")));
    assert!(robots.allows(&url("/late")));
    assert_eq!(
        Robots::parse(&vec![b'x'; 4 * MAX_ROBOTS_BYTES], "neap"),
        Robots::allow_all()
    );
}

#[test]
fn a_file_full_of_rules_keeps_each_once_and_little_memory() {
    let mut body = b"user-agent: *\n".to_vec();
    while body.len() < 2 * MAX_ROBOTS_BYTES {
        body.extend_from_slice(b"allow:/\n");
    }
    assert_eq!(Robots::parse(&body, "neap").rules().count(), 1);
    let others = Robots::parse(b"user-agent: other\ndisallow: /x\n", "neap");
    assert_eq!(others, Robots::allow_all());
}

#[test]
fn a_page_instead_of_a_robots_file_forbids_nothing() {
    let page = "<!doctype html><html><head><title>Not found</title></head><body>\n\
                <p style=\"color: red\">No such page: /robots.txt</p></body></html>";
    assert_eq!(Robots::parse(page.as_bytes(), "neap"), Robots::allow_all());
}

proptest! {
    #[test]
    fn no_file_and_no_url_makes_it_panic(
        body in proptest::collection::vec(any::<u8>(), 0..300),
        path in "/\\PC{0,30}",
    ) {
        let robots = Robots::parse(&body, "neap");
        if let Ok(url) = Url::parse(&format!("http://a.example{path}")) {
            robots.verdict(&url);
        }
    }

    #[test]
    fn what_a_file_forbids_is_what_its_rules_forbid(
        rules in proptest::collection::vec((any::<bool>(), "/[ab*]{0,4}\\$?"), 0..8),
        path in "/[ab]{0,6}",
    ) {
        let mut body = String::from("user-agent: *\n");
        let mut best = (0, true);
        for (is_allow, value) in &rules {
            body += &format!("{}: {value}\n", if *is_allow { "allow" } else { "disallow" });
            let mut rule = String::new();
            pattern::push_rule(value.as_bytes(), &mut rule);
            if pattern::walk(&rule, &path).is_match {
                best = best.max((value.len(), *is_allow));
            }
        }
        prop_assert_eq!(allows(&body, "neap", &path), best.1);
    }
}
