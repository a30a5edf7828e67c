//! Pools as people write them, right and wrong.

use neap_core::job::{ProxyPool, Select, Sticky, Template};

use crate::jobfile::tests::{SMALLEST, read_job, shown};
use crate::jobfile::{JobFile, JobFileError, compare};

/// The smallest job with these pools behind it.
fn with_pools(text: &str, overrides: &[&str]) -> Result<JobFile, JobFileError> {
    read_job(&format!("{SMALLEST}{text}"), overrides)
}

fn pools(text: &str, overrides: &[&str]) -> Vec<ProxyPool> {
    let file = with_pools(text, overrides);
    file.unwrap_or_else(|error| panic!("{}", shown(&error)))
        .job
        .proxy
        .pools
}

const TWO: &str = "\
[[proxy.pool]]
name = 'dc'
urls = ['p1:1', 'socks5h://p2.example', 'direct', '${env:https_proxy}']
select = 'least-loaded'
sticky = 'host'
max_per_proxy = 1024
fallback = 'home-1.0'

[[proxy.pool]]
name = 'home-1.0'
urls = ['http://${env:USER}-gb:${env:PASS}@gw.example:7777', '${env:LOGIN}@${env:HOST}:${env:PORT}']
";

#[test]
fn pools_are_read_in_order_with_their_defaults() {
    let [dc, home] = &pools(TWO, &[])[..] else {
        panic!("two pools");
    };
    let texts = |pool: &ProxyPool| -> Vec<String> {
        pool.urls
            .iter()
            .map(|Template(text)| text.clone())
            .collect()
    };
    assert_eq!(
        texts(dc),
        [
            "p1:1",
            "socks5h://p2.example",
            "direct",
            "${env:https_proxy}"
        ]
    );
    assert_eq!(
        texts(home)[0],
        "http://${env:USER}-gb:${env:PASS}@gw.example:7777"
    );
    let default = ProxyPool {
        urls: home.urls.clone(),
        ..ProxyPool::named("home-1.0")
    };
    assert_eq!(*home, default);
    let told = compare::pools::settings(dc);
    assert_eq!(
        told.map(|(key, value)| format!("{key} {value}")),
        [
            "file none",
            "select least-loaded",
            "sticky host",
            "max_per_proxy 1024",
            "fallback home-1.0"
        ]
    );
}

#[test]
fn a_pools_file_is_kept_with_its_whole_path() {
    let text = "[[proxy.pool]]\nname = 'dc'\nfile = 'lists/dc.txt'";
    let file = with_pools(text, &[]).unwrap();
    let expected = file.dir.join("lists/dc.txt");
    assert!(expected.is_absolute());
    assert_eq!(file.job.proxy.pools[0].file.as_deref(), expected.to_str());
    let [pool] = &pools(text, &["proxy.pool.dc.file=/etc/neap/dc.txt"])[..] else {
        panic!("one pool");
    };
    assert_eq!(pool.file.as_deref(), Some("/etc/neap/dc.txt"));
}

#[test]
fn an_override_names_its_pool() {
    let overrides = [
        "proxy.pool.dc.urls=['p9:9']",
        "proxy.pool.home-1.0.max_per_proxy = 3",
        "proxy.pool.home-1.0.sticky=session",
    ];
    let [dc, home] = &pools(TWO, &overrides)[..] else {
        panic!("two pools");
    };
    assert_eq!(dc.urls, [Template("p9:9".to_owned())]);
    assert_eq!((home.max_per_proxy, home.sticky), (3, Sticky::Session));
    // All pools at once, and then one of those.
    let all = "proxy.pool=[{ name = 'x', urls = ['p1:1'] }]";
    let [x] = &pools(TWO, &[all, "proxy.pool.x.select=random"])[..] else {
        panic!("one pool");
    };
    assert_eq!((x.name.as_str(), x.select), ("x", Select::Random));
    assert!(pools(TWO, &["proxy.pool=[]"]).is_empty());
}

#[test]
fn what_is_wrong_with_a_pool_is_told_at_its_place() {
    // Each behind the three lines of the smallest job.
    for (text, place, says) in [
        (
            "[[proxy.pool]]\nurls = ['p:1']",
            "4:1",
            "the pool has no name",
        ),
        (
            "[[proxy.pool]]\nname = 'a'",
            "4:1",
            "the pool has no proxies",
        ),
        (
            "[[proxy.pool]]\nname = 'a'\nurls = []",
            "4:1",
            "file = \"proxies.txt\"",
        ),
        (
            "[[proxy.pool]]\nname = 'a b'\nurls = ['p:1']",
            "5:8",
            "not a name for a pool",
        ),
        (
            "[[proxy.pool]]\nname = 1\nurls = ['p:1']",
            "5:8",
            "expected a string, found an integer",
        ),
        (
            "[[proxy.pool]]\nname = 'direct'\nurls = ['p:1']",
            "5:8",
            "what the way without a proxy is called",
        ),
        (
            "[[proxy.pool]]\nname = 'a'\nurls = ['p:1']\n[[proxy.pool]]\nname = 'a'\nurls = ['p:2']",
            "8:8",
            "another pool is called `a` already",
        ),
        (
            "[[proxy.pool]]\nname = 'a'\nurl = ['p:1']\nfile = 'f'",
            "6:1",
            "did you mean `urls`?",
        ),
        (
            "[[proxy.pool]]\nname = 'a'\nurls = ['p:1']\nmax_per_poxy = 1",
            "7:1",
            "did you mean `max_per_proxy`?",
        ),
        (
            "[[proxy.pool]]\nname = 'a'\nurls = ['p:1']\nerror_headers = []",
            "7:1",
            "keys of [[proxy.pool]]: name, urls, file, select, sticky, max_per_proxy, fallback",
        ),
        (
            "[[proxy.pool]]\nname = 'a'\nurls = ['p:1']\nenvironment = true",
            "7:1",
            "unknown key `environment`",
        ),
        (
            "[[proxy.pool]]\nname = 'a'\nurls = ['p:1']\ndirect = true",
            "7:1",
            "`direct` belongs to [proxy]",
        ),
        (
            "[proxy]\nurls = ['p:1']",
            "5:1",
            "which begins with [[proxy.pool]]",
        ),
        ("[proxy]\npools = []", "5:1", "did you mean `pool`?"),
        (
            "[proxy.pool]\nname = 'a'",
            "4:1",
            "begin each pool with [[proxy.pool]]",
        ),
        (
            "[[proxy]]\nurls = ['p:1']",
            "4:1",
            "expected a table, found an array",
        ),
        (
            "[proxy]\ndirect = false",
            "5:10",
            "may not go directly, and has no proxies",
        ),
        (
            "[[proxy.pool]]\nname = 'a'\nurls = 'p:1'",
            "6:8",
            "expected an array, found a string",
        ),
        (
            "[[proxy.pool]]\nname = 'a'\nurls = ['p:1', 1]",
            "6:16",
            "expected a string, found an integer",
        ),
        (
            "[[proxy.pool]]\nname = 'a'\nurls = ['ftp://p:1']",
            "6:9",
            "cannot be reached by ftp://",
        ),
        (
            "[[proxy.pool]]\nname = 'a'\nurls = ['']",
            "6:9",
            "the proxy is empty",
        ),
        (
            "[[proxy.pool]]\nname = 'a'\nurls = ['p:99999']",
            "6:9",
            "no number of a port",
        ),
        (
            "[[proxy.pool]]\nname = 'a'\nurls = ['p:1/x']",
            "6:9",
            "follows the port",
        ),
        (
            "[[proxy.pool]]\nname = 'a'\nurls = ['${PROXY}']",
            "6:9",
            "`${` does not begin a reference",
        ),
        (
            "[[proxy.pool]]\nname = 'a'\nfile = ''",
            "6:8",
            "a path has 1 to 4096 bytes",
        ),
        (
            "[[proxy.pool]]\nname = 'a'\nfile = '-'",
            "6:8",
            "standard input cannot be read again",
        ),
        (
            "[[proxy.pool]]\nname = 'a'\nfile = 'f'\nselect = 'randm'",
            "7:10",
            "did you mean `random`?",
        ),
        (
            "[[proxy.pool]]\nname = 'a'\nfile = 'f'\nsticky = 'page'",
            "7:10",
            "expected one of `none`, `host`, `session`",
        ),
        (
            "[[proxy.pool]]\nname = 'a'\nfile = 'f'\nmax_per_proxy = 0",
            "7:17",
            "0 is out of range: 1 to 1024",
        ),
        (
            "[[proxy.pool]]\nname = 'a'\nfile = 'f'\nfallback = 1",
            "7:12",
            "expected a string, found an integer",
        ),
        (
            "[[proxy.pool]]\nname = 'aa'\nfile = 'f'\nfallback = 'ab'",
            "7:12",
            "did you mean `aa`?",
        ),
        (
            "[[proxy.pool]]\nname = 'a'\nfile = 'f'\nfallback = 'home'",
            "7:12",
            "there is no pool `home`",
        ),
        (
            "[[proxy.pool]]\nname = 'a'\nfile = 'f'\nfallback = 'a'",
            "7:12",
            "come by the pool `a` already",
        ),
        (
            "[[proxy.pool]]\nname = 'a'\nfile = 'f'\n[[proxy.pool]]\nname = 'b'\nfile = 'f'\nfallback = 'a'",
            "10:12",
            "tried one after the other and none twice",
        ),
        (
            "[[proxy.pool]]\nname = 'a'\nfile = 'f'\nfallback = 'c'\n[[proxy.pool]]\nname = 'b'\nfile = 'f'\n\
             [[proxy.pool]]\nname = 'c'\nfile = 'f'",
            "8:1",
            "no request ever reaches the pool",
        ),
    ] {
        let error = with_pools(text, &[]).expect_err(text);
        let told = shown(&error);
        assert!(
            matches!(error, JobFileError::One(_)),
            "one problem only: {told}"
        );
        assert!(told.contains(says), "expected `{says}` in\n{told}");
        assert!(
            told.contains(&format!("job.toml:{place}]")),
            "{place} in\n{told}"
        );
    }
}

#[test]
fn a_wrong_override_of_a_pool_is_shown_as_it_was_typed() {
    for (given, place, says) in [
        ("proxy.pool.cd.urls=[]", "1:1", "did you mean `dc`?"),
        (
            "proxy.pool.other.urls=[]",
            "1:1",
            "there is no pool `other`",
        ),
        ("proxy.pool.dc.url=[]", "1:1", "did you mean `urls`?"),
        (
            "proxy.pool.dc=[]",
            "1:1",
            "`--set proxy.pool.NAME.key=value`",
        ),
        (
            "proxy.pool.dc.max_per_proxy=lots",
            "1:29",
            "expected an integer",
        ),
        (
            "proxy.pool={ name = 'x' }",
            "1:12",
            "begin each pool with [[proxy.pool]]",
        ),
        (
            "proxy.pool=[{ name = 'x', urls = ['p:1'], x = 1 }]",
            "1:43",
            "unknown key `x`",
        ),
    ] {
        let told = shown(&with_pools(TWO, &[given]).unwrap_err());
        assert!(told.contains(says), "expected `{says}` in\n{told}");
        assert!(
            told.contains(&format!("--set:{place}]")),
            "{place} in\n{told}"
        );
    }
}

#[test]
fn pools_and_their_proxies_are_bounded() {
    let pool = |n: usize| format!("[[proxy.pool]]\nname = 'p{n}'\nfile = 'f'\n");
    let many = |count: usize| (0..count).map(pool).collect::<String>();
    assert_eq!(pools(&many(32), &[]).len(), 32);
    let told = shown(&with_pools(&many(33), &[]).unwrap_err());
    assert!(told.contains("at most 32 pools are taken"), "{told}");
    let urls = |count: usize| {
        let urls = "'p:1',".repeat(count);
        format!("[[proxy.pool]]\nname = 'a'\nurls = [{urls}]")
    };
    assert_eq!(pools(&urls(10_000), &[])[0].urls.len(), 10_000);
    let told = shown(&with_pools(&urls(10_001), &[]).unwrap_err());
    assert!(
        told.contains("10001 values, at most 10000 are taken"),
        "{told}"
    );
}

#[test]
fn a_login_that_is_written_down_is_refused_and_not_shown() {
    for (url, says) in [
        ("http://ann:hunter2@p:1", "jobs are stored"),
        ("http://hunter2@p:1", "jobs are stored"),
        ("ann:hunter2@p:1", "jobs are stored"),
        ("socks5://${env:USER}:hunter2@p:1", "jobs are stored"),
        ("http://hunter2:${env:PASS}@p:1", "jobs are stored"),
        ("http://ann:hunter2#@p:1", "jobs are stored"),
        ("p:1:ann:hunter2", "wrong place"),
        ("http://p:1:ann:hunter2", "wrong place"),
        ("ann:hunter2", "no number of a port"),
        ("http://p:1/hunter2", "follows the port"),
        ("http://p:1?hunter2", "follows the port"),
        ("http://${env:USER:hunter2@p:1", "${env:"),
        ("ann:hunter2@http://p:1", "none of http"),
    ] {
        let text = format!("[[proxy.pool]]\nname = 'a'\nurls = ['p0:1', '{url}']");
        // Another problem beside it shows the same lines.
        let beside = format!("{text}\nselect = 'x'");
        let given = format!("proxy.pool.dc.urls=['{url}']");
        for error in [
            with_pools(&text, &[]),
            with_pools(&beside, &[]),
            with_pools(TWO, &[&given]),
        ] {
            let error = error.unwrap_err();
            let told = shown(&error);
            assert!(told.contains(says), "{url}: expected `{says}` in\n{told}");
            assert!(!told.contains("hunter2"), "{url}: {told}");
        }
    }
    let told =
        shown(&with_pools("[[proxy.pool]]\nname = 'a'\nurls = ['a:b@p:1']", &[]).unwrap_err());
    assert!(
        told.contains("\"http://${env:PROXY_USER}:${env:PROXY_PASSWORD}@host:port\""),
        "{told}"
    );
}

#[test]
fn pools_may_change_while_a_job_goes_on() {
    let stored = with_pools(TWO, &[]).unwrap().job;
    let changes = |overrides: &[&str]| {
        let new = with_pools(TWO, overrides).unwrap().job;
        let changes = compare(&stored, &new);
        assert!(changes.refused.is_empty());
        changes.at_once
    };
    assert!(changes(&[]).is_empty());
    assert_eq!(
        changes(&[
            "proxy.pool.dc.urls=['p1:1', 'direct', 'p3:1', 'p4:1']",
            "proxy.pool.dc.sticky=none",
            "proxy.pool.home-1.0.max_per_proxy=3",
            "proxy.pool.home-1.0.file=/f",
        ]),
        [
            "proxy.pool.dc.urls: 2 added",
            "proxy.pool.dc.urls: 2 no longer listed",
            "proxy.pool.dc.sticky: host -> none",
            "proxy.pool.home-1.0.file: none -> \"/f\"",
            "proxy.pool.home-1.0.max_per_proxy: 8 -> 3",
        ]
    );
    assert_eq!(
        changes(&["proxy.pool=[{ name = 'new', urls = ['p:1'] }]"]),
        [
            "proxy.pool: dc is gone",
            "proxy.pool: home-1.0 is gone",
            "proxy.pool: new is new"
        ]
    );
    let mut turned = stored.clone();
    turned.proxy.pools.reverse();
    assert_eq!(
        compare(&stored, &turned).at_once,
        ["proxy.pool: dc, home-1.0 -> home-1.0, dc"]
    );
}

proptest::proptest! {
    #[test]
    fn no_login_without_a_variable_gets_into_a_job_or_into_a_message(
        parts in proptest::collection::vec(
            proptest::sample::select(vec![
                "hunter-2", "${env:USER}", "${env:", "}", "http://", "socks5://", "://", ":", "@", "/", "#", "?",
                "%40", "[", "]", "p.example", "8080",
            ]),
            0..10,
        ),
    ) {
        let text = parts.concat();
        match super::url(&text) {
            Ok(template) => {
                let egress = neap_fetch::Egress::resolve(&template, |_| Some("x".to_owned()));
                // Of a port nothing is known before the variable is.
                let has_login = egress.is_ok_and(|egress| egress.has_credentials());
                proptest::prop_assert!(!has_login || text.contains("${env:"), "{text}");
            }
            Err(complaint) => {
                let told = format!("{} {:?}", complaint.message, complaint.help);
                proptest::prop_assert!(!told.contains("hunter-2"), "{text}: {told}");
                let may_show = complaint.is_secret || !text.contains("hunter-2") || !text.contains('@');
                proptest::prop_assert!(may_show, "{text} is shown");
            }
        }
    }
}
