//! What becomes of requests, and what is written about it.

use neap_core::scope::SkipReason;
use neap_core::{RequestId, UnixMs};
use neap_store::{Command, Event, HostMemory, Position, RobotsAnswer, Skipped, Standing};

use crate::support::{NOW, crawl, done, failed, retry, submit};

const HOST: &str = "http://a.example/";

#[tokio::test]
async fn a_record_is_written_as_a_whole() {
    let (mut crawl, job_id) = crawl(&[HOST]).await;
    let row = crawl.find(job_id, HOST).await;
    assert!(crawl.fetch(done(&row, 200)).await);
    let rows = crawl
        .query(
            "SELECT r.state_name, r.attempts, p.status, a.number, a.outcome_name, a.cause, a.fault,
             a.duration_us, a.host_limit, (SELECT count(*) FROM in_flight)
             FROM requests r JOIN pages p USING (request_id) JOIN attempts a USING (request_id)",
        )
        .await;
    assert_eq!(
        rows,
        [[
            "done", "1", "200", "1", "success", "-", "-", "20000", "4.5", "0"
        ]]
    );
    let counts = crawl.store.job(job_id).await.unwrap().counts;
    assert_eq!((counts.done, counts.pages, counts.open()), (1, 1, 0));
    let host = crawl
        .query("SELECT attempts, ok, done, failed FROM hosts")
        .await;
    assert_eq!(host, [["1", "1", "1", "0"]]);
}

#[tokio::test]
async fn what_is_not_in_flight_is_not_recorded() {
    let (mut crawl, job_id) = crawl(&[HOST]).await;
    let row = crawl.find(job_id, HOST).await;
    assert!(!crawl.record(done(&row, 200)).await, "it was never leased");
    assert!(crawl.fetch(done(&row, 200)).await);
    assert!(
        !crawl.record(done(&row, 404)).await,
        "it was recorded already"
    );
    assert!(
        !crawl.fetch(done(&row, 404)).await,
        "what is done cannot be leased"
    );
    let mut unknown = done(&row, 200);
    unknown.request = RequestId(999);
    assert!(!crawl.record(unknown).await);
    let rows = crawl
        .query("SELECT count(*), max(status) FROM attempts")
        .await;
    assert_eq!(rows, [["1", "200"]]);
    crawl.assert_counters().await;
}

#[tokio::test]
async fn a_failed_request_waits_and_comes_back_with_its_history() {
    let (mut crawl, job_id) = crawl(&[HOST, "http://a.example/2"]).await;
    let rows = crawl.ready(job_id).await;
    crawl.lease(rows[0].request, false).await;
    crawl
        .send(Command::Record(Box::new(retry(&rows[0], 500, true))))
        .await;
    let due = crawl.event().await;
    assert!(
        matches!(due, Event::NextDue(Some(at)) if at.0 == NOW.0 + 500),
        "{due:?}"
    );
    crawl.event().await;
    crawl.fetch(retry(&rows[1], 200, false)).await;
    assert!(crawl.ready(job_id).await.is_empty());
    assert_eq!(crawl.store.job(job_id).await.unwrap().counts.waiting, 2);

    crawl
        .send(Command::Promote {
            now: UnixMs(NOW.0 + 300),
            most: 10,
        })
        .await;
    let due = crawl.event().await;
    assert!(
        matches!(due, Event::NextDue(Some(at)) if at.0 == NOW.0 + 500),
        "{due:?}"
    );
    let Event::Promoted(promoted) = crawl.event().await else {
        panic!("promoted")
    };
    assert_eq!(promoted.len(), 1);
    let row = &promoted[0];
    assert_eq!(
        (row.request, row.charged, row.deferrals),
        (rows[1].request, 0, 1)
    );
    assert_eq!(row.position.due_ms, NOW.0 + 200);

    crawl
        .send(Command::Promote {
            now: UnixMs(NOW.0 + 900),
            most: 10,
        })
        .await;
    let due = crawl.event().await;
    assert!(matches!(due, Event::NextDue(None)), "{due:?}");
    let Event::Promoted(promoted) = crawl.event().await else {
        panic!("promoted")
    };
    assert_eq!(
        (promoted[0].request, promoted[0].charged),
        (rows[0].request, 1)
    );
    assert!(crawl.fetch(failed(&promoted[0])).await);
    let failures = crawl
        .query("SELECT url, cause, fault, status, attempts FROM failures")
        .await;
    assert_eq!(failures, [[HOST, "http_502", "host", "502", "2"]]);
    crawl.assert_counters().await;
}

#[tokio::test]
async fn promotion_takes_the_longest_due_first_and_no_more_than_asked() {
    let urls: Vec<_> = (0..5).map(|n| format!("http://a.example/{n}")).collect();
    let (mut crawl, job_id) = crawl(&urls.iter().map(String::as_str).collect::<Vec<_>>()).await;
    for (n, row) in crawl.ready(job_id).await.iter().enumerate() {
        crawl.fetch(retry(row, 100 - n as i64, true)).await;
    }
    crawl
        .send(Command::Promote {
            now: UnixMs(NOW.0 + 100),
            most: 2,
        })
        .await;
    let Event::Promoted(rows) = crawl.answer().await else {
        panic!("promoted")
    };
    let paths: Vec<_> = rows.iter().map(|row| row.url.url().path()).collect();
    assert_eq!(paths, ["/4", "/3"]);
    crawl.assert_counters().await;
}

#[tokio::test]
async fn requests_are_skipped_alone_or_with_the_rest_of_their_job() {
    let urls: Vec<_> = (0..6).map(|n| format!("http://a.example/{n}")).collect();
    let (mut crawl, job_id) = crawl(&urls.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let rows = crawl.ready(job_id).await;
    crawl.fetch(retry(&rows[0], 500, true)).await;
    crawl.lease(rows[1].request, false).await;
    crawl.lease(rows[2].request, false).await;
    let skip = |at: usize| Skipped {
        request: rows[at].request,
        job: job_id,
        host: rows[at].host,
        reason: SkipReason::Robots,
    };
    crawl
        .send(Command::Skip(vec![skip(1), skip(3), skip(3)]))
        .await;
    let Event::Skipped(skipped) = crawl.answer().await else {
        panic!("skipped")
    };
    assert_eq!(skipped, [rows[1].request, rows[3].request]);
    crawl
        .send(Command::SkipRest {
            job: job_id,
            reason: SkipReason::MaxPages,
        })
        .await;
    let answer = crawl.answer().await;
    assert!(
        matches!(answer, Event::RestSkipped { requests: 3, .. }),
        "{answer:?}"
    );
    assert!(
        crawl.record(done(&rows[2], 200)).await,
        "what was in flight keeps its own verdict"
    );
    crawl.assert_counters().await;
    let rows = crawl
        .query("SELECT reason, count(*) FROM skipped GROUP BY 1 ORDER BY 1")
        .await;
    assert_eq!(rows, [["max_pages", "3"], ["robots", "2"]]);
}

#[tokio::test]
async fn a_host_fails_with_all_its_open_requests_of_the_named_jobs() {
    let (mut crawl, job_id) = crawl(&[
        "http://a.example/1",
        "http://a.example/2",
        "http://a.example/3",
        "http://b.example/",
    ])
    .await;
    let other = submit(&crawl.store, "other", &["http://a.example/1"])
        .await
        .job_id;
    let rows = crawl.ready(job_id).await;
    crawl.fetch(retry(&rows[0], 500, true)).await;
    crawl.lease(rows[1].request, false).await;
    let host = rows[0].host;
    let cause = "dns_not_found".to_owned();
    crawl
        .send(Command::FailHost {
            host,
            jobs: vec![job_id],
            cause,
        })
        .await;
    let answer = crawl.answer().await;
    assert!(
        matches!(answer, Event::HostFailed { requests: 2, .. }),
        "{answer:?}"
    );
    crawl.assert_counters().await;
    assert_eq!(crawl.ready(other).await.len(), 1);
    assert_eq!(crawl.ready(job_id).await.len(), 1, "the other host's");
    let rows = crawl
        .query("SELECT failed, (SELECT count(*) FROM failures) FROM hosts")
        .await;
    assert_eq!(rows, [["2", "2"], ["0", "2"]]);
}

#[tokio::test]
async fn a_host_is_remembered() {
    let (mut crawl, job_id) = crawl(&[HOST]).await;
    let host = crawl.ready(job_id).await[0].host;
    crawl.send(Command::LoadHost(host)).await;
    let Event::Host(row) = crawl.answer().await else {
        panic!("host")
    };
    assert_eq!(
        (row.name.as_str(), row.limiter, row.robots),
        ("http://a.example", None, None)
    );
    let robots = RobotsAnswer {
        host,
        status: Some(200),
        body: Some(b"User-agent: *\nDisallow: /x\xff".to_vec()),
        fetched: NOW,
        expires: UnixMs(NOW.0 + 1),
    };
    let limiter = serde_json::json!({ "limit": 4.25, "name": "it's" });
    crawl.send(Command::Robots(robots.clone())).await;
    crawl
        .send(Command::HostMemory(vec![HostMemory {
            host,
            at: NOW,
            limiter: limiter.clone(),
            standing: Standing::default(),
        }]))
        .await;
    crawl.send(Command::LoadHost(host)).await;
    let Event::Host(row) = crawl.answer().await else {
        panic!("host")
    };
    assert_eq!(
        (row.limiter, row.robots),
        (Some((limiter, NOW)), Some(robots))
    );
}

#[tokio::test]
async fn commands_of_one_batch_see_each_other() {
    let urls: Vec<_> = (0..100).map(|n| format!("http://a.example/{n}")).collect();
    let (mut crawl, job_id) = crawl(&urls.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let rows = crawl.ready(job_id).await;
    let leases = rows[..70].iter().map(|row| neap_store::Lease {
        request: row.request,
        is_alone: false,
    });
    crawl.send(Command::Lease(leases.collect())).await;
    for row in &rows[..70] {
        crawl.send(Command::Record(Box::new(done(row, 200)))).await;
    }
    let refill = neap_store::Refill {
        job: job_id,
        host: rows[0].host,
        after: Position::START,
        count: 99,
    };
    crawl.send(Command::Refill(refill)).await;
    let refilled = loop {
        if let Event::Refilled(refilled) = crawl.answer().await {
            break refilled;
        }
    };
    assert_eq!(refilled.rows.len(), 30);
    assert_eq!(refilled.rows[0].request, rows[70].request);
    crawl.assert_counters().await;
}

#[tokio::test]
async fn only_jobs_of_this_run_are_made_ready_again() {
    let (mut first, shop) = crawl(&[HOST]).await;
    let other = submit(
        &first.store,
        "other",
        &["http://a.example/1", "http://a.example/2"],
    )
    .await;
    for (n, row) in first.ready(other.job_id).await.iter().enumerate() {
        first.fetch(retry(row, 100 + n as i64, true)).await;
    }
    let row = first.find(shop, HOST).await;
    first.fetch(retry(&row, 300, true)).await;
    let mut second = first.killed().await;
    second.send(Command::OpenJob(shop)).await;
    let due = second.event().await;
    assert!(
        matches!(due, Event::NextDue(Some(at)) if at.0 == NOW.0 + 300),
        "{due:?}"
    );
    let promote = |most| Command::Promote {
        now: UnixMs(NOW.0 + 900),
        most,
    };
    second.send(promote(10)).await;
    assert!(matches!(second.event().await, Event::NextDue(None)));
    let Event::Promoted(rows) = second.event().await else {
        panic!("promoted")
    };
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!(rows[0].job, shop);

    // Of two opened jobs the longest due go first, whosever they are.
    second.lease(rows[0].request, false).await;
    second.record(retry(&rows[0], 50, true)).await;
    second.send(Command::OpenJob(other.job_id)).await;
    assert!(matches!(second.event().await, Event::NextDue(Some(_))));
    second.send(promote(2)).await;
    let Event::Promoted(rows) = second.answer().await else {
        panic!("promoted")
    };
    let jobs: Vec<_> = rows.iter().map(|row| row.job).collect();
    assert_eq!(jobs, [shop, other.job_id]);
    second.assert_counters().await;
}

#[tokio::test]
async fn millions_of_requests_end_in_slices_and_are_told_of_once() {
    let urls: Vec<_> = (0..25_000)
        .map(|n| format!("http://{}.example/{n}", ["a", "b", "c"][n % 3]))
        .collect();
    let urls: Vec<_> = urls.iter().map(String::as_str).collect();
    let (mut crawl, job_id) = crawl(&urls).await;
    let other = submit(&crawl.store, "other", &urls[..6000]).await.job_id;
    let rows = crawl.ready(job_id).await;
    crawl.fetch(retry(&rows[0], 500, true)).await;
    crawl.lease(rows[1].request, false).await;
    while crawl.events.try_recv().is_ok() {}
    crawl
        .send(Command::SkipRest {
            job: job_id,
            reason: SkipReason::MaxPages,
        })
        .await;
    let mut skipped = Vec::new();
    let requests = loop {
        match crawl.events.recv().await.expect("the writer goes on") {
            Event::Counts(_, counts) => skipped.push(counts.skipped),
            Event::NextDue(_) => {}
            Event::RestSkipped { requests, .. } => break requests,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(requests, 24_999, "all but the one in flight");
    assert_eq!(
        skipped,
        [10_000, 20_000, 24_999],
        "one transaction after another"
    );
    crawl.assert_counters().await;

    // The other job is as it was, and a host fails in the same way. Closing waits for the rest.
    assert_eq!(crawl.ready(other).await.len(), 3000, "1,000 of each host");
    let reason = SkipReason::MaxPages;
    crawl.send(Command::SkipRest { job: other, reason }).await;
    let answer = crawl.answer().await;
    assert!(
        matches!(answer, Event::RestSkipped { requests: 6000, .. }),
        "{answer:?}"
    );
    let third = submit(&crawl.store, "third", &urls).await.job_id;
    let host = crawl.ready(third).await[0].host;
    let cause = "dns".to_owned();
    let jobs = vec![third];
    crawl.send(Command::FailHost { host, jobs, cause }).await;
    let path = crawl.path();
    let _directory = crawl.close().await;
    let left = crate::support::query(
        &path,
        "SELECT job_id, ready, failed, skipped FROM jobs ORDER BY job_id",
    )
    .await;
    assert_eq!(
        left,
        [
            ["1", "1", "0", "24999"],
            ["2", "0", "0", "6000"],
            ["3", "16666", "8334", "0"]
        ]
    );
}
