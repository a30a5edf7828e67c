//! Can a store be exported, checked, measured and cleared from the command line, also while a run goes on?

use std::path::Path;
use std::time::Duration;

use neap_testkit::{Asked, Reply, Site};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::{Place, Running, site_job};

/// Longest wait for something that happens in milliseconds unless it is broken.
const PATIENCE: Duration = Duration::from_secs(60);

/// A site of a top page and ten others, of which three say the same.
fn site() -> Site {
    let links: Vec<String> = (0..10).map(|n| format!("/page/{n}")).collect();
    let mut builder = Site::builder().page("/", Reply::html("top", &links));
    for n in 0..9 {
        let text = format!("page {} ", n.max(2)).repeat(300);
        builder = builder.page(&format!("/page/{n}"), Reply::html(&text, [""; 0]));
    }
    builder.start()
}

/// A place with one finished round of a crawl of it.
fn crawled(site: &Site) -> Place {
    let place = Place::new();
    place.write("site.toml", &site_job(&site.url("/"), ""));
    place.neap(&["run", "site.toml"]).expect(0);
    place
}

/// A run that goes on until it is stopped, since its site never answers.
fn going_on() -> (Site, Place, Running) {
    let silent = Site::builder()
        .page("/", Reply::html("top", ["/silent"]))
        .page("/silent", Reply::silent())
        .start();
    let place = Place::new();
    place.write("site.toml", &site_job(&silent.url("/"), ""));
    let run = place.start(&["run", "site.toml"]);
    let is_asked = |log: &[Asked]| log.iter().any(|asked| asked.path() == "/silent");
    silent.wait_for(is_asked, PATIENCE).unwrap();
    (silent, place, run)
}

fn names(place: &Place) -> Vec<String> {
    let entries = std::fs::read_dir(place.path("")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name());
    names
        .map(|name| name.to_string_lossy().into_owned())
        .collect()
}

#[test]
fn rows_are_exported_whole_or_not_at_all() {
    let site = site();
    let place = crawled(&site);
    for (file, lines) in [
        ("results.csv", 12),
        ("results.tsv", 12),
        ("results.jsonl", 11),
        ("results.json", 13),
        ("results.md", 13),
    ] {
        let said = place.neap(&["export", "results", "--to", file]).expect(0);
        assert!(
            said.out.is_empty() && said.err.contains("11 rows"),
            "{}",
            said.err
        );
        let text = std::fs::read_to_string(place.path(file)).unwrap();
        assert_eq!(text.lines().count(), lines, "{file}");
    }
    place
        .neap(&["export", "links", "--job", "site", "--to", "links.jsonl"])
        .expect(0);
    let links = std::fs::read_to_string(place.path("links.jsonl")).unwrap();
    let links: Vec<Value> = links
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(links.len(), 10);
    assert_eq!(links[9]["target"], site.url("/page/9"));
    let before = names(&place);
    let csv = std::fs::read(place.path("results.csv")).unwrap();
    let refused = place
        .neap(&["export", "results", "--to", "results.csv"])
        .expect(2);
    assert!(
        refused.err.contains("results.csv exists already"),
        "{}",
        refused.err
    );
    for (arguments, said) in [
        (
            &[
                "export",
                "results",
                "--to",
                "a.csv",
                "--where",
                "nonsense = 1",
            ][..],
            "nonsense",
        ),
        (
            &[
                "export",
                "results",
                "--to",
                "a.csv",
                "--where",
                "1); DELETE FROM pages; --",
            ],
            "one query",
        ),
        (
            &["export", "results", "--to", "a.csv", "--job", "sit"],
            "there is no job `sit`",
        ),
        (
            &["export", "results", "--to", "a.parquet"],
            "does not say its form",
        ),
        (
            &["export", "results", "--to", "a.db"],
            "cannot be written as a database",
        ),
        (
            &["export", "results", "--to", "no/such/a.csv"],
            "there is no directory no/such",
        ),
        (&["export", "cdxj", "--where", "1"], "--where means nothing"),
        (&["export", "--to", "a.db", "--raw"], "--raw means nothing"),
        (&["export", "--to", "a.csv"], "what is to be exported"),
        (&["export"], "what is to be exported"),
    ] {
        let refused = place.neap(arguments);
        assert_ne!(refused.code, Some(0), "{arguments:?}");
        assert!(refused.err.contains(said), "{arguments:?}: {}", refused.err);
    }
    assert_eq!(names(&place), before, "nothing new is left behind");
    assert_eq!(std::fs::read(place.path("results.csv")).unwrap(), csv);
    let filter = [
        "--where",
        "status = 404 -- the broken link",
        "--job",
        "site.toml",
    ];
    let arguments = [
        &["export", "results", "--to", "results.csv", "--force"][..],
        &filter[..],
    ];
    let said = place.neap(&arguments.concat()).expect(0);
    assert!(said.err.contains("1 row"), "{}", said.err);
    for what in ["results", "attempts", "failures", "skipped", "hosts"] {
        let said = place.neap(&["export", what, "--job", "site"]).expect(0);
        assert!(
            said.out.lines().next().unwrap().contains("host") || what == "skipped",
            "{}",
            said.out
        );
    }
    let attempts = place
        .neap(&["export", "attempts", "--format", "jsonl"])
        .expect(0)
        .out;
    let first: Value = serde_json::from_str(attempts.lines().next().unwrap()).unwrap();
    assert_eq!(
        (&first["job"], &first["outcome"]),
        (&"site".into(), &"success".into())
    );
}

#[test]
fn every_line_of_the_index_leads_to_its_record() {
    let site = site();
    let place = crawled(&site);
    place.neap(&["run", "site.toml"]).expect(0);
    place
        .neap(&["export", "cdxj", "--to", "index.cdxj"])
        .expect(0);
    let text = std::fs::read_to_string(place.path("index.cdxj")).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 22, "two rounds of eleven");
    assert!(lines.is_sorted(), "{text}");
    assert!(
        text.contains("\"mime\": \"warc/revisit\"") && text.contains("\"mime\": \"text/html\"")
    );
    let has_warcio = std::process::Command::new("python3")
        .args(["-c", "import warcio"])
        .output();
    if !has_warcio.is_ok_and(|output| output.status.success()) {
        println!("warcio is not installed: records were not read by it");
        return;
    }
    let read = "
import json, sys
from warcio.archiveiterator import ArchiveIterator
for line in open('index.cdxj'):
    key, date, rest = line.split(' ', 2)
    entry = json.loads(rest)
    with open('neap.segments/' + entry['filename'], 'rb') as file:
        file.seek(int(entry['offset']))
        records = ArchiveIterator(file)
        record = next(records)
        head = record.rec_headers
        assert head.get_header('WARC-Target-URI') == entry['url'], line
        assert head.get_header('WARC-Payload-Digest') == entry['digest'], line
        assert head.get_header('WARC-Date')[:19].translate({45: None, 58: None, 84: None}) == date, line
        assert record.http_headers.get_statuscode() == entry['status'], line
        kind = 'revisit' if entry.get('mime') == 'warc/revisit' else 'response'
        assert record.rec_type == kind, line
        record.content_stream().read()
        records.read_to_end(record)
        assert records.get_record_length() == int(entry['length']), line
";
    let output = std::process::Command::new("python3")
        .args(["-c", read])
        .current_dir(place.path(""))
        .output()
        .unwrap();
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{err}");
}

#[test]
fn a_store_is_checked_copied_and_measured_while_a_run_goes_on() {
    let (_silent, place, run) = going_on();
    let checked = place.neap(&["db", "check", "--bodies"]).expect(0);
    assert!(
        checked
            .out
            .contains("neap.db is whole: 1 round, 1 segment file, 1 body record"),
        "{}",
        checked.out
    );
    place.neap(&["export", "--to", "copy.db"]).expect(0);
    let of_copy = place
        .neap(&["--db", "copy.db", "status", "--format", "csv"])
        .expect(0);
    assert!(of_copy.out.contains("site,1,unfinished"), "{}", of_copy.out);
    let again = place.neap(&["export", "--to", "copy.db"]).expect(2);
    assert!(
        again.err.contains("copy.db exists already"),
        "{}",
        again.err
    );
    let stats = place.neap(&["db", "stats", "--format", "json"]).expect(0);
    let parts: Vec<Value> = serde_json::from_str(&stats.out).unwrap();
    let requests = parts
        .iter()
        .find(|part| part["name"] == "requests")
        .unwrap();
    assert_eq!(requests["rows"], 2);
    assert!(
        stats.err.contains("bytes for each request"),
        "{}",
        stats.err
    );
    let emptied = place.neap(&["db", "checkpoint"]).expect(0);
    assert!(
        emptied.out.contains("neap.db alone is complete"),
        "{}",
        emptied.out
    );
    for arguments in [&["db", "vacuum"][..], &["gc", "--keep", "1"]] {
        let refused = place.neap(arguments).expect(6);
        assert!(
            refused.err.contains("in use by another run"),
            "{}",
            refused.err
        );
    }
    // What would go can be seen meanwhile.
    place.neap(&["gc", "--keep", "1", "--dry-run"]).expect(0);
    run.kill();
    let after = place.neap(&["db", "check", "--bodies"]).expect(0);
    assert!(after.out.contains("is whole"), "{}", after.out);
}

/// Asks for the names in a place until they are so.
fn wait_for_names(place: &Place, mut are_so: impl FnMut(&[String]) -> bool) {
    let started = std::time::Instant::now();
    while !are_so(&names(place)) {
        assert!(started.elapsed() < PATIENCE, "{:?}", names(place));
    }
}

#[test]
fn an_export_that_is_stopped_or_killed_leaves_nothing_for_long() {
    let site = site();
    let place = crawled(&site);
    let is_draft = |name: &String| name.contains(".new-");
    let endless = "(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n) > 0";
    let export = ["export", "results", "--to", "a.csv", "--where", endless];
    for (signal, code) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143)] {
        let running = place.start(&export);
        wait_for_names(&place, |names| names.iter().any(is_draft));
        running.signal(signal);
        let said = running.wait().expect(code).err;
        assert!(said.contains("stopped before a.csv was complete"), "{said}");
        let is_new = |name: &String| is_draft(name) || name == "a.csv";
        assert!(!names(&place).iter().any(is_new), "{:?}", names(&place));
    }
    let running = place.start(&export);
    wait_for_names(&place, |names| names.iter().any(is_draft));
    running.kill();
    assert!(names(&place).iter().any(is_draft));
    place
        .neap(&["export", "results", "--to", "a.csv"])
        .expect(0);
    assert!(!names(&place).iter().any(is_draft), "{:?}", names(&place));
}

#[test]
fn a_link_is_written_through_and_stays_one() {
    let site = site();
    let place = crawled(&site);
    std::fs::create_dir(place.path("elsewhere")).unwrap();
    place.write("elsewhere/real.csv", "old");
    let link = place.path("link.csv");
    std::os::unix::fs::symlink("elsewhere/real.csv", &link).unwrap();
    place
        .neap(&["export", "results", "--to", "link.csv"])
        .expect(2);
    place
        .neap(&["export", "results", "--to", "link.csv", "--force"])
        .expect(0);
    assert!(link.is_symlink());
    let real = std::fs::read_to_string(place.path("elsewhere/real.csv")).unwrap();
    assert_eq!(real.lines().count(), 12);
}

#[test]
fn a_copy_says_where_its_bodies_are() {
    let site = site();
    let place = crawled(&site);
    let page = site.url("/page/3");
    let body = place.neap(&["body", &page]).expect(0).out;
    let said = place.neap(&["export", "--to", "copy.db"]).expect(0);
    assert!(said.err.contains("neap.segments"), "{}", said.err);
    let copy = |arguments: &[&str]| place.neap(&[&["--db", "copy.db"][..], arguments].concat());
    assert_eq!(copy(&["body", &page]).expect(0).out, body);
    for command in [
        &["db", "check", "--bodies"][..],
        &["db", "stats"],
        &["gc", "--keep", "0", "--dry-run"],
        &["gc", "--keep", "0", "--bodies"],
    ] {
        let said = copy(command).expect(0);
        assert!(
            said.err.contains("copy.db is a copy: the bodies stay in")
                && said.err.contains("neap.segments"),
            "{command:?}: {}",
            said.err
        );
        if command[0] == "gc" {
            assert!(said.err.contains("0 segment files of 0 B"), "{}", said.err);
        }
    }
    assert_eq!(place.neap(&["body", &page]).expect(0).out, body);
    // The one above has no bodies any more.
    place.neap(&["export", "--to", "again.db"]).expect(0);
    let copy = |arguments: &[&str]| place.neap(&[&["--db", "again.db"][..], arguments].concat());
    std::fs::remove_dir_all(place.path("neap.segments")).unwrap();
    let said = copy(&["body", &page]).expect(1);
    assert!(
        said.err.contains("is a copy without bodies") && said.err.contains("ask the store"),
        "{}",
        said.err
    );
    let said = copy(&["db", "check", "--bodies"]).expect(0);
    assert!(
        said.out.contains("note: again.db is a copy without bodies"),
        "{}",
        said.out
    );
}

#[test]
fn damage_is_found_and_told() {
    let site = site();
    let place = crawled(&site);
    let file = place.path("neap.segments/neap-000001-00001.warc.gz");
    let mut content = std::fs::read(&file).unwrap();
    let middle = content.len() / 2;
    content[middle] ^= 0xff;
    std::fs::write(&file, content).unwrap();
    place.neap(&["db", "check"]).expect(0);
    let said = place.neap(&["db", "check", "--bodies"]).expect(1);
    assert!(
        said.out.contains("damage: http://") && said.out.contains("neap.db is damaged"),
        "{}",
        said.out
    );
}

#[test]
fn old_rounds_go_and_what_the_newest_needs_stays() {
    let site = site();
    let place = crawled(&site);
    for _ in 0..2 {
        place.neap(&["run", "site.toml"]).expect(0);
    }
    place.neap(&["gc"]).expect(2);
    let segments = || {
        std::fs::read_dir(place.path("neap.segments"))
            .unwrap()
            .filter(|entry| {
                let name = entry.as_ref().unwrap().file_name();
                name.to_string_lossy().ends_with(".warc.gz")
            })
            .count()
    };
    assert_eq!(segments(), 3);
    let dry = place.neap(&["gc", "--keep", "1", "--dry-run"]).expect(0);
    assert!(
        dry.err
            .contains("would remove 2 rounds with 22 requests, and 1 segment file"),
        "{}",
        dry.err
    );
    assert_eq!(place.number("SELECT count(*) FROM jobs"), 3);
    let removed = place.neap(&["gc", "--keep", "1"]).expect(0);
    assert!(
        removed.err.contains("removed 2 rounds with 22 requests"),
        "{}",
        removed.err
    );
    // The first file has the bodies that the third round's revisits refer to.
    assert_eq!(segments(), 2);
    let body = place.neap(&["body", &site.url("/page/5")]).expect(0);
    assert!(body.out.contains("page 5"));
    place.check_invariants();
    let checked = place.neap(&["db", "check", "--bodies"]).expect(0);
    assert!(checked.out.contains("is whole: 1 round"), "{}", checked.out);
    let vacuumed = place.neap(&["db", "vacuum"]).expect(0);
    assert!(vacuumed.out.contains("before"), "{}", vacuumed.out);
    let nothing = place.neap(&["gc", "--older", "30d"]).expect(0);
    assert!(nothing.err.contains("removed 0 rounds"), "{}", nothing.err);
    // A further round builds on what is left.
    place.neap(&["run", "site.toml"]).expect(0);
    place.neap(&["db", "check", "--bodies"]).expect(0);
    let bodies = place.neap(&["gc", "--keep", "0", "--bodies"]).expect(0);
    assert!(
        bodies.err.contains("removed the bodies of 2 rounds"),
        "{}",
        bodies.err
    );
    assert_eq!(segments(), 0);
    assert_eq!(place.number("SELECT count(*) FROM results"), 22);
}

#[test]
fn a_store_of_another_version_is_refused_by_name() {
    let site = site();
    let place = crawled(&site);
    let said = place.neap(&["db", "migrate"]).expect(0);
    assert!(said.out.contains("nothing to do"), "{}", said.out);
    set_version(&place.path("neap.db"), 99);
    let before = std::fs::read(place.path("neap.db")).unwrap();
    for arguments in [
        &["db", "check"][..],
        &["db", "migrate"],
        &["db", "stats"],
        &["db", "checkpoint"],
        &["db", "vacuum"],
        &["gc", "--keep", "1"],
        &["export", "results"],
        &["export", "--to", "copy.db"],
        &["run", "site.toml"],
        &["status"],
    ] {
        let refused = place.neap(arguments).expect(8);
        assert!(
            refused.err.contains("newer neap (store version 99"),
            "{arguments:?}: {}",
            refused.err
        );
    }
    assert!(
        std::fs::read(place.path("neap.db")).unwrap() == before,
        "it was touched"
    );
}

/// Writes SQLite's `user_version` into the header of a database.
fn set_version(path: &Path, version: u32) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[60..64].copy_from_slice(&version.to_be_bytes());
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn a_query_has_its_time_and_no_more() {
    let site = site();
    let place = crawled(&site);
    let endless =
        "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n";
    let said = place
        .neap(&["query", endless, "--time-limit", "50ms"])
        .expect(1);
    assert!(
        said.err.contains("stopped after 50ms") && said.err.contains("--time-limit"),
        "{}",
        said.err
    );
}
