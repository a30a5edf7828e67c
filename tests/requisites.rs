//! Does a crawl fetch what its pages are shown with, and in the order that its job wants?

use std::collections::BTreeSet;

use neap_testkit::{Reply, Site};

use crate::support::{Place, site_job};

fn html(body: impl Into<String>) -> Reply {
    Reply::ok(body.into()).header("content-type", "text/html")
}

/// The paths that were asked for, robots.txt excepted, in this order.
fn asked(site: &Site) -> Vec<String> {
    let asked = site.log().into_iter().map(|asked| asked.target);
    asked.filter(|target| target != "/robots.txt").collect()
}

/// A page with an image on another host, and another page beyond `max_depth`, on a host of its own each.
struct Shown {
    site: Site,
    elsewhere: Site,
}

impl Shown {
    fn new() -> Shown {
        let elsewhere = Site::builder()
            .page("/logo.png", Reply::ok("png"))
            .page("/away.png", Reply::redirect(302, "/logo.png"))
            .page("/widget", html("<img src=/deeper.png><a href=/more>"))
            .page("/deeper.png", Reply::ok("png"))
            .start();
        let (logo, away) = (elsewhere.url("/logo.png"), elsewhere.url("/away.png"));
        let widget = elsewhere.url("/widget");
        let site = Site::builder()
            .page("/", html("<img src=/a.png><a href=/deep>"))
            .page(
                "/deep",
                html(format!(
                    "<link rel=stylesheet href=style.css><img src={logo} srcset='/b.png 2x, /private/c.png 3x'>\
                     <script src={away}></script><object data={widget}></object><a href=/deeper>"
                )),
            )
            .page("/style.css", Reply::ok("a { b: url(/d.png) }"))
            .page("/a.png", Reply::ok("png"))
            .page("/b.png", Reply::ok("png"))
            .robots("User-agent: *\nDisallow: /private/\n")
            .start();
        Shown { site, elsewhere }
    }

    fn crawl(&self, requisites: &str) -> (BTreeSet<String>, BTreeSet<String>) {
        let place = Place::new();
        let more = format!(
            "max_depth = 1\nrequisites = \"{requisites}\"\n[request]\nprivate_addresses = true\n"
        );
        place.write("site.toml", &site_job(&self.site.url("/"), &more));
        place.neap(&["run", "site.toml"]).expect(0);
        place.check_invariants();
        let set = |site: &Site| asked(site).into_iter().collect();
        (set(&self.site), set(&self.elsewhere))
    }
}

fn paths<const N: usize>(paths: [&str; N]) -> BTreeSet<String> {
    paths.map(str::to_owned).into()
}

#[test]
fn no_more_is_asked_for_than_pages_unless_the_job_says_so() {
    let (here, elsewhere) = Shown::new().crawl("none");
    assert_eq!(here, paths(["/", "/deep"]));
    assert_eq!(elsewhere, paths([]));
}

#[test]
fn what_pages_are_shown_with_is_fetched_of_their_host() {
    let (here, elsewhere) = Shown::new().crawl("host");
    assert_eq!(
        here,
        paths(["/", "/deep", "/a.png", "/b.png", "/style.css"]),
        "depth does not count, robots.txt does"
    );
    assert_eq!(elsewhere, paths([]));
}

#[test]
fn what_pages_are_shown_with_is_fetched_wherever_it_is() {
    let (here, elsewhere) = Shown::new().crawl("any");
    assert_eq!(
        here,
        paths(["/", "/deep", "/a.png", "/b.png", "/style.css"])
    );
    assert_eq!(
        elsewhere,
        paths(["/logo.png", "/away.png", "/widget"]),
        "nothing further of what is no page of this crawl"
    );
}

#[test]
fn a_list_of_pages_is_fetched_with_all_that_they_are_shown_with() {
    let Shown { site, elsewhere } = Shown::new();
    let place = Place::new();
    let url = site.url("/deep");
    place.write(
        "pages.toml",
        &format!(
            "neap = 1\n[input]\nurls = [\"{url}\"]\n[crawl]\nrequisites = \"host\"\n[request]\nprivate_addresses = true\n"
        ),
    );
    place.neap(&["run", "pages.toml"]).expect(0);
    let found: BTreeSet<String> = asked(&site).into_iter().collect();
    assert_eq!(found, paths(["/deep", "/b.png", "/style.css"]));
    assert_eq!(asked(&elsewhere), [""; 0]);
    let skipped = place.query("SELECT url FROM skipped WHERE reason = 'scope' ORDER BY url");
    assert_eq!(skipped.len(), 3, "{skipped:?}");
}

/// How many pages of branches are asked for before the last branch of a site is begun.
fn leaves_before_the_last_branch(order: &str) -> usize {
    const BRANCHES: usize = 20;
    let page = |links: Vec<String>| {
        let links = links.into_iter().map(|link| format!("<a href={link}>"));
        html(links.collect::<String>())
    };
    let branches = (0..BRANCHES).map(|n| format!("/{n}")).collect();
    let mut site = Site::builder().page("/", page(branches));
    for branch in 0..BRANCHES {
        let leaves: Vec<String> = (0..5).map(|leaf| format!("/{branch}/{leaf}")).collect();
        for leaf in &leaves {
            site = site.page(leaf, html("x"));
        }
        site = site.page(&format!("/{branch}"), page(leaves));
    }
    let site = site.start();
    let place = Place::new();
    let more = format!("order = \"{order}\"\n[limits]\nconcurrency = 1\n");
    place.write("site.toml", &site_job(&site.url("/"), &more));
    place.neap(&["run", "site.toml"]).expect(0);
    let asked = asked(&site);
    assert_eq!(asked.len(), 1 + BRANCHES + 5 * BRANCHES);
    let is_leaf = |path: &String| path.matches('/').count() == 2;
    let last = asked.iter().rposition(|path| !is_leaf(path)).unwrap();
    asked[..last].iter().filter(|path| is_leaf(path)).count()
}

#[test]
fn branches_of_a_site_are_done_before_the_next_if_the_job_goes_depth_first() {
    assert_eq!(leaves_before_the_last_branch("breadth"), 0);
    // What is chosen before the page is recorded that leads deeper goes before it.
    let leaves = leaves_before_the_last_branch("depth");
    assert!(leaves >= 30, "{leaves} of 100");
}
