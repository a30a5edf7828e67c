//! Job files as people write them, right and wrong.

use miette::{GraphicalReportHandler, GraphicalTheme};

use super::compare::Changes;
use super::*;

mod each_key;
mod told;

/// An error as a terminal without colours shows it, on lines that are long enough for any message.
pub(in crate::jobfile) fn shown(error: &JobFileError) -> String {
    let mut text = String::new();
    let theme = GraphicalTheme::unicode_nocolor();
    let handler = GraphicalReportHandler::new_themed(theme)
        .with_links(false)
        .with_width(400);
    handler.render_report(&mut text, error).unwrap();
    text
}

/// Reads a text as the job file `job.toml`.
pub(in crate::jobfile) fn read_job(
    text: &str,
    overrides: &[&str],
) -> Result<JobFile, JobFileError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("job.toml");
    std::fs::write(&path, text).unwrap();
    let overrides: Vec<String> = overrides.iter().map(|text| (*text).to_owned()).collect();
    read(&path, &overrides)
}

pub(in crate::jobfile) const SMALLEST: &str = "neap = 1\n[input]\nurls = ['http://a.example/']\n";

/// The smallest job with one more setting, `section.key = value`.
fn with(setting: &str) -> Result<JobFile, JobFileError> {
    read_job(&format!("{setting}\n{SMALLEST}"), &[])
}

#[test]
fn the_smallest_job_has_every_default() {
    let job = read_job(SMALLEST, &[]).unwrap().job;
    let urls: Vec<&str> = job.input.urls.iter().map(|url| url.as_str()).collect();
    assert_eq!(
        (job.name.as_str(), urls),
        ("job", vec!["http://a.example/"])
    );
    let stored: Job = serde_json::from_str(&serde_json::to_string(&job).unwrap()).unwrap();
    assert_eq!(stored, job);
    assert_eq!((job.crawl, job.limits), Default::default());
    assert_eq!((job.identity, job.request, job.retry), Default::default());
    assert_eq!((job.robots, job.adaptive, job.store), Default::default());
}

#[test]
fn a_changed_pace_holds_at_once_and_a_changed_crawl_is_refused() {
    let stored = with("name = 'n'").unwrap().job;
    let text = "neap = 1\nname = 'n'\ndescription = 'new'\n[input]\nurls = ['http://a.example/', 'http://b.example/']\nfiles = ['f']\nsitemaps = ['http://a.example/s']\n\
        [crawl]\nscope = 'host'\ninclude = ['/p/*']\nexclude = ['/q']\nmax_depth = 3\nmax_pages = 10\nsitemaps = false\n\
        [identity]\nuser_agent = 'B/1'\nheaders = { x-a = '1' }\n\
        [limits]\ndelay = '2s'\nper_host_rate = '5/s'\nkey = 'domain'\n[retry]\nattempts = 3\nbudget = 'none'\nswap_proxy_after = 5\n[proxy]\ndirect = true\n[robots]\nmode = 'off'\n\
        [request]\nmax_body = '1MiB'\n[adaptive]\ngive_up_after = '1h'\n[store]\nbodies = 'none'\ndurability = 'normal'\n";
    let new = read_job(text, &[]).unwrap().job;
    let Changes { at_once, refused } = compare(&stored, &new);
    assert_eq!(
        at_once,
        [
            "description: \"\" -> \"new\"",
            "crawl.max_pages: no limit -> 10",
            "request.max_body: 16 MiB -> 1 MiB",
            "limits.per_host_rate: no limit -> 5/s",
            "limits.delay: 0s -> 2s",
            "limits.key: host -> domain",
            "retry.attempts: 6 -> 3",
            "retry.budget: 0.2 -> none",
            "retry.swap_proxy_after: 2 -> 5",
            "robots.mode: obey -> off",
            "proxy.direct: false -> true",
            "adaptive.give_up_after: 10m -> 1h",
            "store.bodies: all -> none",
            "store.durability: full -> normal",
            "input.urls: 1 added",
            "input.files: 1 added",
            "input.sitemaps: 1 added",
        ]
    );
    assert_eq!(
        refused,
        [
            "crawl.scope: page -> host".to_owned(),
            "crawl.include: [] -> [\"/p/*\"]".to_owned(),
            "crawl.exclude: [] -> [\"/q\"]".to_owned(),
            "crawl.max_depth: no limit -> 3".to_owned(),
            "crawl.sitemaps: true -> false".to_owned(),
            format!(
                "identity.user_agent: \"{}\" -> \"B/1\"",
                neap_core::job::DEFAULT_USER_AGENT
            ),
            "identity.headers: [] -> [\"x-a: 1\"]".to_owned(),
        ]
    );
    assert_eq!(compare(&new, &new), Changes::default());
    let back = compare(&new, &stored);
    assert!(
        back.at_once
            .contains(&"input.files: 1 no longer listed, kept in the job".to_owned())
    );
}

#[test]
fn the_examples_are_good_and_show_every_key() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../jobs");
    let mut shown_keys = std::collections::BTreeSet::new();
    let mut shown_in_tables = std::collections::BTreeSet::new();
    for name in ["list", "site", "polite", "proxies", "demo"] {
        let path = dir.join(name).with_extension("toml");
        let at_home = ["input.urls=['http://127.0.0.1:1/']", "input.sitemaps=[]"];
        for overrides in [vec![], at_home.map(str::to_owned).to_vec()] {
            let read_back =
                read(&path, &overrides).unwrap_or_else(|error| panic!("{}", shown(&error)));
            assert_eq!(read_back.job.name, name);
            let mut input = read_back.input_rows(Default::default(), false).unwrap();
            let hosts: Vec<_> = input.by_ref().map(|url| url.unwrap().url.host()).collect();
            assert!(!hosts.is_empty() && input.malformed() == 0, "{name}");
            let is_local = |host: &neap_core::host::Host| host.name() == "127.0.0.1";
            assert!(
                overrides.is_empty() || hosts.iter().all(is_local),
                "{name} leaves this machine"
            );
        }
        let source = Source::read(&path).unwrap();
        let fields = Fields::gather(&source, &[], &mut Problems::default()).unwrap();
        // What needs files or addresses of one's own stands in comments.
        let in_comment = |name: &str| source.text.contains(&format!("\n# {name} = "));
        shown_keys.extend(keys::KEYS.into_iter().filter(|key| {
            fields.get(key).is_some() || in_comment(key.rsplit('.').next().unwrap_or(key))
        }));
        if !fields.headers.is_empty() {
            shown_keys.insert("identity.headers");
        }
        for tables in [&keys::POOLS, &keys::LOGINS, &keys::HOSTS] {
            for place in 0..fields.tables(tables).len() {
                shown_keys.insert(tables.key);
                let is_shown = |key: &&str| {
                    fields.get(&tables.key_in(place, key)).is_some()
                        || (tables.key == keys::LOGINS.key && in_comment(key))
                };
                let shown = tables.keys.iter().copied().filter(is_shown);
                shown_in_tables.extend(shown.map(|key| (tables.key, key)));
            }
        }
    }
    let missing: Vec<&str> = keys::KEYS
        .into_iter()
        .filter(|key| !shown_keys.contains(key))
        .collect();
    assert_eq!(missing, [""; 0], "keys that no example shows");
    assert_eq!(
        shown_in_tables.len(),
        keys::POOLS.keys.len() + keys::LOGINS.keys.len() + keys::HOSTS.keys.len(),
        "{shown_in_tables:?}"
    );
}

#[test]
fn a_text_is_read_as_the_file_that_it_stands_for() {
    let overrides = ["limits.per_host=2".to_owned()];
    let file = read_text("jobs/demo.toml", SMALLEST, &overrides).unwrap();
    assert_eq!(
        (file.job.name.as_str(), file.job.limits.per_host),
        ("demo", 2)
    );
    assert_eq!(file.dir, Path::new("jobs"));
    let error = read_text("jobs/demo.toml", "neap = 2", &[]).unwrap_err();
    assert!(
        shown(&error).contains("[jobs/demo.toml:1:8]"),
        "{}",
        shown(&error)
    );
}

#[test]
fn a_duration_of_the_command_line_is_written_as_in_a_file() {
    assert_eq!(duration("1h 30m"), Ok(Duration::from_secs(5400)));
    assert!(
        duration("soon")
            .unwrap_err()
            .contains("`soon` is not a duration")
    );
}
