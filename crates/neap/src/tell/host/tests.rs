//! Is everything about a host told as it is?

use neap_core::HostId;
use neap_store::{Culprit, Liveness};

use super::*;

/// 2026-01-01T12:00:00Z.
pub(crate) const NOON: UnixMs = UnixMs(1_767_268_800_000);

pub(crate) fn after_noon(seconds: i64) -> UnixMs {
    UnixMs(NOON.0 + 1000 * seconds)
}

pub(crate) fn now(is_running: bool) -> Now {
    Now {
        at: NOON,
        live: Liveness {
            is_for_all: false,
            epoch: 3,
            is_running,
            ended: None,
        },
    }
}

pub(crate) fn host(standing: Standing) -> HostSummary {
    HostSummary {
        host: HostId(1),
        name: "http://a.example".to_owned(),
        shares_limit_with: None,
        standing: Some((standing, 3, after_noon(-1))),
        ready: 900,
        waiting: 4,
        paused: 0,
        done: 20,
        failed: 1,
        attempts: 40,
        ok: 20,
        http_502: 19,
        proxy_502: 0,
        proxy_failures: 0,
        http_503: 0,
        http_429: 0,
        timeouts: 0,
        robots: None,
    }
}

fn standing() -> Standing {
    Standing {
        limit: 4.25,
        in_flight: 3,
        requests_per_s: 12.0,
        ..Standing::default()
    }
}

pub(crate) fn probed() -> Standing {
    Standing {
        only_probed: Some((after_noon(-190), after_noon(3))),
        ..standing()
    }
}

#[test]
fn states_in_a_few_words() {
    let pause = Standing {
        held_until: Some(after_noon(300)),
        ..standing()
    };
    let pause_over = Standing {
        held_until: Some(after_noon(-1)),
        ..standing()
    };
    let robots = Standing {
        waits_for_robots: true,
        ..standing()
    };
    let unreachable = Standing {
        robots_failing: Some((after_noon(-60), after_noon(20))),
        ..robots
    };
    let given_up = Standing {
        is_given_up: true,
        ..probed()
    };
    for (standing, live, over) in [
        (standing(), "steady", "steady"),
        (
            probed(),
            "only probed, next in 3.0 s, down since 11:56:50Z",
            "only probed, down since 11:56:50Z",
        ),
        (
            pause,
            "asked for a pause until 12:05:00Z",
            "asked for a pause until 12:05:00Z",
        ),
        (pause_over, "steady", "steady"),
        (robots, "waits for robots.txt", "waits for robots.txt"),
        (
            unreachable,
            "waits for robots.txt, next in 20 s, not to be had since 11:59:00Z",
            "waits for robots.txt, not to be had since 11:59:00Z",
        ),
        (
            given_up,
            "given up, down since 11:56:50Z",
            "given up, down since 11:56:50Z",
        ),
    ] {
        assert_eq!(state(&host(standing), &now(true)), live);
        assert_eq!(state(&host(standing), &now(false)), over);
    }
    let mut unknown = host(standing());
    unknown.standing = None;
    assert_eq!(state(&unknown, &now(true)), "not asked yet");
    unknown.paused = 904;
    assert_eq!(state(&unknown, &now(true)), "paused");
    let mut paused = host(probed());
    paused.paused = 904;
    let probed = "paused; only probed, down since 11:56:50Z";
    assert_eq!(state(&paused, &now(false)), probed);
    paused.paused = 903;
    assert!(!state(&paused, &now(false)).contains("paused"));
}

#[test]
fn nothing_is_in_flight_after_the_run_and_an_old_pace_is_none() {
    let host = host(standing());
    assert_eq!(
        (in_flight(&host, &now(true)), rate(&host, &now(true))),
        (3, 12.0)
    );
    assert_eq!(
        (in_flight(&host, &now(false)), rate(&host, &now(false))),
        (0, 0.0)
    );
    let later = Now {
        at: after_noon(60),
        ..now(true)
    };
    assert_eq!((in_flight(&host, &later), rate(&host, &later)), (3, 0.0));
    let mut of_an_older_run = host.clone();
    of_an_older_run.standing = Some((standing(), 2, NOON));
    assert_eq!(in_flight(&of_an_older_run, &now(true)), 0);
}

#[test]
fn who_shares_a_limit_is_named_with_whom() {
    let names = |most: u8| -> Vec<String> {
        let names = (b'b'..).take(usize::from(most));
        names
            .map(|letter| format!("http://{}.example", letter as char))
            .collect()
    };
    let mut host = host(standing());
    assert_eq!(shares(&host, &[]), None);
    assert_eq!(title(&host, &[]), "http://a.example");
    let shared = shares(&host, &names(1)).unwrap();
    assert!(
        shared.starts_with("shares its limit with http://b.example (`limits.key"),
        "{shared}"
    );
    assert!(shared.ends_with("kept under http://a.example."), "{shared}");
    host.shares_limit_with = Some("http://c.example".to_owned());
    let shared = shares(&host, &names(2)).unwrap();
    assert!(
        shared.contains("with http://b.example and http://c.example ("),
        "{shared}"
    );
    assert!(shared.ends_with("kept under http://c.example."), "{shared}");
    let many = title(&host, &names(7));
    assert!(many.ends_with("http://f.example and 2 more"), "{many}");
}

#[test]
fn why_says_what_happened_and_until_when() {
    let story = HostStory {
        host: host(probed()),
        paused: Vec::new(),
        sharing: Vec::new(),
        changes: vec![KeptChange {
            host: "http://a.example".to_owned(),
            number: 1,
            epoch: 3,
            at: after_noon(-200),
            before: 8.0,
            after: 4.25,
            reason: "overload".to_owned(),
        }],
        causes: vec![
            CauseCount {
                cause: None,
                culprit: Culprit::default(),
                attempts: 20,
            },
            CauseCount {
                cause: Some("http_502".to_owned()),
                culprit: Culprit {
                    fault: Some("host".to_owned()),
                    producer: Some("origin_gateway".to_owned()),
                    connect_status: None,
                },
                attempts: 20,
            },
        ],
        last_failure: None,
    };
    assert_eq!(
            why(&story, &now(true)).join("\n"),
            "\
http://a.example
  It may have 4.2 requests in flight and has 3, 12.0 a second of late.
  It has done nothing but fail since 11:56:50Z (3 min 10 s ago), so it is only probed, one request at a time; the next probe goes in 3.0 s, and its other requests wait until it answers.
  Requests: 20 done, 1 failed, 897 ready, 4 waiting for the end of their own backoff, 3 in flight.
  Of its last 40 attempts: 20 (50.0 %) went well; 20 (50.0 %): answered 502 (Bad Gateway), a gateway of the site answered, the host's fault.
  Its limit changed last, the newest first:
    11:56:40Z  8 -> 4.2  overload"
        );
    let mut story = story;
    (story.host.paused, story.paused) = (4, vec!["shop".to_owned()]);
    let paused = why(&story, &now(true)).join("\n");
    assert!(
            paused.contains(
                "Of these, 4 are not asked for while the job shop rests: `neap continue shop` lets it go on."
            ),
            "{paused}"
        );
    (story.host.proxy_failures, story.host.proxy_502) = (12, 1);
    let spoilt = why(&story, &now(true)).join("\n");
    assert!(
            spoilt.contains(
                "Through proxies, 12 of its 40 attempts failed by their fault; 1 was answered 502 by a proxy"
            ),
            "{spoilt}"
        );
    let over = why(&story, &now(false)).join("\n");
    assert!(over.contains("It could have 4.2 requests"), "{over}");
    assert!(over.contains("the next run begins with a probe"), "{over}");
    assert!(
        over.contains("900 ready") && over.contains("0 in flight"),
        "{over}"
    );
}
