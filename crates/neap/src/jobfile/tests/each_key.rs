//! Does every key take its good values, and refuse others at their place?

use super::*;

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
        ("crawl.requisites", "'host'", "host"),
        ("crawl.order", "'depth'", "depth"),
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
