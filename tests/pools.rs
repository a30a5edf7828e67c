//! What is said of a job's proxies before it runs, and what is kept of them?

use neap_testkit::{ForwardProxy, Refusing, Reply, Site};

use crate::support::Place;

/// A job with two pools, of which one has a file and the other a login.
const JOB: &str = "\
neap = 1
[input]
urls = ['http://127.0.0.1:9/']
[[proxy.pool]]
name = 'datacentre'
file = 'dc.txt'
[[proxy.pool]]
name = 'residential'
urls = ['http://${env:POOL_USER}:${env:POOL_PASSWORD}@127.0.0.1:9']
";

/// What nothing may repeat.
const SECRET: &str = "hunter2";

fn place(list: &str) -> Place {
    let place = Place::new();
    place.write("job.toml", JOB);
    place.write("dc.txt", list);
    place
}

/// Runs neap with the login of the pool `residential`.
fn with_login(place: &Place, arguments: &[&str]) -> crate::support::Said {
    let mut command = place.command(arguments);
    command.env("POOL_USER", "ann").env("POOL_PASSWORD", SECRET);
    command.output().unwrap().into()
}

#[test]
fn check_tells_the_pools_and_how_many_proxies_they_have() {
    let place = place("# two\n127.0.0.1:1\n127.0.0.1:2\n");
    let said = with_login(&place, &["check", "job.toml"]).expect(0);
    let expected =
        "1 URL on 1 host, through datacentre (2 proxies from dc.txt), then residential (1 proxy)\n";
    assert!(said.out.ends_with(expected), "{}", said.out);
    assert_eq!(said.err, "");
    let direct = ["check", "job.toml", "--set", "proxy.direct=true"];
    let said = with_login(&place, &direct).expect(0);
    assert!(
        said.out.ends_with("(1 proxy), then directly\n"),
        "{}",
        said.out
    );
}

#[test]
fn what_is_missing_is_told_by_check_and_before_a_run_stores_anything() {
    let good = "127.0.0.1:1\n";
    let bad_line = format!("127.0.0.1:1\n127.0.0.1:1:ann:{SECRET}\n");
    for (list, has_login, told) in [
        (
            good,
            false,
            "needs the environment variable POOL_USER, which is not set",
        ),
        (
            &bad_line,
            true,
            "dc.txt:2: the proxy's user and password are in the wrong place",
        ),
        ("", true, "dc.txt names no proxy"),
    ] {
        let place = place(list);
        let neap = |arguments: &[&str]| match has_login {
            true => with_login(&place, arguments),
            false => place.neap(arguments),
        };
        let said = neap(&["check", "job.toml"]).expect(0);
        let warning = said.err.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(
            warning.contains("a run would fail") && warning.contains(told),
            "{}",
            said.err
        );
        assert!(
            said.out
                .contains("datacentre (from dc.txt), then residential"),
            "{}",
            said.out
        );
        assert!(
            said.out.contains("job.toml  not ready   job "),
            "{}",
            said.out
        );
        let refused = neap(&["run", "job.toml"]).expect(2);
        assert!(!place.path("neap.db").exists(), "{}", refused.err);
        for text in [&said.err, &said.out, &refused.err] {
            assert!(!text.contains(SECRET), "{text}");
        }
    }
}

#[test]
fn a_login_stays_out_of_the_store_and_a_file_is_found_from_anywhere() {
    let place = place("http://ann:hunter2@127.0.0.1:1\n");
    with_login(&place, &["submit", "job.toml"]).expect(0);
    let rows = place.query("SELECT spec FROM jobs");
    let spec = rows[0]["spec"].as_str().unwrap();
    assert!(spec.contains("${env:POOL_PASSWORD}"), "{spec}");
    let list = place.path("dc.txt");
    assert!(spec.contains(list.to_str().unwrap()), "{spec}");
    let mut files = 0;
    for entry in std::fs::read_dir(place.path(".")).unwrap() {
        let path = entry.unwrap().path();
        if path
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .starts_with("neap.db")
            && path.is_file()
        {
            files += 1;
            let bytes = std::fs::read(&path).unwrap();
            let is_there = bytes
                .windows(SECRET.len())
                .any(|part| part == SECRET.as_bytes());
            assert!(!is_there, "{}", path.display());
        }
    }
    assert!(files > 0);
}

#[test]
fn a_list_is_read_again_while_a_run_goes_on_and_a_bad_one_is_left_alone() {
    let site = Site::builder().page("/", Reply::ok("hello")).start();
    let dead = Refusing::take().unwrap();
    let good = ForwardProxy::builder().login("ann", SECRET).start();
    let place = place(&dead.address().to_string());
    let input = format!("input.urls=['{}']", site.url("/"));
    let pools = "proxy.pool=[{ name = 'datacentre', file = 'dc.txt' }]";
    let arguments = ["-v", "run", "job.toml", "--set", &input, "--set", pools];
    let robots = ["--set", "robots.mode=off"];
    let mut running = place.start(&[&arguments[..], &robots[..]].concat());

    // The only proxy refuses every connection, so that the run cannot end.
    running.hear("proxy left out");
    place.write("dc.txt", &format!("{}\nann:{SECRET}:x:1\n", good.url()));
    running.hear("the list is bad");
    assert_eq!(good.connections(), 0);
    place.write("dc.txt", &good.url());
    let said = running.wait().expect(0);
    assert_eq!(
        said.err.matches("the list is bad").count(),
        1,
        "{}",
        said.err
    );
    assert!(said.err.contains("dc.txt:2:"), "{}", said.err);
    assert!(!said.err.contains(SECRET), "{}", said.err);
    assert_eq!((good.passed().len(), site.asked()), (1, 1));
    assert_eq!(place.results().len(), 1);
}

#[test]
fn a_run_keeps_the_pools_that_it_began_with() {
    let [site, late] = [(); 2].map(|()| Site::builder().page("/", Reply::ok("hello")).start());
    let dead = Refusing::take().unwrap();
    let (good, other) = (
        ForwardProxy::builder().start(),
        ForwardProxy::builder().start(),
    );
    let job = |urls: &str, pools: &str| {
        format!(
            "neap = 1\n[input]\nurls = [{urls}]\n[robots]\nmode = 'off'\n\
             [identity.headers]\nx-shop = 'seven'\n{pools}[[proxy.pool]]\nname = 'datacentre'\nfile = 'dc.txt'\n"
        )
    };
    let place = place(&dead.address().to_string());
    let first = format!("'{}'", site.url("/"));
    place.write("job.toml", &job(&first, ""));
    let mut running = place.start(&["-v", "run", "job.toml"]);
    running.hear("proxy left out");

    // With a new host the job is taken up again, also while the list is bad; that is mended after that.
    place.write("dc.txt", "");
    running.hear("the list is bad");
    let both = format!("{first}, '{}'", late.url("/"));
    let new = format!("[[proxy.pool]]\nname = 'new'\nurls = ['{}']\n", other.url());
    place.write("job.toml", &job(&both, &new));
    let said = place.neap(&["submit", "job.toml"]).expect(0);
    assert!(said.err.contains("proxy.pool: new is new"), "{}", said.err);
    running.hear("a job was found and is taken up");
    place.write("dc.txt", &good.url());
    running.wait().expect(0);
    assert_eq!((good.passed().len(), other.passed().len()), (2, 0));
    let used = place.query("SELECT DISTINCT pool FROM proxies");
    assert_eq!(used, [serde_json::json!({ "pool": "datacentre" })]);
}
