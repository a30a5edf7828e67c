//! Job files as people write them, right and wrong.

use miette::{GraphicalReportHandler, GraphicalTheme};

use super::compare::Changes;
use super::*;

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
fn every_key_of_a_job_can_be_written_and_every_known_key_is_one_of_a_job() {
    let job = serde_json::to_value(read_job(SMALLEST, &[]).unwrap().job).unwrap();
    let mut of_job = vec!["neap".to_owned()];
    for (section, value) in job.as_object().unwrap() {
        match value.as_object() {
            Some(keys) => of_job.extend(keys.iter().flat_map(|(key, value)| {
                let key = format!("{section}.{key}");
                match value.as_object() {
                    Some(below) if key == "crawl.traps" => {
                        below.keys().map(|name| format!("{key}.{name}")).collect()
                    }
                    Some(_) | None => vec![key],
                }
            })),
            None => of_job.push(section.clone()),
        }
    }
    let mut known: Vec<String> = keys::KEYS.map(str::to_owned).to_vec();
    of_job.sort();
    known.sort();
    assert_eq!(of_job, known);
}

#[test]
fn every_key_takes_its_good_value() {
    // What the setting is shown as afterwards, if not as it was written.
    for (key, value, expected) in [
        ("name", "'prices-1.0'", "prices-1.0"),
        ("description", "'All prices'", "\"All prices\""),
        ("crawl.scope", "'domain'", "domain"),
        (
            "crawl.include",
            "['/p/*', 're:[?]x=']",
            "[\"/p/*\", \"re:[?]x=\"]",
        ),
        ("crawl.exclude", "['*/print/*']", "[\"*/print/*\"]"),
        ("crawl.max_depth", "0", "0"),
        ("crawl.max_pages", "200_000", "200000"),
        ("crawl.sitemaps", "false", "false"),
        ("crawl.nofollow", "false", "false"),
        ("crawl.drop_params", "['UTM_*']", "[\"utm_*\"]"),
        ("crawl.traps.max_url_length", "8192", "8192"),
        ("crawl.traps.max_repeated_segments", "5", "5"),
        ("crawl.traps.max_query_variants", "2_000", "2000"),
        ("crawl.traps.max_years_ahead", "0", "0"),
        ("crawl.traps.max_near_duplicates", "10_000", "10000"),
        ("crawl.traps.simhash_distance", "0", "0"),
        ("crawl.traps.session_ids", "false", "false"),
        ("store.links", "false", "false"),
        ("robots.mode", "'warn'", "warn"),
        ("identity.user_agent", "'Bot/1.0'", "\"Bot/1.0\""),
        (
            "identity.headers",
            "{ Accept-Language = 'de', Cookie = '${env:C}' }",
            "[\"accept-language: de\", \"cookie: ${env:C}\"]",
        ),
        ("identity.safe_headers", "[]", "[]"),
        ("identity.cookies", "true", "true"),
        (
            "identity.cookie_file",
            "'/a/cookies.txt'",
            "\"/a/cookies.txt\"",
        ),
        (
            "identity.auth",
            "[{ origin = 'https://A.example:443/', bearer = '${env:T}' }]",
            "[\"https://a.example: bearer ${env:T}\"]",
        ),
        ("request.connect_timeout", "'5s'", "5s"),
        ("request.read_timeout", "'20s'", "20s"),
        ("request.total_timeout", "'1m 30s'", "1m 30s"),
        ("request.max_body", "'4MiB'", "4 MiB"),
        ("request.max_body", "1000", "1000"),
        ("request.max_body", "'256MiB'", "256 MiB"),
        ("request.redirects", "20", "20"),
        ("request.private_addresses", "true", "true"),
        (
            "request.name_servers",
            "['9.9.9.9', '127.0.0.1:5353', '2620:fe::fe', '[::1]:54']",
            "[\"9.9.9.9:53\", \"127.0.0.1:5353\", \"[2620:fe::fe]:53\", \"[::1]:54\"]",
        ),
        ("request.ca_file", "'/a/ca.pem'", "\"/a/ca.pem\""),
        ("request.bind", "'2001:db8::7'", "2001:db8::7"),
        ("limits.bandwidth", "'5MiB/s'", "5 MiB/s"),
        ("limits.concurrency", "10_000", "10000"),
        ("limits.per_host", "1024", "1024"),
        ("limits.per_host_rate", "'100/m'", "100/m"),
        ("limits.delay", "'1d'", "24h"),
        ("limits.key", "'domain'", "domain"),
        ("retry.attempts", "100", "100"),
        ("retry.statuses", "[429, 0x1f6, 999]", "[429, 502, 999]"),
        ("retry.statuses", "[]", "[]"),
        ("retry.base", "'250ms'", "250ms"),
        ("retry.max", "'1h'", "1h"),
        ("retry.jitter", "'equal'", "equal"),
        ("retry.retry_after_max", "'15m'", "15m"),
        ("retry.budget", "0.05", "0.05"),
        ("retry.budget", "1", "1"),
        ("retry.budget", "'none'", "none"),
        ("retry.swap_proxy_after", "100", "100"),
        ("proxy.direct", "true", "true"),
        ("robots.mode", "'off'", "off"),
        ("robots.crawl_delay_max", "'10s'", "10s"),
        ("adaptive.give_up_after", "'2h'", "2h"),
        ("expect.max_failed", "3", "3"),
        ("expect.max_failed", "'0.2 %'", "\"0.2%\""),
        ("expect.max_failed", "'100%'", "\"100%\""),
        ("expect.min_pages", "200_000", "200000"),
        (
            "expect.statuses",
            "['2xx', 301, '404']",
            "[\"2xx\", \"301\", \"404\"]",
        ),
        ("expect.statuses", "[]", "any"),
        ("expect.max_bytes", "'5GiB'", "5 GiB"),
        ("expect.max_bytes", "0", "0"),
        ("store.path", "'a/b.db'", "\"a/b.db\""),
        ("store.bodies", "'none'", "none"),
        ("store.metadata", "false", "false"),
        ("store.segment_size", "'64MiB'", "64 MiB"),
        ("store.durability", "'normal'", "normal"),
    ] {
        let job = with(&format!("{key} = {value}"))
            .unwrap_or_else(|e| panic!("{}", shown(&e)))
            .job;
        let settings = compare::settings(&job);
        let (_, found) = settings.iter().find(|(name, _)| *name == key).unwrap();
        assert_eq!(found, expected, "{key} = {value}");
    }
}

#[test]
fn the_format_of_input_is_taken_and_wrong_ones_are_refused() {
    let input = "neap = 1\n[input]\nfiles = ['-', 'a.csv']\n";
    let job = read_job(
        &format!("{input}format = 'jsonl'\nurl_column = 'page url'"),
        &[],
    );
    let settings = compare::settings(&job.unwrap().job);
    assert!(settings.contains(&("input.format", "jsonl".to_owned())));
    assert!(settings.contains(&("input.url_column", "\"page url\"".to_owned())));
    for (line, complaint) in [
        ("format = 'cvs'", "did you mean `csv`"),
        ("format = 1", "expected a string, found an integer"),
        ("url_column = ''", "a column has a name of 1 to 200 bytes"),
        ("url_column = ' a'", "no blanks around it"),
        ("columns = 'a'", "unknown key `columns`"),
    ] {
        let error = shown(&read_job(&format!("{input}{line}"), &[]).unwrap_err());
        let words = error.split_whitespace().filter(|word| *word != "│");
        let told = words.collect::<Vec<_>>().join(" ");
        assert!(told.contains(complaint), "{line}: {told}");
        assert!(told.contains("job.toml:4:"), "{line}: {told}");
    }
}

#[test]
fn standard_input_is_read_once() {
    let error = read_job("neap = 1\n[input]\nfiles = ['-', 'a.csv', '-']\n", &[]);
    let error = shown(&error.unwrap_err());
    assert!(
        error.contains("`-` stands there twice") && error.contains("job.toml:3:24"),
        "{error}"
    );
}

#[test]
fn every_key_refuses_the_wrong_type_and_the_wrong_value_at_its_place() {
    for (key, value, complaint) in [
        ("name", "1", "expected a string, found an integer"),
        ("name", "'a b'", "not a name for a job"),
        ("description", "['x']", "expected a string, found an array"),
        (
            "description",
            "\"\\u001b[2J\"",
            "character U+001B is not allowed here",
        ),
        ("expect.max_failed", "0.2", "expected a number or a share"),
        ("expect.max_failed", "-1", "a negative number of requests"),
        ("expect.max_failed", "'2'", "`2` is not a share"),
        ("expect.max_failed", "'101%'", "`101%` is not a share"),
        ("expect.max_failed", "'nan%'", "`nan%` is not a share"),
        ("expect.min_pages", "0", "0 is out of range: 1 or more"),
        (
            "expect.statuses",
            "'2xx'",
            "expected an array, found a string",
        ),
        (
            "expect.statuses",
            "['2xx', true]",
            "expected a status, found a boolean",
        ),
        ("expect.statuses", "[20]", "`20` is not a status"),
        ("expect.statuses", "['2x']", "`2x` is not a status"),
        ("expect.max_bytes", "'much'", "`much` is not a size"),
        ("expect.max_bytes", "-1", "a negative size"),
        ("crawl.scope", "true", "expected a string, found a boolean"),
        (
            "crawl.scope",
            "'hots'",
            "unknown value `hots`, expected one of `page`, `path`",
        ),
        (
            "crawl.include",
            "'/p/*'",
            "expected an array, found a string",
        ),
        ("crawl.include", "['re:(']", "not a pattern"),
        (
            "crawl.exclude",
            "[1]",
            "expected a string, found an integer",
        ),
        ("crawl.exclude", "['']", "an empty pattern"),
        ("crawl.drop_params", "['a=b']", "no name of a parameter"),
        ("crawl.traps", "7", "expected a table, found an integer"),
        ("crawl.traps", "{ simhash_distanse = 3 }", "unknown key"),
        (
            "crawl.traps.simhash_distance",
            "17",
            "17 is out of range: 0 to 16",
        ),
        (
            "crawl.max_depth",
            "1.5",
            "expected an integer, found a float",
        ),
        (
            "crawl.max_depth",
            "-1",
            "-1 is out of range: 0 to 4294967295",
        ),
        (
            "crawl.max_pages",
            "'many'",
            "expected an integer, found a string",
        ),
        ("crawl.max_pages", "0", "0 is out of range: 1 or more"),
        (
            "crawl.max_pages",
            "99999999999999999999",
            "the number has more than 64 bits",
        ),
        (
            "identity.user_agent",
            "7",
            "expected a string, found an integer",
        ),
        ("identity.user_agent", "''", "visible ASCII"),
        (
            "identity.headers",
            "['a: b']",
            "expected a table, found an array",
        ),
        (
            "identity.headers",
            "{ x-a = 1 }",
            "expected a string, found an integer",
        ),
        (
            "identity.headers",
            "{ host = 'x' }",
            "`host` is set by neap itself",
        ),
        ("identity.headers", "{ x-a = 'é' }", "visible ASCII"),
        ("identity.headers", "{ X-A = '1', x-a = '2' }", "set twice"),
        ("request.bind", "'eth0'", "`eth0` is no address"),
        ("limits.bandwidth", "'5MiB'", "`5MiB` is not a bandwidth"),
        ("limits.bandwidth", "'1B/s'", "`1B/s` is not a bandwidth"),
        ("limits.bandwidth", "5", "expected a string"),
        (
            "request.connect_timeout",
            "5",
            "expected a string, found an integer",
        ),
        (
            "request.connect_timeout",
            "'0s'",
            "0s is out of range: 1ms to 720h",
        ),
        (
            "request.read_timeout",
            "12:30:00",
            "expected a string, found a date or time",
        ),
        (
            "request.read_timeout",
            "'20 parsecs'",
            "`20 parsecs` is not a duration",
        ),
        (
            "request.total_timeout",
            "{}",
            "expected a string, found a table",
        ),
        ("request.total_timeout", "'-1s'", "it is negative"),
        (
            "request.max_body",
            "true",
            "expected a size, found a boolean",
        ),
        ("request.max_body", "'lots'", "`lots` is not a size"),
        ("request.max_body", "0", "0 is out of range: 1 to 256 MiB"),
        (
            "request.max_body",
            "'257MiB'",
            "257 MiB is out of range: 1 to 256 MiB",
        ),
        ("request.max_body", "-1", "a negative size"),
        (
            "request.redirects",
            "'few'",
            "expected an integer, found a string",
        ),
        ("request.redirects", "21", "21 is out of range: 0 to 20"),
        (
            "request.name_servers",
            "['dns.example']",
            "`dns.example` is not the address of a name server",
        ),
        (
            "limits.concurrency",
            "'lots'",
            "expected an integer, found a string",
        ),
        ("limits.concurrency", "0", "0 is out of range: 1 to 10000"),
        ("limits.concurrency", "10_001", "10001 is out of range"),
        (
            "limits.per_host",
            "'lots'",
            "expected an integer, found a string",
        ),
        ("limits.per_host", "1025", "1025 is out of range: 1 to 1024"),
        (
            "limits.per_host_rate",
            "5",
            "expected a string, found an integer",
        ),
        ("limits.per_host_rate", "'5/d'", "`5/d` is not a rate"),
        ("limits.delay", "2", "expected a string, found an integer"),
        ("limits.delay", "'31d'", "744h is out of range: 0s to 720h"),
        (
            "limits.key",
            "'site'",
            "unknown value `site`, expected one of `host`, `domain`",
        ),
        (
            "retry.attempts",
            "'3'",
            "expected an integer, found a string",
        ),
        ("retry.attempts", "101", "101 is out of range: 1 to 100"),
        (
            "retry.statuses",
            "502",
            "expected an array, found an integer",
        ),
        ("retry.statuses", "[200]", "200 is out of range: 400 to 999"),
        ("retry.base", "1", "expected a string, found an integer"),
        ("retry.base", "'0s'", "out of range"),
        ("retry.max", "false", "expected a string, found a boolean"),
        ("retry.max", "'1 month'", "months and years differ"),
        ("retry.jitter", "1", "expected a string, found an integer"),
        ("retry.jitter", "'ful'", "unknown value `ful`"),
        ("retry.retry_after_max", "'2d'", "out of range"),
        ("retry.budget", "1.5", "1.5 is out of range: 0 to 1"),
        ("retry.budget", "-1", "-1 is out of range: 0 to 1"),
        ("retry.budget", "nan", "out of range: 0 to 1"),
        ("retry.budget", "true", "expected a share, found a boolean"),
        ("retry.budget", "'20%'", "write a number from 0 to 1"),
        ("retry.swap_proxy_after", "0", "0 is out of range: 1 to 100"),
        ("proxy.direct", "'no'", "expected a boolean, found a string"),
        (
            "proxy.pool",
            "'x'",
            "expected an array of tables, found a string",
        ),
        ("proxy.pool", "['x']", "expected a table, found a string"),
        ("robots.mode", "false", "expected a string, found a boolean"),
        (
            "robots.mode",
            "'worn'",
            "unknown value `worn`, expected one of `obey`, `warn`, `off`",
        ),
        (
            "robots.crawl_delay_max",
            "1",
            "expected a string, found an integer",
        ),
        (
            "robots.crawl_delay_max",
            "'soon'",
            "`soon` is not a duration",
        ),
        (
            "adaptive.give_up_after",
            "1",
            "expected a string, found an integer",
        ),
        (
            "adaptive.give_up_after",
            "'999ms'",
            "999ms is out of range: 1s to 720h",
        ),
        ("store.path", "1", "expected a string, found an integer"),
        ("store.path", "''", "a path has 1 to 4096 bytes"),
        ("store.bodies", "1", "expected a string, found an integer"),
        (
            "store.metadata",
            "'no'",
            "expected a boolean, found a string",
        ),
        (
            "store.segment_size",
            "'1KiB'",
            "1 KiB is out of range: 64 KiB to 1024 GiB",
        ),
        (
            "store.bodies",
            "'errors'",
            "unknown value `errors`, expected one of `all`, `none`",
        ),
        (
            "store.durability",
            "'off'",
            "unknown value `off`, expected one of `full`, `normal`",
        ),
    ] {
        let error = with(&format!("{key} = {value}")).expect_err(&format!("{key} = {value}"));
        let told = shown(&error);
        assert!(
            matches!(error, JobFileError::One(_)),
            "one problem only: {told}"
        );
        assert!(
            told.contains(complaint),
            "{key} = {value}: expected `{complaint}` in\n{told}"
        );
        assert!(told.contains("job.toml:1:"), "{told}");
    }
}

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
