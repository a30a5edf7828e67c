//! Do the commands say what is wrong, where, and what to do next?

use neap_testkit::{Reply, Site};

use crate::support::{Place, site_job};

#[test]
fn a_bad_job_file_is_refused_with_its_place_and_stores_nothing() {
    let place = Place::new();
    let job = "neap = 1\nname = \"bad\"\n[input]\nurls = [\"http://a.example/\"]\n\
               [limits]\nper_host_rte = \"5/s\"\n";
    place.write("bad.toml", job);
    for command in ["check", "submit", "run"] {
        let said = place.neap(&[command, "bad.toml"]).expect(2);
        assert!(said.err.contains("bad.toml:6:1"), "{}", said.err);
        assert!(
            said.err.contains("did you mean `per_host_rate`"),
            "{}",
            said.err
        );
    }
    assert!(
        !place.path("neap.db").exists(),
        "a refused job leaves no store"
    );
}

#[test]
fn without_a_store_commands_say_where_they_looked_and_create_none() {
    let place = Place::new();
    for arguments in [
        vec!["status"],
        vec!["hosts"],
        vec!["resume"],
        vec!["query", "SELECT 1"],
        vec!["body", "http://a.example/"],
        vec!["run", "nameless"],
    ] {
        let said = place.neap(&arguments).expect(2);
        assert!(said.err.contains("neap.db"), "{arguments:?}: {}", said.err);
        assert!(
            !place.path("neap.db").exists(),
            "{arguments:?} created a store"
        );
    }
}

#[test]
fn a_file_that_is_no_store_is_left_alone() {
    let place = Place::new();
    place.write("neap.db", "this is no database, but somebody's diary");
    for command in [vec!["status"], vec!["query", "SELECT 1"], vec!["resume"]] {
        let said = place.neap(&command).expect(1);
        assert!(said.err.contains("neap.db"), "{}", said.err);
    }
    let text = std::fs::read_to_string(place.path("neap.db")).unwrap();
    assert_eq!(text, "this is no database, but somebody's diary");
}

#[test]
fn queries_read_and_never_write() {
    let site = Site::builder()
        .page("/", Reply::html("top", [""; 0]))
        .start();
    let place = Place::new();
    place.write("site.toml", &site_job(&site.url("/"), ""));
    place.neap(&["run", "site.toml"]).expect(0);
    for sql in [
        "DELETE FROM requests",
        "UPDATE jobs SET state = 0",
        "INSERT INTO store_meta VALUES ('a', 'b')",
        "DROP TABLE jobs",
        "ATTACH 'other.db' AS other",
        "VACUUM INTO 'copy.db'",
        "SELECT 1; DELETE FROM requests",
        "PRAGMA user_version = 99",
    ] {
        let said = place.neap(&["query", sql]);
        assert_ne!(said.code, Some(0), "{sql} went through: {}", said.out);
    }
    assert!(!place.path("other.db").exists() && !place.path("copy.db").exists());
    assert_eq!(place.number("SELECT count(*) FROM results"), 1);
    let bad = place.neap(&["query", "SELEC 1"]).expect(2);
    assert!(bad.err.contains("SELEC"), "{}", bad.err);
}

#[test]
fn every_format_prints_rows() {
    let site = Site::builder()
        .page("/", Reply::html("top", [""; 0]))
        .start();
    let place = Place::new();
    place.write("site.toml", &site_job(&site.url("/"), ""));
    place.neap(&["run", "site.toml"]).expect(0);
    let sql = "SELECT 1 AS a, 'x,y' AS b, NULL AS c";
    for (format, expected) in [
        ("csv", "a,b,c\n1,\"x,y\",\n"),
        ("jsonl", "{\"a\":1,\"b\":\"x,y\",\"c\":null}\n"),
    ] {
        let said = place.neap(&["query", sql, "--format", format]).expect(0);
        assert_eq!(said.out, expected, "{format}");
    }
    for command in [
        vec!["status"],
        vec!["hosts"],
        vec!["query", "SELECT * FROM results"],
    ] {
        for format in ["table", "json", "jsonl", "csv", "tsv", "markdown"] {
            let mut arguments = command.clone();
            arguments.extend(["--format", format]);
            let said = place.neap(&arguments).expect(0);
            assert!(!said.out.is_empty(), "{arguments:?}");
        }
    }
}

#[test]
fn text_from_strangers_is_escaped_on_its_way_to_people() {
    let site = Site::builder()
        .page(
            "/",
            Reply::html("top", [""; 0]).header("content-type", "text/html; x=\u{1b}[2J\u{9b}31m"),
        )
        .start();
    let place = Place::new();
    place.write("site.toml", &site_job(&site.url("/"), ""));
    let run = place.neap(&["run", "site.toml"]);
    assert!(!run.err.contains('\u{1b}'), "{:?}", run.err);
    for format in ["table", "markdown", "json", "jsonl"] {
        let sql = "SELECT *, char(27) || '[2J' AS evil, 'ok' AS good FROM results";
        let said = place.neap(&["query", sql, "--format", format]).expect(0);
        assert!(
            !said.out.contains(['\u{1b}', '\u{9b}']),
            "{format}: {:?}",
            said.out
        );
        assert!(said.out.contains("ok"), "{format}");
    }
}

#[test]
fn help_is_there_for_commands_and_exit_codes() {
    let place = Place::new();
    let codes = place.neap(&["help", "exit-codes"]).expect(0).out;
    for code in ["0", "1", "2", "3", "5", "6", "7", "8", "130"] {
        assert!(
            codes
                .lines()
                .any(|line| line.trim_start().starts_with(code)),
            "{code}: {codes}"
        );
    }
    assert!(
        place
            .neap(&["help", "run"])
            .expect(0)
            .out
            .contains("--fresh")
    );
    place.neap(&["help", "nonsense"]).expect(2);
    place.neap(&["nonsense"]).expect(2);
    place.neap(&["--version"]).expect(0);
}

#[test]
fn what_is_expected_of_a_crawl_decides_its_exit_code() {
    let site = Site::builder()
        .page("/", Reply::html("top", ["/a", "/b", "/c"]))
        .page("/a", Reply::html("a", [""; 0]))
        .page("/b", Reply::status(403))
        .page("/c", Reply::status(404))
        .start();
    for (expect, arguments, code, told) in [
        ("", vec![], 0, ""),
        ("", vec!["--fail-on", "any"], 4, ""),
        ("max_failed = 1", vec!["--fail-on", "any"], 0, ""),
        (
            "max_failed = 0",
            vec![],
            3,
            "expect.max_failed = 0   was 1 (25.00 %)",
        ),
        ("max_failed = \"25%\"", vec![], 0, ""),
        (
            "max_failed = \"24.9%\"",
            vec![],
            3,
            "expect.max_failed = \"24.9%\"",
        ),
        ("min_pages = 3", vec![], 0, ""),
        ("min_pages = 4", vec![], 3, "expect.min_pages = 4   was 3"),
        ("statuses = [\"2xx\", 403, \"404\"]", vec![], 0, ""),
        (
            "statuses = [\"200\"]",
            vec![],
            3,
            "expect.statuses = [\"200\"]   came too: 403 1 · 404 1",
        ),
        ("max_bytes = \"1MiB\"", vec![], 0, ""),
        (
            "max_bytes = 9",
            vec![],
            3,
            "expect.max_bytes = \"9\"   was ",
        ),
        // Nothing is expected before it has ended.
        ("min_pages = 4", vec!["--limit", "1"], 5, ""),
    ] {
        let place = Place::new();
        let section = format!("[expect]\n{expect}");
        place.write("site.toml", &site_job(&site.url("/"), &section));
        let mut run = vec!["run", "site.toml"];
        run.extend(&arguments);
        let said = place.neap(&run).expect(code);
        assert!(said.err.contains(told), "{expect}: {}", said.err);
        let is_told = said.err.contains('✗');
        assert_eq!(is_told, code == 3, "{expect} {arguments:?}: {}", said.err);
    }
}

#[test]
fn a_crawl_that_fetched_nothing_says_so_and_counts_its_pages() {
    let gone = Site::builder().page("/", Reply::status(404)).start();
    let rules = "User-agent: *\nDisallow: /\n";
    let forbidden = Site::builder()
        .page("/robots.txt", Reply::text(rules))
        .page("/", Reply::html("top", [""; 0]))
        .start();
    for (site, told, next) in [
        (
            &gone,
            "1 request   1 page   1 done",
            "SELECT url, status FROM results",
        ),
        (
            &forbidden,
            "1 request   0 pages   0 done   0 failed   1 skipped",
            "SELECT url, reason FROM skipped",
        ),
    ] {
        let place = Place::new();
        place.write("site.toml", &site_job(&site.url("/"), ""));
        let said = place.neap(&["run", "site.toml"]).expect(3).err;
        for part in [told, next, "✗ nothing was fetched: no page was answered"] {
            assert!(said.contains(part), "{part}: {said}");
        }
        assert!(!said.contains("attempts without a page"), "{said}");
        let sql = said
            .split("query \"")
            .nth(1)
            .unwrap()
            .split('"')
            .next()
            .unwrap();
        assert_eq!(place.query(sql).len(), 1);
        // A job that says what it expects is judged by that alone.
        let expect = "[expect]\nmax_failed = 0\n";
        place.write(
            "told.toml",
            &site_job(&site.url("/"), expect).replace("\"site\"", "\"told\""),
        );
        place.neap(&["run", "told.toml"]).expect(0);
    }
    let place = Place::new();
    place.write("site.toml", &site_job(&gone.url("/"), ""));
    let said = place.neap(&["run", "site.toml"]).expect(3).err;
    assert!(said.contains("of the pages   http_404 1"), "{said}");
}

#[test]
fn a_submission_that_fails_leaves_no_store() {
    let place = Place::new();
    place.write("empty.txt", "# nothing\n");
    for (job, file) in [
        ("missing.toml", "nowhere.txt"),
        ("none.toml", "empty.txt"),
        ("pipe.toml", "-"),
    ] {
        place.write(job, &format!("neap = 1\n[input]\nfiles = [\"{file}\"]\n"));
    }
    let names = || {
        let entries = std::fs::read_dir(place.path("")).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect::<std::collections::BTreeSet<_>>()
    };
    let before = names();
    let failing = || {
        for command in ["run", "submit"] {
            for job in ["missing.toml", "none.toml", "pipe.toml"] {
                place.neap(&[command, job]).expect(2);
            }
        }
    };
    failing();
    assert_eq!(names(), before);
    let site = Site::builder()
        .page("/", Reply::html("top", [""; 0]))
        .start();
    place.write("site.toml", &site_job(&site.url("/"), ""));
    let said = place.neap(&["submit", "site.toml"]).expect(0).err;
    assert!(
        said.contains("site: round 1 is submitted with 1 URL"),
        "{said}"
    );
    failing();
    let said = place.neap(&["run", "site.toml"]).expect(0).err;
    assert!(said.contains("1 request   1 page   1 done"), "{said}");
}

#[test]
fn advice_fits_what_is_wrong() {
    let site = Site::builder()
        .page("/", Reply::html("top", [""; 0]))
        .start();
    let place = Place::new();
    place.write("site.toml", &site_job(&site.url("/"), ""));
    place.neap(&["run", "site.toml"]).expect(0);
    std::fs::create_dir(place.path("dir")).unwrap();
    let host = site.base_url();
    for (command, told) in [
        (
            vec!["export", "results", "--to", "no/such/x.csv"],
            vec!["there is no directory no/such", "create it"],
        ),
        (
            vec!["export", "--to", "no/such/x.db"],
            vec!["there is no directory no/such", "create it"],
        ),
        (
            vec!["export", "results", "--to", "site.toml/x.csv"],
            vec!["there is no directory site.toml"],
        ),
        (
            vec!["hosts", "--history", &host, "--svg", "no/x.svg"],
            vec!["there is no directory no", "create it"],
        ),
        (
            vec!["export", "results", "--format", "json", "--to", "x.csv"],
            vec!["another form than the ending"],
        ),
        (
            vec!["status", "--db", "site.toml/neap.db"],
            vec!["there is no store", "--db FILE"],
        ),
        (vec!["status", "--db", "dir"], vec!["is no regular file"]),
        (
            vec!["run", "site.toml", "--db", "no/neap.db"],
            vec!["there is no directory no", "create it"],
        ),
        (
            vec!["run", "nofile.toml"],
            vec!["cannot read the job file nofile.toml", "name a job file"],
        ),
        (
            vec!["check", "dir"],
            vec!["cannot read the job file dir", "name a job file"],
        ),
        (
            vec!["query", "SELECT 1", "--time-limit", "5"],
            vec!["the unit is missing", "write e.g."],
        ),
        (
            vec!["retry", "site", "--cause", "bogus"],
            vec!["no request fails for the cause", "`http_502`"],
        ),
        (vec!["gc"], vec!["which rounds are old?"]),
    ] {
        let said = place.neap(&command).expect(2).err;
        for part in told {
            let said = said.replace("\n  │ ", " ").replace("\n        ", " ");
            assert!(
                said.contains(part),
                "{command:?}: {part:?} is not in {said}"
            );
        }
        assert!(
            !said.contains("quota") && !said.contains(".new-"),
            "{command:?}: {said}"
        );
    }
    for (command, usage) in [("query", "Usage: neap query"), ("db", "Usage: neap db")] {
        let said = place.neap(&["help", command]).expect(0).out;
        assert!(said.contains(usage), "{said}");
    }
    place.write(
        "twice.txt",
        "http://a.example/\nhttp://a.example/#top\nhttp://b.example/\n",
    );
    place.write("twice.toml", "neap = 1\n[input]\nfiles = [\"twice.txt\"]\n");
    let said = place.neap(&["check", "twice.toml"]).expect(0).out;
    assert!(
        said.contains("2 URLs on 2 hosts (1 duplicate left out)"),
        "{said}"
    );
}
