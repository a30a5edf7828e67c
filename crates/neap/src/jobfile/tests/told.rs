//! Is what is wrong with a job told so that it can be mended?

use super::*;

#[test]
fn a_file_that_is_described_wrongly_is_refused_where_it_stands() {
    for (files, complaint) in [
        ("[{ format = 'csv' }]", "the file has no `path`"),
        ("[{ path = 'a.csv', kep = [] }]", "unknown key `kep`"),
        ("[{ path = 'a.csv', keep = 'sku' }]", "`keep` is an array"),
        (
            "[{ path = 'a.csv', format = 'xls' }]",
            "unknown value `xls`",
        ),
        (
            "[{ path = 'a.txt', url = 'page' }]",
            "a text has one URL a line",
        ),
        ("[7]", "expected a file, found an integer"),
    ] {
        let error = read_job(&format!("neap = 1\n[input]\nfiles = {files}\n"), &[]);
        let told = shown(&error.expect_err(files));
        assert!(told.contains(complaint), "{files}: {told}");
        assert!(told.contains("job.toml:3:10"), "{told}");
    }
}

#[test]
fn an_unknown_key_looks_like_this() {
    let text =
        "neap = 1\n[limits]\nper_host = 16                   # ceiling\nper_host_rte = \"5/s\"\n";
    let told = shown(
        &read_job(
            &format!("{text}{}", "[input]\nurls = ['http://a.example/']"),
            &[],
        )
        .unwrap_err(),
    );
    let start = told.find("[").unwrap();
    let name = told[start + 1..].split("job.toml").next().unwrap();
    assert_eq!(
        told.replace(name, ""),
        "\
neap::job

  × unknown key `per_host_rte`
   ╭─[job.toml:4:1]
 3 │ per_host = 16                   # ceiling
 4 │ per_host_rte = \"5/s\"
   · ──────┬─────
   ·       ╰── not a key of this section
 5 │ [input]
   ╰────
  help: did you mean `per_host_rate`?
"
    );
}

#[test]
fn a_caret_marks_the_value_and_the_help_says_what_to_write() {
    for (text, place, marked, says) in [
        (
            "neap = 1\n[input]\nurls = ['http://a.example/',\n 'nonsense']",
            "4:2",
            "'nonsense'",
            "write the whole URL",
        ),
        (
            "neap = 2\n[input]\nurls = ['http://a.example/']",
            "1:8",
            "2",
            "this neap knows format 1, not 2",
        ),
        (
            "neap = '1'\n[input]\nurls = ['http://a.example/']",
            "1:8",
            "'1'",
            "expected an integer",
        ),
        (
            "neap = 1\n[input]\nurls = []",
            "2:2",
            "input",
            "the job has nothing to fetch",
        ),
        (
            "neap = 1\nlimits = 3\n[input]\nfiles = ['a']",
            "2:10",
            "3",
            "expected a table, found an integer",
        ),
        (
            "neap = 1\n[[limits]]\n[input]\nfiles = ['a']",
            "2:1",
            "[[limits]]",
            "expected a table, found an array",
        ),
        (
            "neap = 1\n[crawl]\nscope = \"hots\"\n[input]\nfiles = ['a']",
            "3:9",
            "\"hots\"",
            "did you mean `host`?",
        ),
        (
            "neap = 1\nlabels = {}\n[input]\nfiles = ['a']",
            "2:1",
            "labels",
            "known here: neap, name",
        ),
        (
            "neap = 1\n[browser]\n[input]\nfiles = ['a']",
            "2:2",
            "browser",
            "unknown key `browser`",
        ),
        (
            "neap = 1\n[retry]\ndelay = '1s'\n[input]\nfiles = ['a']",
            "3:1",
            "delay",
            "`delay` belongs to [limits]",
        ),
        (
            "neap = 1\n[limits.retry]\n[input]\nfiles = ['a']",
            "2:9",
            "retry",
            "[retry] is a section of its own",
        ),
        (
            "neap = 1\n[input]\nfiles = [{ path = 7 }]",
            "3:10",
            "{ path = 7 }",
            "expected a string, found an integer",
        ),
        ("neap = 1\nneap = 1", "2:1", "neap", "duplicate key"),
        (
            "neap = 1\n[input]\nfiles = ['a'",
            "3:13",
            "",
            "unclosed array",
        ),
        ("neap = 1\nname = prices", "2:8", "prices", "must be quoted"),
        ("", "", "", "is empty"),
    ] {
        let told = shown(&read_job(text, &[]).unwrap_err());
        assert!(told.contains(says), "expected `{says}` in\n{told}");
        assert!(
            place.is_empty() || told.contains(&format!("job.toml:{place}]")),
            "{place} in\n{told}"
        );
        let caret = told
            .lines()
            .find(|line| line.contains("·") && (line.contains('┬') || line.contains('▲')));
        let width = caret.map_or(0, |caret| {
            caret.chars().filter(|c| matches!(c, '─' | '┬')).count()
        });
        assert_eq!(
            width,
            marked.chars().count(),
            "`{marked}` is marked in\n{told}"
        );
    }
}

#[test]
fn what_is_missing_is_told_with_the_line_to_add() {
    for (text, message, help) in [
        (
            "[input]\nurls = ['http://a.example/']",
            "the key `neap` is missing",
            "begin the file with `neap = 1`",
        ),
        (
            "neap = 1",
            "the job has nothing to fetch",
            "urls = [\"https://example.org/\"]",
        ),
    ] {
        let told = shown(&read_job(text, &[]).unwrap_err());
        assert!(told.contains(message) && told.contains(help), "{told}");
        assert!(told.contains("job.toml:1:1]"), "{told}");
    }
}

#[test]
fn a_job_without_a_name_has_that_of_its_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("weekly-prices.toml");
    std::fs::write(&path, SMALLEST).unwrap();
    let read_back = read(&path, &[]).unwrap();
    assert_eq!(read_back.job.name, "weekly-prices");
    assert_eq!(
        (read_back.path, read_back.dir.as_path()),
        (path, dir.path())
    );
    let path = dir.path().join("a b.toml");
    std::fs::write(&path, SMALLEST).unwrap();
    let told = shown(&read(&path, &[]).unwrap_err());
    assert!(
        told.contains("the job has no name") && told.contains("add e.g. `name"),
        "{told}"
    );
}

#[test]
fn all_that_is_wrong_is_told_at_once_and_in_order() {
    let text = "neap = 1\nfoo = 1\n[limits]\nper_host = 0\nbar = 2\n[input]\nurls = ['x', 'http://a.example/', 'y']";
    let error = read_job(text, &["limits.delay=soon"]).unwrap_err();
    assert!(error.to_string().starts_with("6 problems in "), "{error}");
    let told = shown(&error);
    let at = |place: &str| {
        told.find(place)
            .unwrap_or_else(|| panic!("{place} in\n{told}"))
    };
    let places = [
        "job.toml:2:1",
        "job.toml:4:12",
        "job.toml:5:1",
        "job.toml:7:9",
        "job.toml:7:35",
        "--set:1:14",
    ];
    assert!(places.map(at).is_sorted(), "{told}");

    let many: String = (0..500).map(|n| format!("k{n} = 1\n")).collect();
    let error = read_job(&format!("{many}{SMALLEST}"), &[]).unwrap_err();
    let told = shown(&error);
    assert!(error.to_string().starts_with("500 problems"), "{error}");
    assert_eq!(told.matches("unknown key").count(), problem::MAX_PROBLEMS);
}

#[test]
fn a_secret_that_was_written_down_is_refused_and_not_shown() {
    for text in [
        "neap = 1\nfoo = 1\n[input]\nurls = ['https://me:hunter2@a.example/']",
        "neap = 1\n[input]\nurls = ['https://a.example/']\n[identity]\nheaders = { Authorization = 'hunter2', x = 1 }",
        "neap = 1\n[input]\nurls = ['https://a.example/']\n[identity.headers]\ncookie = '''\nhunter2\n'''\ny = 1",
    ] {
        let told = shown(&read_job(text, &[]).unwrap_err());
        assert!(
            told.contains("${env:") && told.contains("jobs are stored"),
            "{told}"
        );
        assert!(!told.contains("hunter2"), "{told}");
    }
    let told = shown(&read_job(SMALLEST, &["identity.headers.x-api-key=hunter2"]).unwrap_err());
    assert!(
        told.contains("${env:X_API_KEY}") && !told.contains("hunter2"),
        "{told}"
    );
}

#[test]
fn an_override_wins_over_the_file_and_the_last_one_over_others() {
    let text = "neap = 1\nname = 'a'\n[limits]\ndelay = 'nonsense'\nper_host = 3\n[identity.headers]\nAccept = 'a'\nx-b = 'b'\n[input]\nurls = ['http://a.example/']";
    let job = read_job(
        text,
        &[
            "limits.delay=2s",
            "limits.per_host = 4",
            "limits.per_host=5",
            "crawl.scope=\"host\"",
            "name= other ",
            "input.urls=['http://b.example/', 'http://c.example/']",
            "identity.headers.accept=c",
            "retry={attempts = 2}",
            "robots.mode=off",
        ],
    )
    .unwrap_or_else(|error| panic!("{}", shown(&error)))
    .job;
    assert_eq!(
        (job.limits.delay, job.limits.per_host),
        (Duration::from_secs(2), 5)
    );
    assert_eq!((job.name.as_str(), job.retry.attempts), ("other", 2));
    let urls: Vec<&str> = job.input.urls.iter().map(|url| url.as_str()).collect();
    assert_eq!(urls, ["http://b.example/", "http://c.example/"]);
    let headers: Vec<(&str, &str)> = job
        .identity
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.0.as_str()))
        .collect();
    assert_eq!(headers, [("accept", "c"), ("x-b", "b")]);

    let all = read_job(text, &["limits.delay=0s", "identity.headers={ x-c = 'c' }"])
        .unwrap()
        .job;
    assert_eq!(all.identity.headers.keys().collect::<Vec<_>>(), ["x-c"]);
}

#[test]
fn a_wrong_override_is_shown_as_it_was_typed() {
    for (given, place, says) in [
        (
            "limits.per_host=lots",
            "1:17",
            "expected an integer, found a string",
        ),
        ("limits.per_host=0", "1:17", "0 is out of range: 1 to 1024"),
        ("limits.per_hots=1", "1:1", "did you mean `per_host`?"),
        ("retry.per_host=1", "1:1", "`per_host` belongs to [limits]"),
        ("limit.per_host=1", "1:1", "did you mean [limits]?"),
        ("per_host=1", "1:1", "`per_host` belongs to [limits]"),
        ("limits.per_host.x=1", "1:1", "unknown key `per_host.x`"),
        // The bounds of memory are fixed: nothing may look as if it could be set.
        ("limits.memory='256MiB'", "1:1", "unknown key `memory`"),
        ("limits=1", "1:8", "expected a table, found an integer"),
        ("limits={ x = 1 }", "1:10", "unknown key `x`"),
        (
            "input.urls=http://a.example/",
            "1:12",
            "expected an array, found a string",
        ),
        (
            "input.urls=['http://a.example/', 'nonsense']",
            "1:34",
            "not a URL",
        ),
        ("limits.delay", "1:1", "write `--set section.key=value`"),
        ("=1", "1:1", "write `--set section.key=value`"),
        ("name=a\nb", "1:6", "not a name for a job"),
        ("name='a'\nlimits.delay='1s'", "1:6", "not a name for a job"),
    ] {
        let told = shown(&read_job(SMALLEST, &[given]).unwrap_err());
        assert!(told.contains(says), "expected `{says}` in\n{told}");
        assert!(
            told.contains(&format!("--set:{place}]")),
            "{place} in\n{told}"
        );
    }
    assert!(
        read_job(SMALLEST, &[""])
            .unwrap_err()
            .to_string()
            .contains("--set is empty")
    );
}

#[test]
fn values_that_contradict_each_other_are_shown_where_one_was_written() {
    for (setting, overrides, place, says) in [
        (
            "retry.max = '500ms'",
            vec![],
            "job.toml:1:13]",
            "retry.base (1s) is above retry.max (500ms)",
        ),
        (
            "retry.base = '1h'",
            vec![],
            "job.toml:1:14]",
            "retry.base (1h) is above retry.max (5m)",
        ),
        (
            "retry.max = '2s'",
            vec!["retry.base=3s"],
            "--set:1:12]",
            "retry.base (3s) is above",
        ),
        (
            "request.total_timeout = '5s'",
            vec![],
            "job.toml:1:25]",
            "request.connect_timeout (10s) is above request.total_timeout (5s)",
        ),
    ] {
        let told = shown(&read_job(&format!("{setting}\n{SMALLEST}"), &overrides).unwrap_err());
        assert!(
            told.contains(says) && told.contains(place),
            "expected {place} `{says}` in\n{told}"
        );
    }
    assert!(
        read_job(
            &format!("request.total_timeout = '5s'\n{SMALLEST}"),
            &["request.connect_timeout=5s"]
        )
        .is_ok()
    );
}

#[test]
fn a_huge_key_or_value_makes_no_huge_message() {
    let huge = "x".repeat(1_000_000);
    for text in [
        format!("{huge} = 1"),
        format!("limits.delay = '{huge}'"),
        format!("[{huge}]"),
    ] {
        let error = read_job(&format!("{SMALLEST}{text}"), &[]).unwrap_err();
        assert!(
            error.to_string().len() < 1000,
            "{} bytes",
            error.to_string().len()
        );
    }
}

#[test]
fn a_file_full_of_secrets_is_masked_in_one_go() {
    let urls = "'http://me:hunter2@a.example/',\n".repeat(20_000);
    let error = read_job(&format!("neap = 1\n[input]\nurls = [{urls}]"), &[]).unwrap_err();
    assert!(
        error.to_string().starts_with("20000 problems in "),
        "{error}"
    );
    let told = shown(&error);
    assert!(
        !told.contains("hunter2") && told.len() < 100_000,
        "{} bytes",
        told.len()
    );
}

#[test]
fn deep_nesting_is_refused_and_not_followed() {
    for depth in [100, 10_000, 100_000] {
        assert!(
            read_job(&format!("{}x = 1", "a.".repeat(depth)), &[]).is_err(),
            "{depth}"
        );
    }
    for text in [
        format!("x = {}", "[".repeat(1_000_000)),
        format!("x = {}", "{a=".repeat(1_000_000)),
        format!("{}x = 1", "a.".repeat(1_000_000)),
        format!("[{}x]", "a.".repeat(1_000_000)),
    ] {
        assert!(read_job(&text, &[]).is_err(), "{}", &text[..20]);
    }
}
