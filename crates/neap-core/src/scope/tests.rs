//! What is asked for, and why is the rest not?

use super::*;

fn url(text: &str) -> CanonicalUrl {
    CanonicalUrl::parse(text).unwrap()
}

fn scope(kind: ScopeKind, input: &str) -> Scope {
    Scope::new(
        &Crawl {
            scope: kind,
            ..Crawl::default()
        },
        [&url(input)],
    )
}

#[test]
fn a_site_is_known_without_writing_it() {
    let urls = [
        "http://a.example/x",
        "https://a.example/x",
        "http://a.example:8080/",
        "http://a.example:80/",
        "https://a.example:80/",
        "http://a.example:808/",
        "http://127.0.0.1:8080/",
        "http://[::1]:8080/",
        "http://[::1]/",
    ]
    .map(|url| Url::parse(url).unwrap());
    for one in &urls {
        for other in &urls {
            let text = site(one);
            assert_eq!(
                is_site_of(&text, other),
                text == site(other),
                "{one} {other}"
            );
        }
    }
}

#[test]
fn how_far_each_scope_reaches() {
    use ScopeKind::*;
    let input = "https://docs.shop.co.uk/guide/start.html?x=1";
    for (link, reached_by) in [
        (
            "https://docs.shop.co.uk/guide/next.html",
            vec![Path, Host, Domain, Any],
        ),
        (
            "https://docs.shop.co.uk/guide/",
            vec![Path, Host, Domain, Any],
        ),
        (
            "https://docs.shop.co.uk/guide/deep/er.html",
            vec![Path, Host, Domain, Any],
        ),
        ("https://docs.shop.co.uk/guide", vec![Host, Domain, Any]),
        (
            "https://docs.shop.co.uk/guidelines/",
            vec![Host, Domain, Any],
        ),
        ("https://docs.shop.co.uk/", vec![Host, Domain, Any]),
        ("https://docs.shop.co.uk:8443/guide/", vec![Domain, Any]),
        (
            "http://docs.shop.co.uk/guide/",
            vec![Path, Host, Domain, Any],
        ),
        ("https://www.shop.co.uk/", vec![Domain, Any]),
        ("https://shop.co.uk/", vec![Domain, Any]),
        ("https://other.co.uk/", vec![Any]),
    ] {
        for kind in [Page, Path, Host, Domain, Any] {
            let admitted = scope(kind, input).admits(&url(link), 1);
            let expected = if reached_by.contains(&kind) {
                Ok(())
            } else {
                Err(SkipReason::Scope)
            };
            assert_eq!(admitted, expected, "{link} in scope {kind:?}");
        }
    }
}

#[test]
fn patterns_and_depth() {
    let crawl = Crawl {
        scope: ScopeKind::Host,
        include: ["/p/*", "re:[?&]keep="]
            .map(|p| Pattern::parse(p).unwrap())
            .to_vec(),
        exclude: ["*/print/*", "/p/search?q=*"]
            .map(|p| Pattern::parse(p).unwrap())
            .to_vec(),
        max_depth: Some(2),
        ..Crawl::default()
    };
    let scope = Scope::new(&crawl, [&url("http://a.example/")]);
    for (link, depth, expected) in [
        ("http://a.example/p/1", 2, Ok(())),
        ("http://a.example/p/a/b/c", 1, Ok(())),
        ("http://a.example/x?keep=1", 1, Ok(())),
        ("http://a.example/x", 1, Err(SkipReason::NotIncluded)),
        ("http://a.example/p/print/1", 1, Err(SkipReason::Excluded)),
        (
            "http://a.example/p/search?q=1",
            1,
            Err(SkipReason::Excluded),
        ),
        ("http://a.example/p/searchxq=1", 1, Ok(())),
        ("http://a.example/p/1", 3, Err(SkipReason::TooDeep)),
        ("http://b.example/p/1", 1, Err(SkipReason::Scope)),
    ] {
        assert_eq!(
            scope.admits(&url(link), depth),
            expected,
            "{link} at {depth}"
        );
    }
}

#[test]
fn what_pages_are_shown_with_is_asked_for_as_far_as_the_job_says() {
    let page = url("http://a.example/p/1");
    for (link, near, anywhere) in [
        ("https://a.example/style.css", Ok(()), Ok(())),
        ("http://b.example/p/a.png", Ok(()), Ok(())),
        ("http://c.example/a.png", Err(SkipReason::Scope), Ok(())),
        (
            "http://a.example/print/a.png",
            Err(SkipReason::Excluded),
            Err(SkipReason::Excluded),
        ),
        (
            "http://10.0.0.1/a.png",
            Err(SkipReason::Scope),
            Err(SkipReason::PrivateAddress),
        ),
    ] {
        for (requisites, expected) in [
            (Requisites::None, Err(SkipReason::Scope)),
            (Requisites::Host, near),
            (Requisites::Any, anywhere),
        ] {
            let crawl = Crawl {
                scope: ScopeKind::Path,
                include: vec![Pattern::parse("/p/*").unwrap()],
                exclude: vec![Pattern::parse("*/print/*").unwrap()],
                max_depth: Some(0),
                requisites,
                ..Crawl::default()
            };
            let scope = Scope::new(&crawl, [&page, &url("http://b.example/p/")]);
            let admitted = scope.admits_requisite(&url(link), page.url());
            assert_eq!(admitted, expected, "{link} {requisites:?}");
            assert_eq!(scope.wants_requisites(), requisites != Requisites::None);
        }
    }
}

#[test]
fn a_redirect_of_a_page_job_may_lead_anywhere_and_others_stay_in_scope() {
    let away = url("https://elsewhere.example/");
    assert_eq!(
        scope(ScopeKind::Page, "http://a.example/").admits_redirect(&away),
        Ok(())
    );
    assert_eq!(
        scope(ScopeKind::Host, "http://a.example/").admits_redirect(&away),
        Err(SkipReason::Scope)
    );
}

#[test]
fn sitemaps_may_be_elsewhere_and_what_they_list_may_not() {
    use ScopeKind::*;
    let input = "https://docs.shop.example/guide/start.html";
    for (sitemap, named_by, admitted_by) in [
        (
            "http://docs.shop.example/s.xml",
            "https://docs.shop.example/robots.txt",
            vec![Page, Path, Host, Domain, Any],
        ),
        (
            "https://cdn.example/2.xml",
            "https://cdn.example/1.xml",
            vec![Page, Path, Host, Domain, Any],
        ),
        (
            "https://docs.shop.example/guide/s.xml",
            "https://cdn.example/1.xml",
            vec![Path, Host, Domain, Any],
        ),
        (
            "https://other.shop.example/s.xml",
            "https://cdn.example/1.xml",
            vec![Domain, Any],
        ),
        (
            "https://other.example/s.xml",
            "https://cdn.example/1.xml",
            vec![Any],
        ),
    ] {
        for kind in [Page, Path, Host, Domain, Any] {
            let from = url(named_by);
            let admitted = scope(kind, input).admits_sitemap(&url(sitemap), from.url());
            assert_eq!(
                admitted.is_ok(),
                admitted_by.contains(&kind),
                "{sitemap} by {named_by} in scope {kind:?}"
            );
        }
    }
    for (host, taken_by) in [
        ("http://docs.shop.example/", vec![Path, Host, Domain, Any]),
        ("https://www.shop.example/", vec![Domain, Any]),
        ("https://docs.shop.example.evil.example/", vec![Any]),
    ] {
        for kind in [Page, Path, Host, Domain, Any] {
            let taken = scope(kind, input).takes_sitemaps_of(&url(host).host());
            assert_eq!(
                taken,
                taken_by.contains(&kind),
                "those of {host} in scope {kind:?}"
            );
        }
    }
    let listed = url("https://other.example/");
    assert_eq!(scope(Page, input).admits_listed(&listed, 0), Ok(()));
    assert_eq!(
        scope(Host, input).admits_listed(&listed, 0),
        Err(SkipReason::Scope)
    );
    let crawl = Crawl {
        exclude: vec![Pattern::parse("*/old/*").unwrap()],
        include: vec![Pattern::parse("*.html").unwrap()],
        ..Crawl::default()
    };
    let scope = Scope::new(&crawl, [&url(input)]);
    let from = url("https://a.example/");
    for (path, as_sitemap, as_page) in [
        ("1.xml", Ok(()), Err(SkipReason::NotIncluded)),
        ("1.html", Ok(()), Ok(())),
        (
            "old/1.html",
            Err(SkipReason::Excluded),
            Err(SkipReason::Excluded),
        ),
    ] {
        let url = CanonicalUrl::join(from.url(), path).unwrap();
        assert_eq!(scope.admits_sitemap(&url, from.url()), as_sitemap, "{path}");
        assert_eq!(scope.admits_listed(&url, 0), as_page, "{path}");
    }
}

#[test]
fn a_bad_pattern_is_refused_in_words() {
    assert!(
        Pattern::parse("re:(")
            .unwrap_err()
            .contains("unclosed group")
    );
    assert!(Pattern::parse("/[a").is_err());
    assert!(Pattern::parse(&"x".repeat(MAX_PATTERN_BYTES + 1)).is_err());
}
