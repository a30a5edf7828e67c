//! Does a crawl leave alone what is not of the public internet, however it is written and whoever leads there?

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};

use neap_testkit::{NameServer, Naming, Reply, Site};

use crate::support::Place;

/// What must not be connected to: everything that this machine calls its own, on one port.
struct Trap {
    listeners: Vec<TcpListener>,
    port: u16,
}

impl Trap {
    fn set() -> Trap {
        let four = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        let port = four.local_addr().unwrap().port();
        let six = TcpListener::bind((Ipv6Addr::LOCALHOST, port)).ok();
        let listeners: Vec<_> = [Some(four), six].into_iter().flatten().collect();
        for listener in &listeners {
            listener.set_nonblocking(true).unwrap();
        }
        Trap { listeners, port }
    }

    /// How many connections were made since the last time.
    fn connections(&self) -> usize {
        let made = |listener: &TcpListener| {
            let mut made = 0;
            loop {
                match listener.accept() {
                    Ok(_) => made += 1,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return made,
                    Err(error) => panic!("{error}"),
                }
            }
        };
        self.listeners.iter().map(made).sum()
    }
}

/// A part of an address in decimal, octal and hexadecimal.
fn parts(part: u32) -> [String; 3] {
    [
        part.to_string(),
        format!("0{part:o}"),
        format!("0x{part:x}"),
    ]
}

/// 127.0.0.1 in one, two, three and four parts, in every number system, with and without a full stop at the end.
fn loopbacks() -> Vec<String> {
    let mut all = Vec::new();
    for numbers in [&[0x7f00_0001][..], &[127, 1], &[127, 0, 1], &[127, 0, 0, 1]] {
        let mut spelled = vec![String::new()];
        for (place, number) in numbers.iter().enumerate() {
            let dot = if place == 0 { "" } else { "." };
            let longer = |front: &String| parts(*number).map(|part| format!("{front}{dot}{part}"));
            spelled = spelled.iter().flat_map(longer).collect();
        }
        all.extend(spelled);
    }
    let with_stop: Vec<String> = all.iter().map(|one| format!("{one}.")).collect();
    all.extend(with_stop);
    all
}

fn spellings() -> Vec<String> {
    let mut all = loopbacks();
    all.extend(
        [
            "0",
            "0.0.0.0",
            "127.255.255.254",
            "127.0.0.2",
            "[::1]",
            "[0:0:0:0:0:0:0:1]",
            "[::]",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "[0:0:0:0:0:ffff:127.0.0.1]",
            "[::127.0.0.1]",
            "[64:ff9b::127.0.0.1]",
            "[2002:7f00:1::]",
            "[2001:0:4136:e378:8000:63bf:80ff:fffe]",
            "[fe80::1]",
            "[fc00::1]",
            "[fd00:ec2::254]",
            "[fec0::1]",
            "[ff02::1]",
            "[2001:db8::1]",
            "[::ffff:0:127.0.0.1]",
            "[::ffff:10.0.0.1]",
            "[::ffff:a9fe:a9fe]",
            "[100::1]",
            "10.0.0.1",
            "172.16.0.1",
            "192.168.0.1",
            "169.254.169.254",
            "100.64.0.1",
            "100.100.100.200",
            "168.63.129.16",
            "192.0.0.192",
            "192.0.2.1",
            "198.51.100.1",
            "203.0.113.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "240.0.0.1",
            "2852039166",
            "0xa9fea9fe",
            "0251.0376.0251.0376",
            "localhost",
            "LOCALHOST",
            "localhost.",
            "a.localhost",
            "localhost.localdomain",
            "printer",
            "printer.local",
            "metadata.google.internal",
            "router.home.arpa",
            "%6cocalhost",
            "ｌocalhost",
            "１２７.0.0.1",
            "127。0。0。1",
            "①②⑦.0.0.1",
            "%31%32%37.0.0.1",
            "user:secret@127.0.0.1",
        ]
        .map(str::to_owned),
    );
    all
}

fn html(body: &str) -> Reply {
    Reply::ok(body.to_owned()).header("content-type", "text/html")
}

const ENTRANCES: [&str; 8] = [
    "link",
    "redirect",
    "refresh",
    "canonical",
    "feed",
    "sitemap",
    "index",
    "robots",
];

/// A site that leads to every spelling by one entrance, each under a path of its own.
fn bait(entrance: &str, spellings: &[String], port: u16) -> Site {
    let at: Vec<String> = (0..)
        .zip(spellings)
        .map(|(n, spelled)| format!("http://{spelled}:{port}/{entrance}-{n}"))
        .collect();
    let all = |piece: &dyn Fn(&String) -> String| at.iter().map(piece).collect::<String>();
    let xml = |body: String| Reply::ok(body).header("content-type", "application/xml");
    let own: String = (0..at.len())
        .map(|n| format!("<a href=/own/{n}></a>"))
        .collect();
    let mut site = Site::builder().robots("").page("/", html(&own));
    for (n, url) in at.iter().enumerate() {
        let page = match entrance {
            "redirect" => Reply::status(302).header("location", url.clone()),
            "refresh" => html(&format!("<meta http-equiv=refresh content='0; url={url}'>")),
            "canonical" => html(&format!("<link rel=canonical href='{url}'>")),
            _ => break,
        };
        site = site.page(&format!("/own/{n}"), page);
    }
    let site = match entrance {
        "link" => site.page("/", html(&all(&|url| format!("<a href='{url}'></a>")))),
        "feed" => site.page("/", html("<a href=/feed></a>")).page(
            "/feed",
            xml(format!(
                "<rss><channel>{}</channel></rss>",
                all(&|url| format!("<item><link>{url}</link></item>"))
            )),
        ),
        "sitemap" => site.robots("sitemap: /map.xml\n").page(
            "/map.xml",
            xml(format!(
                "<urlset>{}</urlset>",
                all(&|url| format!("<url><loc>{url}</loc></url>"))
            )),
        ),
        "index" => site.robots("sitemap: /map.xml\n").page(
            "/map.xml",
            xml(format!(
                "<sitemapindex>{}</sitemapindex>",
                all(&|url| format!("<sitemap><loc>{url}</loc></sitemap>"))
            )),
        ),
        "robots" => site.robots(all(&|url| format!("sitemap: {url}\n"))),
        _ => site,
    };
    site.start()
}

fn crawl(site: &Site, more: &str) -> Place {
    let place = Place::new();
    place.write(
        "site.toml",
        &format!(
            "neap = 1\nname = \"site\"\n[input]\nurls = [\"{}\"]\n[crawl]\nscope = \"any\"\n\
             [store]\nbodies = \"none\"\n{more}\n",
            site.url("/")
        ),
    );
    place
}

#[test]
fn two_hundred_spellings_through_every_entrance_make_no_connection() {
    let trap = Trap::set();
    let spellings = spellings();
    assert!(spellings.len() >= 200, "{}", spellings.len());
    for entrance in ENTRANCES {
        let site = bait(entrance, &spellings, trap.port);
        let place = crawl(&site, "");
        place.neap(&["run", "site.toml"]).expect(0);
        assert_eq!(trap.connections(), 0, "{entrance}");
        assert_eq!(
            place.number(
                "SELECT count(DISTINCT host_id) FROM requests WHERE state_name <> 'skipped'"
            ),
            1,
            "{entrance}"
        );
        // A robots file is no page that links would be rows of.
        if entrance == "robots" {
            continue;
        }
        // All of them were seen, and each has its row with the reason.
        let rows = place.query("SELECT url FROM skipped WHERE reason = 'private_address'");
        let refused = rows
            .iter()
            .filter_map(|row| row["url"].as_str()?.rsplit('/').next());
        let refused: BTreeSet<&str> = refused.collect();
        for (n, spelled) in spellings.iter().enumerate() {
            let path = format!("{entrance}-{n}");
            assert!(
                refused.contains(path.as_str()),
                "{spelled} by {entrance} has no row"
            );
        }
        place.check_invariants();
    }
}

#[test]
fn the_same_bait_is_taken_by_a_job_that_allows_it() {
    for entrance in ENTRANCES {
        let trap = Site::builder().fallback(|_| html("trap")).start();
        let site = bait(entrance, &["127.1".to_owned()], trap.address().port());
        let place = crawl(&site, "[request]\nprivate_addresses = true");
        place.neap(&["run", "site.toml"]).expect(0);
        assert!(
            trap.accepted() > 0,
            "no trap would notice what {entrance} leads to"
        );
    }
}

#[test]
fn a_host_of_the_input_is_open_and_the_ports_beside_it_are_not() {
    let trap = Trap::set();
    let other = Site::builder().page("/", html("other")).start();
    let site = Site::builder().start();
    site.set_page(
        "/",
        html(&format!(
            "<a href='http://127.0.0.1:{}/'></a><a href='{}'></a><a href=/mine></a>",
            trap.port,
            other.url("/")
        )),
    );
    site.set_page("/mine", html("mine"));
    let place = Place::new();
    place.write("more.txt", &other.url("/"));
    place.write(
        "site.toml",
        &format!(
            "neap = 1\nname = \"site\"\n[input]\nurls = [\"{}\"]\nfiles = [\"more.txt\"]\n[crawl]\nscope = \"any\"\n",
            site.url("/")
        ),
    );
    place.neap(&["run", "site.toml"]).expect(0);
    let found: BTreeSet<String> = place.results().into_keys().collect();
    assert_eq!(
        found,
        [site.url("/"), site.url("/mine"), other.url("/")].into()
    );
    assert_eq!(trap.connections(), 0);
}

#[test]
fn names_that_lead_inside_are_refused_wherever_they_stand() {
    let trap = Trap::set();
    let site = Site::builder()
        .page("/robots.txt", Reply::status(404))
        .start();
    site.set_page(
        "/",
        html(&format!(
            "<a href='http://linked.example:{}/a'></a>",
            trap.port
        )),
    );
    let inside = || [Naming::addresses(["127.0.0.1", "::1", "169.254.169.254"])];
    let names = NameServer::builder()
        .name("linked.example", inside())
        .name("seed.example", inside())
        .start();
    for mode in ["obey", "off"] {
        let place = Place::new();
        place.write(
            "job.toml",
            &format!(
                "neap = 1\nname = \"job\"\n[input]\nurls = [\"{}\", \"http://seed.example:{}/b\"]\n\
                 [crawl]\nscope = \"any\"\n[request]\nname_servers = [\"{}\"]\n[robots]\nmode = \"{mode}\"\n",
                site.url("/"),
                trap.port,
                names.address()
            ),
        );
        place.neap(&["run", "job.toml"]).expect(0);
        assert_eq!(trap.connections(), 0, "{mode}");
        let failed =
            place.query("SELECT url, cause FROM results WHERE state = 'failed' ORDER BY url");
        let told: Vec<_> = failed
            .iter()
            .map(|row| row["cause"].as_str().unwrap())
            .collect();
        assert_eq!(told, ["private_address"; 2], "{mode}: {failed:?}");
        let errors = place.neap(&["errors"]).expect(0);
        assert!(
            errors.out.contains("request.private_addresses"),
            "{}",
            errors.out
        );
    }
}

#[test]
fn a_robots_file_that_leads_inside_is_as_if_there_were_none() {
    let trap = Trap::set();
    let spellings = spellings();
    let leads_inside = |at: &str| {
        let at = format!("http://{at}:{}/robots.txt", trap.port);
        let redirect = Reply::status(301).header("location", at);
        Site::builder()
            .robots_reply(redirect)
            .page("/", html("page"))
            .start()
    };
    // Every seventh will do here: one host and one thread each. How a robots file is asked for is how pages are.
    let sites: Vec<Site> = spellings
        .iter()
        .step_by(7)
        .map(|at| leads_inside(at))
        .collect();
    let place = Place::new();
    let urls: Vec<String> = sites.iter().map(|site| site.url("/")).collect();
    place.write("urls.txt", &urls.join("\n"));
    place.write(
        "job.toml",
        "neap = 1\nname = \"job\"\n[input]\nfiles = [\"urls.txt\"]\n",
    );
    place.neap(&["run", "job.toml"]).expect(0);
    assert_eq!(place.results().len(), sites.len());
    assert_eq!(trap.connections(), 0);
}

#[test]
fn fetch_follows_no_redirect_inside() {
    let trap = Trap::set();
    let site = Site::builder()
        .page("/robots.txt", Reply::status(404))
        .page(
            "/",
            Reply::redirect(302, format!("http://localhost:{}/", trap.port)),
        )
        .start();
    let place = Place::new();
    let said = place.neap(&["fetch", &site.url("/")]);
    assert_eq!(said.code, Some(3), "{}", said.err);
    assert!(
        said.err.contains("request.private_addresses"),
        "{}",
        said.err
    );
    assert_eq!(trap.connections(), 0);
}
