//! Whose cookies go where, and how many are kept.

use super::*;

const NOW: UnixMs = UnixMs(1_000_000);

fn url(text: &str) -> Url {
    Url::parse(text).unwrap()
}

fn cookie(name: &str, value: &str) -> SetCookie {
    SetCookie {
        name: name.to_owned(),
        value: value.to_owned(),
        ..SetCookie::default()
    }
}

fn with_domain(domain: &str) -> SetCookie {
    SetCookie {
        domain: Some(domain.to_owned()),
        ..cookie("a", "1")
    }
}

#[test]
fn a_domain_is_the_hosts_own_or_above_it_and_nobody_elses() {
    for (at, domain, taken) in [
        (
            "http://www.shop.co.uk/",
            "shop.co.uk",
            Ok(Some("http://img.shop.co.uk/")),
        ),
        (
            "http://www.shop.co.uk/",
            ".Shop.co.uk",
            Ok(Some("http://shop.co.uk/")),
        ),
        ("http://www.shop.co.uk/", "", Ok(None)),
        ("http://www.shop.co.uk/", "co.uk", Err(Refused::Domain)),
        ("http://www.shop.co.uk/", "co.uk.", Err(Refused::Domain)),
        ("http://www.shop.co.uk./", "co.uk.", Err(Refused::Domain)),
        ("http://www.shop.co.uk/", "uk", Err(Refused::Domain)),
        ("http://www.shop.co.uk/", "op.co.uk", Err(Refused::Domain)),
        (
            "http://www.shop.co.uk/",
            "other.co.uk",
            Err(Refused::Domain),
        ),
        (
            "http://www.shop.co.uk/",
            "a.www.shop.co.uk",
            Err(Refused::Domain),
        ),
        ("http://one.github.io/", "github.io", Err(Refused::Domain)),
        ("http://github.io/", "github.io", Ok(None)),
        ("http://localhost:81/", "localhost", Ok(None)),
        ("http://10.0.0.1/", "10.0.0.1", Ok(None)),
        ("http://10.0.0.1/", "0.0.1", Err(Refused::Domain)),
        ("http://[::1]/", "[::1]", Ok(None)),
    ] {
        let mut jar = Jar::default();
        let set = jar.set(&url(at), with_domain(domain), NOW);
        assert_eq!(set, taken.map(|_| ()), "{at} {domain}");
        if let Ok(other) = taken {
            assert_eq!(
                jar.header(&url(at), NOW).as_deref(),
                Some("a=1"),
                "{at} {domain}"
            );
            let sibling = other.map(|other| jar.header(&url(other), NOW).is_some());
            assert_ne!(sibling, Some(false), "{at} {domain}");
        }
        for stranger in [
            "http://evil.co.uk/",
            "http://two.github.io/",
            "http://10.0.0.2/",
            "http://x.localhost/",
        ] {
            assert_eq!(
                jar.header(&url(stranger), NOW),
                None,
                "{at} {domain} {stranger}"
            );
        }
    }
}

#[test]
fn paths_decide_who_gets_a_cookie_and_in_which_order() {
    let mut jar = Jar::default();
    let mut set = |at: &str, path: Option<&str>, name: &str| {
        let cookie = SetCookie {
            path: path.map(str::to_owned),
            ..cookie(name, "1")
        };
        jar.set(&url(at), cookie, NOW).unwrap();
    };
    set("http://a.example/x/y", None, "dir");
    set("http://a.example/", None, "top");
    set("http://a.example/q", Some("no-slash"), "default");
    set("http://a.example/", Some("/x/y/"), "deep");
    for (at, sent) in [
        ("http://a.example/", "top=1; default=1"),
        ("http://a.example/x", "dir=1; top=1; default=1"),
        ("http://a.example/xy", "top=1; default=1"),
        ("http://a.example/x/y/z", "deep=1; dir=1; top=1; default=1"),
    ] {
        assert_eq!(jar.header(&url(at), NOW).as_deref(), Some(sent), "{at}");
    }
}

#[test]
fn secure_cookies_are_for_https_and_are_not_replaced_from_http() {
    let mut jar = Jar::default();
    let secure = |name: &str| SetCookie {
        is_secure: true,
        path: Some("/".to_owned()),
        ..cookie(name, "1")
    };
    let (plain, tls) = (url("http://a.example/"), url("https://a.example/"));
    assert_eq!(jar.set(&plain, secure("s"), NOW), Err(Refused::Insecure));
    assert_eq!(jar.set(&tls, secure("s"), NOW), Ok(()));
    assert_eq!(jar.header(&plain, NOW), None);
    assert_eq!(jar.header(&tls, NOW).as_deref(), Some("s=1"));
    assert_eq!(
        jar.set(&plain, cookie("s", "2"), NOW),
        Err(Refused::Insecure)
    );
    assert_eq!(
        jar.set(&tls, cookie("__Secure-a", "1"), NOW),
        Err(Refused::Prefix)
    );
    assert_eq!(jar.set(&tls, secure("__host-a"), NOW), Ok(()));
    let wide = SetCookie {
        domain: Some("a.example".to_owned()),
        ..secure("__Host-b")
    };
    assert_eq!(jar.set(&tls, wide, NOW), Err(Refused::Prefix));
}

#[test]
fn time_ends_a_cookie_and_a_past_one_takes_it_away() {
    let mut jar = Jar::default();
    let at = url("http://a.example/");
    let until = |max_age, expires| SetCookie {
        max_age,
        expires,
        ..cookie("a", "1")
    };
    jar.set(&at, until(Some(10), Some(UnixMs(0))), NOW).unwrap();
    assert!(jar.header(&at, UnixMs(NOW.0 + 9_999)).is_some());
    assert_eq!(jar.header(&at, UnixMs(NOW.0 + 10_000)), None);
    jar.set(&at, until(Some(i64::MAX), None), NOW).unwrap();
    assert!(jar.header(&at, UnixMs(i64::MAX - 1)).is_some());
    jar.set(&at, until(None, Some(UnixMs(NOW.0 - 1))), NOW)
        .unwrap();
    assert!(jar.is_empty());
    assert_eq!(jar.header(&at, NOW), None);
}

#[test]
fn the_jar_keeps_its_bounds_and_what_is_used() {
    let mut jar = Jar::default();
    let at = url("http://a.example/");
    for n in 0..MAX_PER_DOMAIN {
        jar.set(&at, cookie(&format!("c{n}"), "1"), NOW).unwrap();
    }
    let private = SetCookie {
        path: Some("/private".to_owned()),
        ..cookie("unused", "1")
    };
    // All but the last were sent since they were set.
    jar.set(&at, private, NOW).unwrap();
    assert_eq!(jar.len(), MAX_PER_DOMAIN);
    jar.header(&at, NOW);
    jar.set(&at, cookie("new", "1"), NOW).unwrap();
    let all = jar.header(&url("http://a.example/private"), NOW).unwrap();
    assert!(all.contains("new=1") && !all.contains("unused"), "{all}");
    assert_eq!(jar.len(), MAX_PER_DOMAIN);

    for n in 0..MAX_COOKIES {
        let other = url(&format!("http://h{n}.example{n}/"));
        jar.set(&other, cookie("a", "1"), NOW).unwrap();
        // The first one is asked all the time, and stays.
        assert!(jar.header(&at, NOW).is_some());
    }
    assert_eq!(jar.len(), MAX_COOKIES);
    assert_eq!(jar.header(&url("http://h0.example0/"), NOW), None);
    let long = "x".repeat(MAX_COOKIE_BYTES);
    assert_eq!(
        jar.set(&at, cookie("a", &long), NOW),
        Err(Refused::Unsendable)
    );
    let value = "x".repeat(4_000);
    for n in 0..(MAX_JAR_BYTES / 4_000 + 10) {
        let other = url(&format!("http://h{n}.example{n}/"));
        jar.set(&other, cookie("a", &value), NOW).unwrap();
        assert!(jar.bytes <= MAX_JAR_BYTES);
    }
    let sum = |shelf: &Shelf| shelf.cookies.iter().map(Cookie::bytes).sum::<usize>();
    assert_eq!(jar.bytes, jar.domains.values().map(sum).sum::<usize>());
    assert_eq!(
        jar.count,
        jar.domains
            .values()
            .map(|shelf| shelf.cookies.len())
            .sum::<usize>()
    );
    assert_eq!(jar.by_use.len(), jar.domains.len());
}

#[test]
fn what_no_header_carries_is_refused() {
    let mut jar = Jar::default();
    for (name, value) in [("", "1"), ("a\r\nb", "1"), ("a", "1\0"), ("a", "1\n2")] {
        let set = jar.set(&url("http://a.example/"), cookie(name, value), NOW);
        assert_eq!(set, Err(Refused::Unsendable), "{name:?} {value:?}");
    }
    let mut many = Jar::default();
    for n in 0..20 {
        let value = "x".repeat(1_000);
        many.set(
            &url("http://a.example/"),
            cookie(&format!("c{n}"), &value),
            NOW,
        )
        .unwrap();
    }
    let header = many.header(&url("http://a.example/"), NOW).unwrap();
    assert!(header.len() <= MAX_HEADER_BYTES && header.len() > MAX_HEADER_BYTES - 1_100);
    assert!(!format!("{:?} {many:?}", cookie("a", "hunter2")).contains("hunter2"));
}
