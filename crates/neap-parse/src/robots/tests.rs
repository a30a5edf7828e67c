//! Behaviours of whole robots files; those of lines, names and patterns are tested beside them.

use proptest::prelude::*;

use super::spelling::Reading;
use super::*;

fn url(path: &str) -> Url {
    Url::parse(&format!("https://a.example{path}")).unwrap()
}

fn allows(robots: &str, token: &str, path: &str) -> bool {
    Robots::parse(robots.as_bytes(), token).allows(&url(path))
}

/// Says whether the file of these lines, for everyone, lets this target be sent exactly so.
fn allows_target(rules: &str, target: &str) -> bool {
    Robots::parse(format!("user-agent: *\n{rules}").as_bytes(), "neap").allows_target(target)
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
    let target = "/m%FCll%20%1B[31m/x";
    let verdict = robots.verdict(target);
    assert!(!verdict.allowed);
    let rule = verdict.rule.unwrap();
    assert_eq!(rule.to_string(), "disallow: /m%FCll%20%1B[31m (line 3)");
    assert_eq!(
        Robots::allow_all().verdict(target),
        Verdict {
            allowed: true,
            rule: None
        }
    );
    assert_eq!(
        Robots::disallow_all().verdict(target),
        Verdict {
            allowed: false,
            rule: None
        }
    );
}

#[test]
fn a_rule_forbids_every_spelling_and_allows_only_what_every_reading_does() {
    for (rule, target, is_forbidden, is_allowed) in [
        ("/baz", "/baz", true, true),
        ("/%62%61%7A", "/baz", true, false),
        ("/%62%61%7A", "/%62%61%7A", true, true),
        ("/baz", "/%62%61%7A", true, false),
        ("/ツ", "/%E3%83%84", true, true),
        ("/ツ", "/%e3%83%84", true, true),
        ("/ツ", "/ツ", true, false),
        ("/%7Ename/", "/~name/", true, true),
        ("/~name/", "/%7ename/", true, true),
        ("/a b", "/a%20b", true, false),
        ("/a%6", "/a%62", false, false),
        ("/x-%2A", "/x-*", true, false),
        ("/x-$y", "/x-$y", true, true),
        ("/x*y$", "/x/%62/y", true, true),
    ] {
        let forbidding = format!("disallow: {rule}\n");
        assert_eq!(
            !allows_target(&forbidding, target),
            is_forbidden,
            "{rule} {target}"
        );
        let allowing = format!("disallow: /\nallow: {rule}\n");
        assert_eq!(
            allows_target(&allowing, target),
            is_allowed,
            "{rule} {target}"
        );
    }
}

#[test]
fn rules_that_allow_other_spellings_are_both_kept() {
    let rules = "disallow: /\nallow: /%62\nallow: /b\nallow: /b\n";
    for target in ["/b", "/%62"] {
        assert!(allows_target(rules, target), "{target}");
    }
    let robots = Robots::parse(format!("user-agent: *\n{rules}").as_bytes(), "neap");
    assert_eq!(robots.rules.len(), 3);
    assert_eq!(robots.verdict("/b").rule.unwrap().line, 4);
}

#[test]
fn a_url_is_asked_for_as_it_is_sent() {
    let robots = Robots::parse(b"user-agent: *\ndisallow: /\nallow: /a?b$\n", "neap");
    for (path, expected) in [
        ("/a?b", true),
        ("/a?b#c", true),
        ("/a?b&c", false),
        ("/a", false),
    ] {
        assert_eq!(robots.allows(&url(path)), expected, "{path}");
    }
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
    assert_eq!(Robots::parse(&body, "neap").rules.len(), 1);
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
    fn no_file_and_no_target_makes_it_panic(
        body in proptest::collection::vec(any::<u8>(), 0..300),
        path in "/\\PC{0,30}",
    ) {
        let robots = Robots::parse(&body, "neap");
        robots.verdict(&path);
        if let Ok(url) = Url::parse(&format!("http://a.example{path}")) {
            robots.allows(&url);
        }
    }

    #[test]
    fn no_spelling_of_a_target_gets_around_a_rule(
        path in "[a-z~.]{1,8}",
        is_escaped in proptest::collection::vec(any::<bool>(), 8),
    ) {
        let mut target = String::from("/");
        for (letter, is_escaped) in path.chars().zip(is_escaped) {
            if is_escaped {
                target += &format!("%{:02x}", u32::from(letter));
            } else {
                target.push(letter);
            }
        }
        let rules = format!("disallow: /{path}\nallow: /\nallow: *\n");
        prop_assert!(!allows_target(&rules, &target), "{}", target);
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
            spelling::push_rule(value.as_bytes(), Reading::Normalised, &mut rule);
            if pattern::walk(&rule, &path).is_match {
                best = best.max((value.len(), *is_allow));
            }
        }
        prop_assert_eq!(allows(&body, "neap", &path), best.1);
    }
}

#[test]
fn sitemaps_are_named_to_everyone_wherever_they_stand() {
    let file = "sitemap: https://a.example/1.xml\nuser-agent: b\nSitemap: /2.xml # in part\ndisallow: /\n\
                sitemap: https://a.example/1.xml\nsitemap:\nsitemap: ftp://a.example/\nsitemap: https://b.example/3.xml";
    let found = sitemaps(
        file.as_bytes(),
        &Url::parse("http://c.example/robots.txt").unwrap(),
    );
    let found: Vec<&str> = found.iter().map(CanonicalUrl::as_str).collect();
    assert_eq!(
        found,
        [
            "https://a.example/1.xml",
            "http://c.example/2.xml",
            "https://b.example/3.xml"
        ]
    );
    let many: String = (0..=MAX_SITEMAPS)
        .map(|n| format!("sitemap: /{n}\n"))
        .collect();
    let found = sitemaps(
        many.as_bytes(),
        &Url::parse("http://c.example/robots.txt").unwrap(),
    );
    assert_eq!(found.len(), MAX_SITEMAPS);
}
