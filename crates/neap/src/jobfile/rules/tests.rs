//! Rules for hosts as people write them, right and wrong.

use std::time::Duration;

use neap_core::Host;
use neap_core::job::{Job, RobotsMode};

use super::differences;
use crate::jobfile::compare::Changes;
use crate::jobfile::tests::{SMALLEST, read_job, shown};
use crate::jobfile::{JobFileError, compare};

fn read(text: &str) -> Result<Job, JobFileError> {
    Ok(read_job(&format!("{SMALLEST}{text}"), &[])?.job)
}

fn job(text: &str) -> Job {
    read(text).unwrap_or_else(|error| panic!("{}", shown(&error)))
}

#[test]
fn a_rule_changes_what_it_names_and_keeps_the_rest_of_the_job() {
    let job = job("[limits]\ndelay = '1s'\nper_host = 4\n\
         [[host]]\nmatch = 'https://api.example'\nidentity.headers = { x-key = '${env:KEY}' }\n\
         limits = { delay = '3s' }\nrobots.mode = 'off'\n\
         [[host]]\nmatch = '*.Example'\n[host.retry]\nattempts = 2\nbudget = 'none'\n\
         [host.identity]\nuser_agent = 'Other/1'\nheaders = { accept-language = 'de' }\n\
         [host.request]\nredirects = 0\nmax_body = '1MiB'\n");
    let effective = |host: &str| {
        let rule = job.rule_for(&Host::parse(host).unwrap()).unwrap();
        job.under(&job.hosts[rule])
    };
    let api = effective("https://api.example");
    assert_eq!(
        (api.limits.delay, api.limits.per_host),
        (Duration::from_secs(3), 4)
    );
    assert_eq!((api.robots.mode, api.retry.attempts), (RobotsMode::Off, 6));
    let other = effective("http://api.example");
    assert_eq!(
        (other.limits.delay, other.retry.attempts),
        (Duration::from_secs(1), 2)
    );
    assert_eq!((other.retry.budget, other.request.redirects), (None, 0));
    assert_eq!(other.identity.user_agent, "Other/1");
    assert_eq!(
        differences(&job, &job.hosts[0]),
        [
            "identity.headers: [\"x-key: ${env:KEY}\"]",
            "limits.delay: 3s",
            "robots.mode: off"
        ]
    );
    assert_eq!(differences(&job, &job.hosts[1]).len(), 6);
}

#[test]
fn what_is_wrong_with_a_rule_is_told() {
    const AT: &str = "match = 'shop.example'\n";
    for (text, complaint) in [
        ("limits.delay = '1s'", "the rule is for no host"),
        ("match = 'shop.example:80'", "not a pattern of hosts"),
        (
            "match = 'https://me:hunter2@shop.example'",
            "not a pattern of hosts",
        ),
        ("match = 7", "expected a string, found an integer"),
        (
            &format!("{AT}limits.per_host = 0"),
            "0 is out of range: 1 to 1024",
        ),
        (
            &format!("{AT}limits.concurrency = 1"),
            "`limits.concurrency` holds for the whole job",
        ),
        (&format!("{AT}limits.dealy = '1s'"), "did you mean `delay`?"),
        (
            &format!("{AT}limits = 1"),
            "expected a table, found an integer",
        ),
        (
            &format!("{AT}crawl.scope = 'host'"),
            "`crawl` holds for the whole job",
        ),
        (
            &format!("{AT}proxy.direct = true"),
            "`proxy.direct` holds for the whole job",
        ),
        (
            &format!("{AT}proxy.pool = 'dear'"),
            "there is no pool `dear`",
        ),
        (
            &format!("{AT}retry.swap_proxy_after = 1"),
            "holds for the whole job",
        ),
        (&format!("{AT}lmits.delay = '1s'"), "did you mean `limits`?"),
        (
            &format!("{AT}retry = {{ base = '1h', max = '1m' }}"),
            "retry.base (1h) is above retry.max",
        ),
        (&format!("{AT}identity.headers = 1"), "expected a table"),
        (
            &format!("{AT}identity.headers.host = 'x'"),
            "`host` is set by neap itself",
        ),
        (
            &format!("{AT}identity.headers.cookie = 'hunter2'"),
            "may hold a secret",
        ),
        (
            &format!("{AT}identity.headers.X-Key = '${{env:KEY}}'"),
            "`x-key` is a secret, and the rule is for more",
        ),
        (
            &format!("{AT}[[host]]\n{AT}"),
            "another rule is for `shop.example` already",
        ),
    ] {
        let told = shown(&read(&format!("[[host]]\n{text}\n")).unwrap_err());
        assert!(told.contains(complaint), "{text}: {told}");
        assert!(!told.contains("hunter2"), "{told}");
    }
}

#[test]
fn a_rule_names_the_pool_to_begin_with() {
    let job = job(
        "[[proxy.pool]]\nname = 'cheap'\nurls = ['a:1']\n[[proxy.pool]]\nname = 'dear'\nurls = ['b:1']\n\
         [[host]]\nmatch = 'walled.example'\nproxy.pool = 'dear'\n",
    );
    let first = |host: &str| job.first_pool(&Host::parse(host).unwrap());
    assert_eq!(first("https://walled.example"), Some("dear"));
    assert_eq!(first("https://other.example"), None);
    assert_eq!(differences(&job, &job.hosts[0]), ["proxy.pool: dear"]);
}

#[test]
fn a_changed_rule_holds_at_once_unless_it_says_who_asks() {
    let stored = job("[[host]]\nmatch = 'a.example'\nlimits.delay = '1s'\n");
    let new = job("[[host]]\nmatch = 'a.example'\nlimits.delay = '2s'\n\
         [[host]]\nmatch = 'b.example'\nidentity.user_agent = 'B/1'\n");
    let changes = compare(&stored, &new);
    assert_eq!(
        changes.at_once,
        [
            "host a.example: no longer limits.delay: 1s",
            "host a.example: limits.delay: 2s",
            "host: [a.example] -> [a.example, b.example]"
        ]
    );
    assert_eq!(
        changes.refused,
        ["host b.example: identity.user_agent: \"B/1\""]
    );
    let back = compare(&new, &new);
    assert_eq!(back, Changes::default());
}
