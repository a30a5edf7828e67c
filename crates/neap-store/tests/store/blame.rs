//! Who broke it, by which proxy, and how the proxies stand.

use neap_core::attribution::{Action, Attribution, Cause, Fault, Producer};
use neap_core::classify::Outcome;
use neap_core::{JobId, UnixMs};
use neap_store::{
    Access, BlameBy, Blamed, Chosen, Command, Culprit, EgressName, Faults, GcRule, Mostly,
    ProxyCause, ProxyColumn, ProxyStanding, ProxyStands, Reader, Ready, Record, SqliteStore,
};

use crate::support::{Crawl, NOW, crawl, done, failed, query, redirect, retry, submit, url};

pub(crate) fn attribution(producer: Producer, fault: Fault, cause: Cause) -> Attribution {
    Attribution {
        producer,
        fault,
        cause,
        confidence: 0.85,
        action: Action::Compare,
        not_before: None,
        reasons: vec![
            "the proxy could not open a tunnel".to_owned(),
            "HTTP 502 \"Bad\\".to_owned(),
        ],
    }
}

pub(crate) fn egress(pool: &str, proxy: &str) -> EgressName {
    EgressName {
        pool: pool.into(),
        proxy: proxy.into(),
    }
}

/// The same by a proxy, with what was found out about it.
pub(crate) fn by(proxy: &str, verdict: Option<Attribution>, mut record: Record) -> Record {
    record.attempt.egress = Some(egress("rented", proxy));
    if let Some(verdict) = &verdict {
        record.attempt.fault = verdict.fault;
        // What is not the host's is not held against it.
        if verdict.fault != Fault::Host {
            record.attempt.outcome = Outcome::Transient;
        }
    }
    record.attempt.attribution = verdict;
    record
}

/// A proxy answered CONNECT with 502.
pub(crate) fn refused(proxy: &str, fault: Fault, row: &Ready) -> Record {
    let verdict = attribution(Producer::ForwardProxy, fault, Cause::GatewayError);
    let mut record = by(proxy, Some(verdict), retry(row, 100, false));
    record.attempt.status = None;
    record.attempt.outcome = Outcome::Transient;
    record.attempt.cause = Some("proxy_refused".to_owned());
    record.attempt.connect_status = Some(502);
    record
}

/// Three pages of one host: a good one by each proxy, then a third that is lost after a 502 of each kind.
async fn one_of_each() -> (Crawl, JobId) {
    let urls = [
        "http://a.example/1",
        "http://a.example/2",
        "http://a.example/3",
    ];
    let (mut crawl, job) = crawl(&urls).await;
    let rows = crawl.ready(job).await;
    crawl.fetch(by("p:1", None, done(&rows[0], 200))).await;
    crawl.fetch(by("p:2", None, done(&rows[1], 404))).await;
    let again = UnixMs(NOW.0 + 1_000_000);
    let promote = || Command::Promote {
        now: again,
        most: 9,
    };
    let proxys = refused("p:1", Fault::Proxy, &rows[2]);
    let hosts = {
        let verdict = attribution(Producer::OriginGateway, Fault::Host, Cause::Overload);
        by("p:2", Some(verdict), retry(&rows[2], 100, true))
    };
    let nobodys = {
        let verdict = attribution(Producer::Unknown, Fault::Unknown, Cause::GatewayError);
        by("p:2", Some(verdict), failed(&rows[2]))
    };
    for record in [proxys, hosts, nobodys] {
        assert!(crawl.fetch(record).await);
        crawl.send(promote()).await;
        crawl.answer().await;
    }
    (crawl, job)
}

#[tokio::test]
async fn an_attempt_tells_who_answered_and_by_which_proxy() {
    let (crawl, _) = one_of_each().await;
    let attempts = crawl
        .query(
            "SELECT x.pool, x.name, a.cause, a.fault, a.producer, a.diagnosis, a.confidence, a.connect_status,
               a.evidence FROM attempts a LEFT JOIN proxies x USING (proxy_id) ORDER BY attempt_id",
        )
        .await;
    let evidence = r#"["the proxy could not open a tunnel","HTTP 502 \"Bad\\"]"#;
    assert_eq!(
        attempts,
        [
            ["rented", "p:1", "-", "-", "-", "-", "-", "-", "-"],
            ["rented", "p:2", "http_404", "host", "-", "-", "-", "-", "-"],
            [
                "rented",
                "p:1",
                "proxy_refused",
                "proxy",
                "forward_proxy",
                "gateway_error",
                "0.85",
                "502",
                evidence
            ],
            [
                "rented",
                "p:2",
                "http_502",
                "host",
                "origin_gateway",
                "overload",
                "0.85",
                "-",
                evidence
            ],
            [
                "rented",
                "p:2",
                "http_502",
                "unknown",
                "unknown",
                "gateway_error",
                "0.85",
                "-",
                evidence
            ],
        ]
    );
    let failures = crawl
        .query("SELECT fault, producer, diagnosis, pool, proxy, connect_status FROM failures")
        .await;
    assert_eq!(
        failures,
        [["unknown", "unknown", "gateway_error", "rented", "p:2", "-"]]
    );
}

#[tokio::test]
async fn each_failure_is_counted_for_who_is_to_blame() {
    let (crawl, _) = one_of_each().await;
    let blame = crawl
        .query(
            "SELECT job, round, host, pool, proxy, fault, cause, diagnosis, status, attempts, requests, pages_lost,
               confidence, last_at FROM blame WHERE cause <> 'http_404' ORDER BY fault",
        )
        .await;
    let at = "2026-01-01T00:00:00.000Z";
    let line = |proxy, fault, cause, diagnosis| {
        let host = "http://a.example";
        [
            "shop", "1", host, "rented", proxy, fault, cause, diagnosis, "502", "1", "1", "1",
            "0.85", at,
        ]
    };
    assert_eq!(
        blame,
        [
            line("p:2", "host", "http_502", "overload"),
            line("p:1", "proxy", "proxy_refused", "gateway_error"),
            line("p:2", "unknown", "http_502", "gateway_error"),
        ]
    );
    // One page was lost, whoever is asked of the three.
    let gateways = crawl
        .query(
            "SELECT cause, answers, requests, pages_lost, by_host, by_proxy, by_unknown, proxy_faults
             FROM bad_gateways",
        )
        .await;
    assert_eq!(gateways, [["http_502", "3", "1", "1", "1", "1", "1", "1"]]);
}

#[tokio::test]
async fn what_a_proxy_spoils_is_not_counted_for_the_host() {
    let (mut crawl, job) = crawl(&["http://a.example/1", "http://a.example/2"]).await;
    let rows = crawl.ready(job).await;
    // The proxy wrote a 502 in the host's place, and then a 503 and a timeout that it is to blame for.
    let proxys = |cause| attribution(Producer::ForwardProxy, Fault::Proxy, cause);
    let written = by("p:1", Some(proxys(Cause::ProxyBroken)), failed(&rows[0]));
    let mut busy = by(
        "p:1",
        Some(proxys(Cause::ProxyLimit)),
        retry(&rows[1], 100, false),
    );
    busy.attempt.status = Some(503);
    busy.attempt.cause = Some("timeout_header".to_owned());
    crawl.fetch(written).await;
    crawl.fetch(busy).await;
    crawl
        .send(Command::Promote {
            now: UnixMs(i64::MAX),
            most: 9,
        })
        .await;
    crawl.answer().await;
    // It is right that the host does not answer: the host's fault, in the proxy's words.
    crawl.fetch(refused("p:1", Fault::Host, &rows[1])).await;
    let health = crawl
        .query(
            "SELECT attempts, ok_share, gateway_errors, http_502, http_503, timeouts, proxy_502, proxy_failures
             FROM host_health",
        )
        .await;
    assert_eq!(health, [["3", "0", "0", "0", "0", "0", "2", "2"]]);
    let proxies = crawl
        .query("SELECT proxy, attempts, ok, failures, ok_share FROM proxy_health")
        .await;
    // Its word is no answer of the host, and no failure of its own either.
    assert_eq!(proxies, [["p:1", "3", "0", "2", "0"]]);
}

#[tokio::test]
async fn credentials_that_a_proxy_refuses_are_not_those_that_a_host_refuses() {
    let (mut crawl, job) = crawl(&["http://a.example/1", "http://a.example/2"]).await;
    let rows = crawl.ready(job).await;
    let of_host = attribution(Producer::OriginApp, Fault::OwnCredentials, Cause::Forbidden);
    crawl
        .fetch(by("p:1", Some(of_host), done(&rows[0], 401)))
        .await;
    let of_proxy = attribution(
        Producer::ForwardProxy,
        Fault::OwnCredentials,
        Cause::ProxyAuth,
    );
    crawl
        .fetch(by("p:1", Some(of_proxy), failed(&rows[1])))
        .await;
    let counted = crawl
        .query("SELECT h.proxy_failures, x.ok, x.failures FROM hosts h, proxies x")
        .await;
    assert_eq!(counted, [["1", "1", "1"]]);
}

#[tokio::test]
async fn reasons_are_kept_within_their_bounds() {
    let (mut crawl, job) = crawl(&["http://a.example/1", "http://a.example/2"]).await;
    let rows = crawl.ready(job).await;
    let mut verdict = attribution(Producer::Edge, Fault::Host, Cause::Overload);
    verdict.reasons = vec!["é".repeat(200); 20];
    crawl
        .fetch(by("p:1", Some(verdict), failed(&rows[0])))
        .await;
    // Of what is nobody's fault it is enough to know who answered.
    let missing = attribution(Producer::OriginApp, Fault::Nobody, Cause::NotFound);
    crawl
        .fetch(by("p:1", Some(missing), done(&rows[1], 404)))
        .await;
    let told = crawl
        .query("SELECT producer, diagnosis, evidence FROM attempts WHERE fault IS NULL")
        .await;
    assert_eq!(told, [["origin_app", "not_found", "-"]]);
    let kept = crawl
        .query("SELECT json_array_length(evidence), length(evidence ->> 0) FROM attempts WHERE fault IS NOT NULL")
        .await;
    let most = (
        Attribution::MAX_REASONS.to_string(),
        Attribution::MAX_REASON / 2,
    );
    assert_eq!(kept, [[most.0, most.1.to_string()]]);
}

fn standing(job: JobId, proxy: &str) -> ProxyStanding {
    ProxyStanding {
        job,
        name: egress("rented", proxy),
        at: NOW,
        worked: 10,
        failed: 2,
        in_flight: 3,
        limit: 4.5,
        left_out: None,
        is_stopped: false,
        is_member: true,
    }
}

/// Waits until everything that was sent is durable.
async fn settled(crawl: &mut Crawl, job: JobId) {
    let host = crawl.ready(job).await[0].host;
    crawl.send(Command::LoadHost(host)).await;
    crawl.answer().await;
}

const HEALTH: &str =
    "SELECT proxy, state, concurrency_limit, in_flight, left_out_until, left_out_why, as_of
    FROM proxy_health ORDER BY proxy";

#[tokio::test]
async fn how_proxies_stand_is_kept_and_users_of_one_address_are_one() {
    let (mut crawl, job) = crawl(&["http://a.example/1"]).await;
    let until = UnixMs(NOW.0 + 60_000);
    let left_out = |proxy| ProxyStanding {
        left_out: Some((until, "failed several times itself")),
        ..standing(job, proxy)
    };
    let stopped = ProxyStanding {
        is_stopped: true,
        ..standing(job, "p:4")
    };
    let gone = ProxyStanding {
        is_member: false,
        ..standing(job, "p:5")
    };
    let all = vec![
        standing(job, "p:1"),
        left_out("p:1"),
        left_out("p:2"),
        left_out("p:2"),
        stopped,
        gone,
    ];
    crawl.send(Command::Proxies(all)).await;
    settled(&mut crawl, job).await;
    let (at, then) = ("2026-01-01T00:00:00.000Z", "2026-01-01T00:01:00.000Z");
    let why = "failed several times itself";
    assert_eq!(
        crawl.query(HEALTH).await,
        [
            ["p:1", "used", "9", "6", "-", "-", at],
            ["p:2", "left out", "9", "6", then, why, at],
            ["p:4", "pool stopped", "4.5", "3", "-", "-", at],
            ["p:5", "not listed", "4.5", "3", "-", "-", at],
        ]
    );
    // A later run that goes through others: who is not told of any more is on no list, and nothing is in flight.
    let mut crawl = crawl.killed().await;
    crawl
        .send(Command::Proxies(vec![standing(job, "p:1")]))
        .await;
    settled(&mut crawl, job).await;
    let states = crawl
        .query("SELECT state, in_flight FROM proxy_health ORDER BY proxy")
        .await;
    assert_eq!(
        states,
        [
            ["used", "3"],
            ["not listed", "0"],
            ["not listed", "0"],
            ["not listed", "0"]
        ]
    );
    let path = crawl.path();
    let _directory = crawl.close().await;
    let worked = query(&path, "SELECT worked, failed FROM proxies ORDER BY name").await;
    assert_eq!(worked[..2], [["10", "2"], ["20", "4"]]);
}

#[tokio::test]
async fn rounds_of_a_job_share_its_proxies_and_the_last_takes_them_along() {
    let (mut crawl, job) = crawl(&["http://a.example/1"]).await;
    let rows = crawl.ready(job).await;
    crawl.fetch(by("p:1", None, done(&rows[0], 200))).await;
    crawl.send(Command::FinishJob { job }).await;
    crawl.answer().await;
    let second = submit(&crawl.store, "shop", &["http://a.example/1"])
        .await
        .job_id;
    let rows = crawl.ready(second).await;
    crawl.fetch(by("p:1", None, done(&rows[0], 200))).await;
    crawl.send(Command::FinishJob { job: second }).await;
    crawl.answer().await;
    let path = crawl.path();
    let _directory = crawl.close().await;
    let proxies = "SELECT job, name, attempts FROM proxies";
    assert_eq!(query(&path, proxies).await, [["shop", "p:1", "2"]]);
    for (keep_rounds, left) in [(1, "1"), (0, "0")] {
        let store = SqliteStore::open(&path, Access::Existing).await.unwrap();
        let reader = Reader::open(&path).await.unwrap();
        let rule = GcRule {
            keep_rounds,
            over_before: None,
            only_bodies: false,
        };
        let doomed = reader.doomed(rule).await.unwrap();
        let lock = store.lock(NOW).await.unwrap();
        store.remove(&lock, &doomed, rule, |_| {}).await.unwrap();
        let check = reader.check(true).await.unwrap();
        assert_eq!(check.findings, []);
        assert_eq!(query(&path, "SELECT count(*) FROM proxies").await, [[left]]);
    }
}

async fn reader(crawl: &Crawl) -> Reader {
    Reader::open(&crawl.path()).await.unwrap()
}

#[tokio::test]
async fn failures_are_grouped_by_whatever_is_asked_for() {
    let (crawl, _) = one_of_each().await;
    let reader = reader(&crawl).await;
    let group = |key: &str, attempts, pages_lost, faults, mostly| Blamed {
        key: key.to_owned(),
        attempts,
        pages_lost,
        hosts: 1,
        faults,
        last: Some(NOW),
        mostly,
    };
    let mostly = |fault: &str, cause: &str, diagnosis: Option<&str>| Mostly {
        fault: fault.to_owned(),
        cause: Some(cause.to_owned()),
        diagnosis: diagnosis.map(str::to_owned),
        has_proxy: true,
        host: "http://a.example".to_owned(),
    };
    let none = Faults::default();
    let gone = |key| {
        group(
            key,
            1,
            0,
            Faults { host: 1, ..none },
            mostly("host", "http_404", None),
        )
    };
    let by_proxy = |key| {
        let of_it = mostly("proxy", "proxy_refused", Some("gateway_error"));
        group(key, 1, 1, Faults { proxy: 1, ..none }, of_it)
    };
    for (by, key, refused, missing) in [
        (
            BlameBy::Cause,
            "http_502",
            "proxy_refused (CONNECT 502)",
            "http_404",
        ),
        (BlameBy::Status, "502", "CONNECT 502", "404"),
    ] {
        let found = reader.blame(None, by, 9).await.unwrap();
        assert_eq!(found.len(), 3, "{found:#?}");
        let both = Faults {
            host: 1,
            unknown: 1,
            ..none
        };
        assert_eq!((found[0].key.as_str(), found[0].attempts), (key, 2));
        assert_eq!((found[0].pages_lost, found[0].faults), (1, both));
        assert_eq!(found[1], by_proxy(refused));
        assert_eq!(found[2], gone(missing));
    }
    let found = reader.blame(Some("shop"), BlameBy::Proxy, 9).await.unwrap();
    assert_eq!(
        (found[0].key.as_str(), found[0].attempts),
        ("rented/p:2", 3)
    );
    assert_eq!(found[1..], [by_proxy("rented/p:1")]);
    let found = reader.blame(Some("shop"), BlameBy::Host, 9).await.unwrap();
    assert_eq!(
        (found[0].key.as_str(), found[0].attempts),
        ("http://a.example", 4)
    );
    let all = Faults {
        host: 2,
        proxy: 1,
        unknown: 1,
        ..none
    };
    assert_eq!(
        (found.len(), found[0].pages_lost, found[0].faults),
        (1, 1, all)
    );
    assert_eq!(
        reader.blame(None, BlameBy::Cause, 1).await.unwrap().len(),
        1
    );
    assert_eq!(
        reader
            .blame(Some("other"), BlameBy::Cause, 9)
            .await
            .unwrap(),
        []
    );
}

#[tokio::test]
async fn pages_that_nobody_asked_for_are_lost_as_well_and_older_rounds_are_not_told() {
    let urls = [
        "http://a.example/1",
        "http://a.example/2",
        "http://b.example/1",
    ];
    let (mut crawl, job) = crawl(&urls).await;
    let rows = crawl.ready(job).await;
    crawl.fetch(retry(&rows[0], 100, true)).await;
    let too_many = redirect(
        &rows[2],
        "http://b.example/2",
        neap_store::RedirectVerdict::TooMany,
    );
    crawl.fetch(too_many).await;
    let (host, jobs) = (rows[0].host, vec![job]);
    let cause = "host_given_up".to_owned();
    crawl.send(Command::FailHost { host, jobs, cause }).await;
    crawl.answer().await;
    let told = async |reader: &Reader| {
        let groups = reader.blame(None, BlameBy::Cause, 9).await.unwrap();
        let told = |group: Blamed| {
            let Blamed {
                key,
                attempts,
                pages_lost,
                faults,
                ..
            } = group;
            (key, attempts, pages_lost, faults.host, group.mostly.fault)
        };
        groups.into_iter().map(told).collect::<Vec<_>>()
    };
    let reader = reader(&crawl).await;
    let line = |cause: &str, attempts| (cause.to_owned(), attempts, 1, 1, "host".to_owned());
    assert_eq!(
        told(&reader).await,
        [
            line("http_502", 1),
            line("too_many_redirects", 1),
            line("host_given_up", 0)
        ]
    );
    crawl.send(Command::FinishJob { job }).await;
    crawl.answer().await;
    submit(&crawl.store, "shop", &["http://a.example/1"]).await;
    assert_eq!(told(&reader).await, []);
}

#[tokio::test]
async fn proxies_tell_what_they_failed_for_and_how_they_stand() {
    let (mut crawl, job) = one_of_each().await;
    let until = UnixMs(NOW.0 + 60_000);
    let why = "failed several times itself";
    let left_out = ProxyStanding {
        left_out: Some((until, why)),
        ..standing(job, "p:1")
    };
    crawl.send(Command::Proxies(vec![left_out])).await;
    crawl.send(Command::LoadHost(neap_core::HostId(1))).await;
    crawl.answer().await;
    let reader = reader(&crawl).await;
    let found = reader
        .proxies(Some("shop"), ProxyColumn::Failures)
        .await
        .unwrap();
    assert_eq!(found.len(), 2);
    let (one, two) = (&found[0], &found[1]);
    assert_eq!(
        (&one.name, one.job.as_str()),
        (&egress("rented", "p:1"), "shop")
    );
    assert_eq!((one.attempts, one.ok, one.failures), (2, 1, 1));
    let refused = ProxyCause {
        cause: "proxy_refused".to_owned(),
        connect_status: Some(502),
        is_its_fault: true,
        attempts: 1,
    };
    assert_eq!(one.causes, [refused]);
    let stands = ProxyStands {
        limit: 4.5,
        in_flight: 3,
        left_out: Some((until, why.to_owned())),
        is_stopped: false,
        is_listed: true,
    };
    assert_eq!(one.stands, Some((stands, 1, NOW)));
    // Of one attempt through the other nobody knows whose fault it was.
    assert_eq!((two.attempts, two.ok, two.failures), (3, 2, 0));
    let unclear = ProxyCause {
        cause: "http_502".to_owned(),
        connect_status: None,
        is_its_fault: false,
        attempts: 1,
    };
    assert_eq!((&two.causes, &two.stands), (&vec![unclear], &None));
    for by in ProxyColumn::ALL {
        assert_eq!(reader.proxies(None, by).await.unwrap().len(), 2, "{by:?}");
    }
    let by_share = reader.proxies(None, ProxyColumn::OkShare).await.unwrap();
    assert_eq!(by_share[0].name, egress("rented", "p:1"));
    assert_eq!(
        reader
            .proxies(Some("other"), ProxyColumn::Job)
            .await
            .unwrap(),
        []
    );
}

#[tokio::test]
async fn a_story_and_its_host_name_who_answered() {
    let (crawl, _) = one_of_each().await;
    let reader = reader(&crawl).await;
    let stories = reader.stories(&url("http://a.example/3")).await.unwrap();
    let [refused, hosts, nobodys] = &stories[0].attempts[..] else {
        panic!("{stories:#?}");
    };
    assert_eq!(refused.egress, Some(egress("rented", "p:1")));
    assert_eq!((refused.connect_status, refused.status), (Some(502), None));
    let verdict = refused.verdict.as_ref().unwrap();
    assert_eq!(verdict.producer, "forward_proxy");
    assert_eq!(
        (verdict.diagnosis.as_str(), verdict.confidence),
        ("gateway_error", 0.85)
    );
    assert_eq!(verdict.reasons[1], "HTTP 502 \"Bad\\");
    assert_eq!(hosts.verdict.as_ref().unwrap().producer, "origin_gateway");
    let host = reader.host("http://a.example").await.unwrap().unwrap();
    assert_eq!(
        reader.last_failure(host.host).await.unwrap().as_ref(),
        Some(nobodys)
    );
    assert_eq!(
        (host.http_502, host.proxy_502, host.proxy_failures),
        (2, 1, 1)
    );
    let causes = reader.last_causes(host.host, 9).await.unwrap();
    let culprits: Vec<_> = causes
        .iter()
        .filter(|count| count.cause.as_deref() == Some("proxy_refused"))
        .map(|count| &count.culprit)
        .collect();
    let by_proxy = Culprit {
        fault: Some("proxy".to_owned()),
        producer: Some("forward_proxy".to_owned()),
        connect_status: Some(502),
    };
    assert_eq!(culprits, [&by_proxy]);
}

#[tokio::test]
async fn what_failed_is_chosen_by_whose_fault_it_was() {
    let (mut crawl, job) = crawl(&["http://a.example/1", "http://a.example/2"]).await;
    let rows = crawl.ready(job).await;
    let verdict = attribution(Producer::ForwardProxy, Fault::Proxy, Cause::ProxyBroken);
    crawl
        .fetch(by("p:1", Some(verdict), failed(&rows[0])))
        .await;
    crawl.fetch(failed(&rows[1])).await;
    let job = crawl.store.job(job).await.unwrap();
    let reader = reader(&crawl).await;
    for (faults, expected) in [
        (vec!["proxy"], vec![rows[0].request]),
        (vec!["host"], vec![rows[1].request]),
        (vec!["unknown"], vec![]),
    ] {
        let chosen = Chosen {
            faults: faults.into_iter().map(str::to_owned).collect(),
            ..Chosen::default()
        };
        assert_eq!(
            reader.failed_requests(&job, &chosen).await.unwrap(),
            expected
        );
    }
}
