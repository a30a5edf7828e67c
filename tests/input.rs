//! Does what people have at hand become a job: tables, packed files, pipes, very long lists?

use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

use neap_testkit::{Reply, Site, Tree};
use nix::sys::signal::Signal;

use crate::support::{Place, Said, site_job};

const PATIENCE: Duration = Duration::from_secs(60);

/// A job of one file of URLs.
fn list_job(file: &str, more: &str) -> String {
    format!(
        "neap = 1\nname = \"list\"\n[input]\nfiles = [\"{file}\"]\n{more}\n[robots]\nmode = \"off\"\n"
    )
}

#[test]
fn columns_of_a_table_stand_beside_the_results() {
    let site = Site::builder()
        .page("/1", Reply::html("one", [""; 0]))
        .page("/2", Reply::redirect(302, "/moved"))
        .page("/moved", Reply::html("two", [""; 0]))
        .page("/3", Reply::status(403))
        .start();
    let place = Place::new();
    let base = site.base_url();
    let table = format!(
        "sku,page\n7,{base}/1\nbroken\n8,\"{base}/2\"\n9,{base}/3\n10,{base}/1\n11,not a url\n"
    );
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), Default::default());
    packed.write_all(table.as_bytes()).unwrap();
    std::fs::write(place.path("list.csv.gz"), packed.finish().unwrap()).unwrap();
    place.write(
        "list.toml",
        &list_job("list.csv.gz", "url_column = \"page\""),
    );
    for arguments in [vec!["check", "list.toml"], vec!["check", "-v", "list.toml"]] {
        let said = place.neap(&arguments).expect(0);
        assert!(
            said.err.contains("list.csv.gz:3: 1 column,"),
            "{}",
            said.err
        );
        assert!(
            said.err.contains("list.csv.gz:7: not a URL"),
            "{}",
            said.err
        );
    }
    let said = place.neap(&["run", "list.toml"]).expect(0);
    assert!(said.err.contains("2 malformed lines"), "{}", said.err);
    assert!(
        said.err.contains("3 URLs (1 duplicate left out)"),
        "{}",
        said.err
    );
    let rows =
        place.query("SELECT input ->> 'sku' AS sku, status, final_url FROM results ORDER BY 1");
    let skus: Vec<_> = rows
        .iter()
        .map(|row| row["sku"].as_str().unwrap())
        .collect();
    assert_eq!(skus, ["7", "8", "9"]);
    assert_eq!(rows[1]["final_url"], format!("{base}/moved"));
    let failed = place.query("SELECT json_extract(input, '$.sku') AS sku FROM failures");
    assert_eq!(failed[0]["sku"], "9");
    place.check_invariants();
    let said = place
        .neap(&["check", "list.toml", "--set", "input.url_column=nope"])
        .expect(2);
    assert!(said.err.contains("list.toml:4:10"), "{}", said.err);
    assert!(said.err.contains("sku"), "{}", said.err);
}

#[test]
fn urls_come_through_a_pipe() {
    let site = Site::builder().tree(Tree::new(5, 4, 300)).start();
    let place = Place::new();
    place.write("list.toml", &list_job("-", "format = \"jsonl\""));
    let mut child = place
        .command(&["run", "list.toml"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = child.stdin.take().unwrap();
    writeln!(pipe, "{{\"url\":\"{}\",\"from\":\"pipe\"}}", site.url("/")).unwrap();
    drop(pipe);
    Said::from(child.wait_with_output().unwrap()).expect(0);
    let rows = place.query("SELECT input ->> 'from' AS found FROM results");
    assert_eq!((rows.len(), rows[0]["found"].as_str()), (1, Some("pipe")));
}

#[test]
fn a_signal_ends_a_submission_with_a_word_and_leaves_nothing() {
    for (signal, code) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143)] {
        let place = Place::new();
        place.write("list.toml", &list_job("-", ""));
        let mut child = place
            .command(&["submit", "list.toml", "-vv"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // The store is there, so that it listens and reads.
        while !place.path("neap.db.submit").exists() {
            std::thread::yield_now();
        }
        let pid = nix::unistd::Pid::from_raw(child.id().cast_signed());
        nix::sys::signal::kill(pid, signal).unwrap();
        let pipe = child.stdin.take();
        let said = Said::from(child.wait_with_output().unwrap()).expect(code);
        drop(pipe);
        assert!(
            said.err.contains("nothing of it is in the store"),
            "{}",
            said.err
        );
        let left = std::fs::read_dir(place.path("")).unwrap().count();
        assert_eq!(left, 1, "the job file alone");
    }
}

#[test]
fn a_submission_that_is_killed_leaves_nothing_to_be_seen() {
    let place = Place::new();
    let lines: String = (0..200_000)
        .map(|n| format!("http://h{}.example/{n}\n", n % 50))
        .collect();
    place.write("urls.txt", &lines);
    place.write("list.toml", &list_job("urls.txt", ""));
    place.write(
        "one.toml",
        "neap = 1\nname = \"one\"\n[input]\nurls = [\"http://a.example/\"]\n",
    );
    place.neap(&["submit", "one.toml"]).expect(0);
    let submission = place.start(&["submit", "list.toml"]);
    while place.number("SELECT count(*) FROM requests") < 2 {}
    submission.kill();
    let drafts = place.number("SELECT count(*) FROM drafts");
    assert_eq!(drafts, 1, "it was complete before it was killed");
    assert_eq!(place.number("SELECT count(*) FROM jobs"), 1);
    place.neap(&["submit", "one.toml", "--fresh"]).expect(0);
    assert_eq!(place.number("SELECT count(*) FROM drafts"), 0);
    assert_eq!(place.number("SELECT count(*) FROM requests"), 2);
    place.check_invariants();
    place.neap(&["submit", "list.toml"]).expect(0);
    assert_eq!(
        place.number("SELECT total FROM (SELECT ready AS total FROM jobs WHERE name = 'list')"),
        200_000
    );
}

#[test]
fn a_job_that_is_submitted_meanwhile_is_taken_up_by_a_run_of_all() {
    let (first, second) = (Tree::new(100, 4, 400), Tree::new(10, 4, 400));
    let (one, two) = (
        Site::builder()
            .tree(first.clone())
            .latency(Duration::from_millis(20))
            .start(),
        Site::builder().tree(second.clone()).start(),
    );
    let place = Place::new();
    place.write(
        "site.toml",
        &site_job(&one.url("/"), "[limits]\nper_host = 4\n"),
    );
    place.write(
        "two.toml",
        &site_job(&two.url("/"), "").replace("\"site\"", "\"two\""),
    );
    place.neap(&["submit", "site.toml"]).expect(0);
    let run = place.start(&["resume"]);
    one.wait_answered(10, PATIENCE).unwrap();
    let said = place.neap(&["submit", "two.toml"]).expect(0);
    assert!(
        said.err.contains("the run that is going on works on it"),
        "{}",
        said.err
    );
    let said = run.wait().expect(0);
    assert!(said.err.contains("two round 1 finished"), "{}", said.err);
    assert_eq!(place.results().len(), 110);
    place.check_invariants();
}

#[test]
fn a_job_that_is_submitted_meanwhile_stays_for_the_next_if_the_run_has_jobs_of_its_own() {
    let site = Site::builder()
        .tree(Tree::new(60, 4, 400))
        .latency(Duration::from_millis(20))
        .start();
    let other = Site::builder().tree(Tree::new(5, 4, 400)).start();
    let place = Place::new();
    place.write(
        "site.toml",
        &site_job(&site.url("/"), "[limits]\nper_host = 4\n"),
    );
    place.write(
        "two.toml",
        &site_job(&other.url("/"), "").replace("\"site\"", "\"two\""),
    );
    let run = place.start(&["run", "site.toml"]);
    site.wait_answered(5, PATIENCE).unwrap();
    let said = place.neap(&["submit", "two.toml"]).expect(0);
    assert!(
        said.err.contains("`neap resume` takes it up afterwards"),
        "{}",
        said.err
    );
    // Input for the job that is run is asked for at once, with all that it leads to.
    let wider = Site::builder().tree(Tree::new(7, 4, 400)).start();
    let more = site_job(&site.url("/"), "[limits]\nper_host = 4\n")
        .replace("urls = [", &format!("urls = [\"{}\", ", wider.url("/")));
    place.write("site.toml", &more);
    let said = place.neap(&["submit", "site.toml"]).expect(0);
    assert!(said.err.contains("1 URL new in the input"), "{}", said.err);
    run.wait().expect(0);
    assert_eq!(other.asked(), 0);
    assert_eq!(place.results().len(), 67);
    place.neap(&["resume"]).expect(0);
    assert!(other.asked() > 0);
    place.check_invariants();
}

#[test]
fn unchanged_files_are_not_read_again() {
    let site = Site::builder().tree(Tree::new(40, 4, 300)).start();
    let place = Place::new();
    let path = place.write("urls.txt", &format!("{}\nnot a url\n", site.url("/")));
    let file = std::fs::File::options().append(true).open(&path).unwrap();
    file.set_modified(std::time::SystemTime::now() - PATIENCE)
        .unwrap();
    place.write(
        "list.toml",
        &list_job("urls.txt", "").replace("[robots]", "[crawl]\nscope = \"host\"\n[robots]"),
    );
    let said = place.neap(&["run", "list.toml", "--limit", "3"]).expect(5);
    assert!(said.err.contains("1 malformed line"), "{}", said.err);
    let said = place.neap(&["run", "list.toml", "--limit", "3"]).expect(5);
    assert!(
        !said.err.contains("malformed"),
        "it was read again: {}",
        said.err
    );
    std::fs::write(
        &path,
        format!("{}\nnot a url\n{}\n", site.url("/"), site.url("/new")),
    )
    .unwrap();
    let said = place.neap(&["run", "list.toml"]).expect(0);
    assert!(
        said.err.contains("malformed") && said.err.contains("1 URL new"),
        "{}",
        said.err
    );
    assert_eq!(site.count("/new"), 1);
}
