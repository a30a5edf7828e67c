//! What others than the run do to jobs and requests, and what the run hears of it.

use neap_core::{JobId, RequestId};
use neap_store::{
    Access, Chosen, Command, Event, InputRow, JobChange, JobState, Reader, RedirectVerdict,
    Settings, SqliteStore, StoreError,
};

use crate::support::{Crawl, NOW, crawl, done, failed, linking, redirect, retry, submit, url};

const HOST: &str = "http://a.example/";
const OTHER: &str = "http://b.example/";

impl Crawl {
    /// What others did, as far as it is told by now.
    async fn heed(&mut self) -> Vec<(JobId, JobChange)> {
        self.send(Command::Heed).await;
        // Answered in order: what comes before it was heeded before.
        self.send(Command::LoadHost(neap_core::HostId(1))).await;
        let mut changes = Vec::new();
        loop {
            match self.answer().await {
                Event::JobChanged(job, change) => changes.push((job, change)),
                Event::Host(_) => return changes,
                other => panic!("{other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn a_run_hears_that_its_job_is_paused_and_goes_on() {
    let (mut crawl, job) = crawl(&[HOST]).await;
    assert_eq!(crawl.ready(job).await.len(), 1);
    assert_eq!(crawl.heed().await, []);
    assert!(crawl.store.pause_job(job).await.unwrap());
    assert!(!crawl.store.pause_job(job).await.unwrap(), "no news");
    assert_eq!(crawl.heed().await, [(job, JobChange::Paused)]);
    assert_eq!(crawl.heed().await, [], "told once");
    assert_eq!(crawl.store.job(job).await.unwrap().state, JobState::Paused);
    assert_eq!(crawl.store.unfinished_jobs().await.unwrap(), []);
    assert!(crawl.store.continue_job(job).await.unwrap());
    assert!(!crawl.store.continue_job(job).await.unwrap());
    assert_eq!(crawl.heed().await, [(job, JobChange::Continued)]);
    assert_eq!(crawl.ready(job).await.len(), 1);
}

#[tokio::test]
async fn a_job_that_was_paused_before_the_run_opened_it_is_not_worked_on() {
    let (mut crawl, job) = crawl(&[HOST]).await;
    assert_eq!(crawl.heed().await, []);
    crawl.store.pause_job(job).await.unwrap();
    crawl.send(Command::OpenJob(job)).await;
    assert!(matches!(
        crawl.answer().await,
        Event::JobChanged(_, JobChange::Paused)
    ));
}

#[tokio::test]
async fn no_request_goes_out_once_its_job_is_paused_cancelled_or_replaced() {
    for what in ["paused", "cancelled", "replaced"] {
        let (mut crawl, job) = crawl(&[HOST]).await;
        let row = crawl.find(job, HOST).await;
        match what {
            "paused" => assert!(crawl.store.pause_job(job).await.unwrap()),
            "cancelled" => assert!(crawl.store.cancel_job(job).await.unwrap()),
            _ => drop(submit(&crawl.store, "shop", &[HOST]).await),
        }
        crawl.heed().await;
        assert_eq!(crawl.lease(row.request, false).await, [], "{what}");
        let leased = crawl.query("SELECT * FROM in_flight").await;
        assert!(leased.is_empty(), "{what}");
        if what == "paused" {
            crawl.store.continue_job(job).await.unwrap();
            crawl.heed().await;
            assert_eq!(crawl.lease(row.request, false).await, [row.request]);
        }
    }
}

#[tokio::test]
async fn two_that_add_at_once_both_widen_the_scope() {
    let (crawl, job) = crawl(&[HOST]).await;
    let pages = ["http://c.example/", "http://d.example/"].map(|text| [url(text).into()]);
    let mut one = crawl.store.begin_addition(job).await.unwrap();
    let mut two = crawl.store.begin_addition(job).await.unwrap();
    one.add(&pages[0]).await.unwrap();
    two.add(&pages[1]).await.unwrap();
    one.complete(&[]).await.unwrap();
    two.complete(&[]).await.unwrap();
    let roots = crawl.store.job(job).await.unwrap().scope_roots;
    for host in ["a.example", "c.example", "d.example"] {
        assert!(roots.iter().any(|root| root.contains(host)), "{roots:?}");
    }
    assert_eq!(roots.len(), 3, "{roots:?}");
}

#[tokio::test]
async fn nothing_is_added_to_a_job_that_is_over_meanwhile() {
    for is_replaced in [true, false] {
        let (mut crawl, job) = crawl(&[HOST]).await;
        let row = crawl.find(job, HOST).await;
        crawl.fetch(failed(&row)).await;
        let mut addition = crawl.store.begin_addition(job).await.unwrap();
        let (late, rows) = (
            crawl.store.begin_addition(job).await.unwrap(),
            [url(OTHER).into()],
        );
        let state = if is_replaced {
            submit(&crawl.store, "shop", &[HOST]).await;
            JobState::Replaced
        } else {
            crawl.store.cancel_job(job).await.unwrap();
            JobState::Cancelled
        };
        let is_over = |error: &StoreError| matches!(error, StoreError::JobOver { .. });
        let error = addition.add(&rows).await.unwrap_err();
        assert!(is_over(&error), "{error:?}");
        assert!(
            error.to_string().starts_with("round 1 of shop was "),
            "{error}"
        );
        addition.discard().await.unwrap();
        let error = late.complete(&[]).await.unwrap_err();
        assert!(is_over(&error), "{error:?}");
        let meant = [row.request];
        let retried = crawl.store.retry_requests(job, &meant, |_| {}).await;
        let error = retried.unwrap_err();
        assert!(is_over(&error), "{error:?}");
        let after = crawl.store.job(job).await.unwrap();
        assert_eq!((after.state, after.counts.total()), (state, 1));
        assert_eq!(after.counts.failed, 1);
        crawl.assert_counters().await;
    }
}

#[tokio::test]
async fn a_run_that_died_keeps_nobody_from_emptying_the_log() {
    let (mut crawl, job) = crawl(&[HOST]).await;
    let log = crawl.path().with_file_name("neap.db-wal");
    let log = || std::fs::metadata(&log).unwrap().len();
    assert!(crawl.store.pause_job(job).await.unwrap());
    assert!(log() > 0, "a run goes on, whose log it is");
    drop(crawl.lock.take());
    assert!(crawl.store.continue_job(job).await.unwrap());
    assert_eq!(log(), 0);
}

#[tokio::test]
async fn what_is_due_in_a_paused_job_is_not_made_ready() {
    let (mut crawl, job) = crawl(&[HOST]).await;
    let row = crawl.find(job, HOST).await;
    crawl.fetch(retry(&row, 10, true)).await;
    crawl.store.pause_job(job).await.unwrap();
    crawl.heed().await;
    crawl
        .send(Command::Promote {
            now: neap_core::UnixMs(NOW.0 + 1000),
            most: 10,
        })
        .await;
    match crawl.answer().await {
        Event::Promoted(rows) => assert_eq!(rows, []),
        other => panic!("{other:?}"),
    }
    assert_eq!(crawl.store.job(job).await.unwrap().counts.waiting, 1);
}

#[tokio::test]
async fn of_a_cancelled_job_an_answer_counts_and_nothing_follows_from_it() {
    let pages = [
        "http://a.example/1",
        "http://a.example/2",
        "http://a.example/3",
    ];
    let (mut crawl, job) = crawl(&pages).await;
    let rows = crawl.ready(job).await;
    crawl.lease(rows[0].request, false).await;
    crawl.lease(rows[1].request, false).await;
    assert!(crawl.store.cancel_job(job).await.unwrap());
    let counts = crawl.store.empty_cancelled(job, |_| {}).await.unwrap();
    assert_eq!((counts.skipped, counts.ready), (1, 2), "two are in flight");
    assert_eq!(crawl.heed().await, [(job, JobChange::Cancelled)]);
    assert_eq!(
        crawl.lease(rows[2].request, false).await,
        [],
        "what was skipped cannot go out any more"
    );
    assert!(
        crawl
            .record(linking(&rows[0], &["http://a.example/new"]))
            .await
    );
    assert!(crawl.record(retry(&rows[1], 500, true)).await);
    let after = crawl
        .query("SELECT url, state_name, skip_reason_name FROM requests ORDER BY request_id")
        .await;
    assert_eq!(
        after,
        [
            [pages[0], "done", "-"],
            [pages[1], "skipped", "cancelled"],
            [pages[2], "skipped", "cancelled"],
        ]
    );
    let links = crawl.query("SELECT url, reason_name FROM skips").await;
    assert_eq!(links, [["http://a.example/new", "cancelled"]]);
    crawl.send(Command::FinishJob { job }).await;
    assert!(matches!(crawl.answer().await, Event::JobFinished(_)));
    assert_eq!(
        crawl.store.job(job).await.unwrap().state,
        JobState::Cancelled
    );
    crawl.assert_counters().await;
}

#[tokio::test]
async fn the_next_run_finishes_what_was_cancelled_and_was_in_flight_at_a_crash() {
    let (mut crawl, job) = crawl(&[HOST, OTHER]).await;
    let row = crawl.find(job, HOST).await;
    crawl.lease(row.request, false).await;
    crawl.store.cancel_job(job).await.unwrap();
    // Neither the one who cancelled nor the run lives to do the rest.
    let mut crawl = crawl.killed().await;
    let row = crawl.store.job(job).await.unwrap();
    assert_eq!((row.counts.open(), row.counts.skipped), (0, 2));
    assert!(row.finished.is_some());
    assert_eq!(crawl.heed().await, []);
    crawl.assert_counters().await;
}

#[tokio::test]
async fn a_retry_opens_the_same_round_and_counts_its_attempts_on() {
    let (mut crawl, job) = crawl(&[HOST, OTHER]).await;
    let (row, other) = (crawl.find(job, HOST).await, crawl.find(job, OTHER).await);
    crawl.fetch(retry(&row, 0, true)).await;
    crawl.send(Command::Promote { now: NOW, most: 10 }).await;
    crawl.answer().await;
    let row = crawl.find(job, HOST).await;
    let mut refused = failed(&row);
    refused.page = done(&row, 403).page;
    crawl.fetch(refused).await;
    crawl.fetch(done(&other, 200)).await;
    crawl.send(Command::FinishJob { job }).await;
    assert!(matches!(crawl.answer().await, Event::JobFinished(_)));

    let reader = Reader::open(crawl.store.path()).await.unwrap();
    let round = crawl.store.job(job).await.unwrap();
    let meant = reader.failed_requests(&round, &Chosen::default()).await;
    assert_eq!(meant.as_deref().unwrap(), [row.request]);
    let retried = crawl
        .store
        .retry_requests(job, &meant.unwrap(), |_| {})
        .await;
    assert_eq!(retried.unwrap(), 1);
    assert_eq!(crawl.heed().await, [(job, JobChange::Reopened)]);
    let after = crawl.store.job(job).await.unwrap();
    assert_eq!(after.state, JobState::Unfinished);
    assert_eq!((after.counts.ready, after.counts.failed), (1, 0));
    assert_eq!(
        crawl.query("SELECT url FROM results").await,
        [[OTHER]],
        "its old ending is gone"
    );
    crawl.assert_counters().await;
    let again = crawl.find(job, HOST).await;
    assert_eq!((again.charged, again.next_attempt()), (0, 3));
    assert!(!again.has_failed(), "it is no retry for budget and limiter");
    let mut record = done(&again, 200);
    record.attempt.number = again.next_attempt();
    assert!(crawl.fetch(record).await);
    assert_eq!(
        crawl
            .query("SELECT url, status, attempts FROM results ORDER BY url")
            .await,
        [[HOST, "200", "3"], [OTHER, "200", "1"]]
    );
    crawl.assert_counters().await;
}

#[tokio::test]
async fn a_job_that_got_work_from_others_is_not_finished() {
    let (mut crawl, job) = crawl(&[HOST]).await;
    let row = crawl.find(job, HOST).await;
    crawl.fetch(failed(&row)).await;
    let retried = crawl
        .store
        .retry_requests(job, &[row.request], |_| {})
        .await;
    assert_eq!(retried.unwrap(), 1);
    // The run saw that nothing was open, and says so too late.
    crawl.send(Command::FinishJob { job }).await;
    assert!(matches!(
        crawl.answer().await,
        Event::JobChanged(_, JobChange::Reopened)
    ));
    assert_eq!(
        crawl.store.job(job).await.unwrap().state,
        JobState::Unfinished
    );
}

#[tokio::test]
async fn what_is_skipped_by_hand_leaves_alone_what_is_in_flight() {
    let (mut crawl, job) = crawl(&["http://a.example/1", "http://a.example/2", OTHER]).await;
    let rows = crawl.ready(job).await;
    crawl.lease(rows[0].request, false).await;
    let reader = Reader::open(crawl.store.path()).await.unwrap();
    let round = crawl.store.job(job).await.unwrap();
    let chosen = Chosen {
        hosts: vec!["http://a.example".to_owned()],
        ..Chosen::default()
    };
    let meant = reader.open_requests(&round, &chosen).await.unwrap();
    assert_eq!(meant.len(), 2);
    let skipped = crawl.store.skip_requests(job, &meant, |_| {}).await;
    assert_eq!(skipped.unwrap(), 1);
    let rows_after = crawl
        .query("SELECT url, skip_reason_name FROM requests WHERE state_name = 'skipped'")
        .await;
    assert_eq!(rows_after, [["http://a.example/2", "by_hand"]]);
    assert!(crawl.record(done(&rows[0], 200)).await);
    // The last one: nothing is left, and the job is finished.
    let chosen = Chosen {
        urls: vec![url(OTHER).as_str().to_owned()],
        ..Chosen::default()
    };
    let meant = reader.open_requests(&round, &chosen).await.unwrap();
    let skipped = crawl.store.skip_requests(job, &meant, |_| {}).await;
    assert_eq!(skipped.unwrap(), 1);
    assert_eq!(
        crawl.store.job(job).await.unwrap().state,
        JobState::Finished
    );
    crawl.assert_counters().await;
}

#[tokio::test]
async fn a_condition_chooses_and_never_writes() {
    let (mut crawl, job) = crawl(&["http://a.example/1", "http://a.example/2"]).await;
    let foreign = submit(&crawl.store, "foreign", &[OTHER]).await.job_id;
    for row in crawl.ready(job).await {
        crawl.fetch(failed(&row)).await;
    }
    let row = crawl.find(foreign, OTHER).await;
    crawl.fetch(failed(&row)).await;
    let reader = Reader::open(crawl.store.path()).await.unwrap();
    let round = crawl.store.job(job).await.unwrap();
    let choose = async |condition: &str| {
        let chosen = Chosen {
            condition: Some(condition.to_owned()),
            ..Chosen::default()
        };
        reader.failed_requests(&round, &chosen).await
    };
    assert_eq!(
        choose("url LIKE '%/2' -- the second").await.unwrap().len(),
        1
    );
    assert_eq!(
        choose("status = 502 AND cause = 'http_502'")
            .await
            .unwrap()
            .len(),
        2
    );
    assert_eq!(choose("status = 404").await.unwrap(), []);
    for (condition, is_refused) in [
        ("nonsense = 1", false),
        ("1) ; DELETE FROM requests; SELECT (1", true),
        ("", false),
    ] {
        match choose(condition).await {
            Err(StoreError::Refused(_)) => assert!(is_refused, "{condition}"),
            Err(StoreError::BadQuery(_)) => assert!(!is_refused, "{condition}"),
            other => panic!("{condition}: {other:?}"),
        }
    }
    // Whoever talks himself out of the brackets finds other jobs' requests, and changes none of them.
    let meant = choose("1) OR (1").await.unwrap();
    assert_eq!(meant.len(), 3);
    let retried = crawl.store.retry_requests(job, &meant, |_| {}).await;
    assert_eq!(retried.unwrap(), 2);
    crawl.assert_counters().await;
}

#[tokio::test]
async fn a_run_for_all_finds_the_jobs_of_others_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("neap.db");
    let store = SqliteStore::open(&path, Access::Create).await.unwrap();
    let own = submit(&store, "own", &[HOST]).await.job_id;
    let lock = store.lock(NOW).await.unwrap();
    let run = store.begin_run_for_all(&lock, NOW).await.unwrap();
    let writer = neap_store::Writer::spawn(&store, &run, Settings::default()).await;
    let (writer, mut events) = writer.unwrap();
    writer.send(Command::OpenJob(own)).await.unwrap();
    let paused = submit(&store, "paused", &[OTHER]).await.job_id;
    store.pause_job(paused).await.unwrap();
    store.continue_job(own).await.unwrap();
    writer.send(Command::Heed).await.unwrap();
    store.continue_job(paused).await.unwrap();
    writer.send(Command::Heed).await.unwrap();
    writer.send(Command::Heed).await.unwrap();
    writer.close().await.unwrap();
    let mut found = Vec::new();
    while let Some(event) = events.recv().await {
        if let Event::JobFound(job) = event {
            assert_eq!(job.input_hosts.len(), 1);
            found.push(job.row.job_id);
        }
    }
    found.retain(|job| *job != own);
    assert_eq!(found, [paused]);
    assert_eq!(
        store
            .retry_requests(paused, &[RequestId(1)], |_| {})
            .await
            .unwrap(),
        0,
        "a request of another job"
    );
}

#[tokio::test]
async fn a_job_is_seen_when_it_is_complete_and_not_before() {
    let (crawl, first) = crawl(&[HOST]).await;
    let job = crate::support::job("shop");
    let mut intake = crawl.store.begin_job(&job).await.unwrap();
    let rows = [HOST, OTHER, HOST].map(|text| InputRow {
        url: url(text),
        fields: Some(format!("{{\"from\":\"{text}\"}}")),
        is_sitemap: false,
    });
    intake.add(&rows).await.unwrap();
    assert_eq!(crawl.store.jobs().await.unwrap().len(), 1);
    assert_eq!(
        crawl.store.job(first).await.unwrap().state,
        JobState::Unfinished,
        "nothing takes its place yet"
    );
    // Another one at the same time, of the same name.
    let mut other = crawl.store.begin_job(&job).await.unwrap();
    other.add(&rows[..1]).await.unwrap();
    let done = intake.complete(&[]).await.unwrap();
    assert_eq!((done.round, done.added, done.already_known), (2, 2, 1));
    let done = other.complete(&[]).await.unwrap();
    assert_eq!((done.round, done.added), (3, 1));
    let open = "SELECT url, input ->> 'from' FROM open_requests WHERE round = 2 ORDER BY url";
    assert_eq!(crawl.query(open).await, [[HOST, HOST], [OTHER, OTHER]]);
    crawl.assert_counters().await;
}

#[tokio::test]
async fn half_a_submission_is_cleared_away_by_the_next() {
    let (crawl, _) = crawl(&[HOST]).await;
    let job = crate::support::job("half");
    let row = |n| InputRow {
        url: url(&format!("http://c.example/{n}")),
        fields: Some("{}".to_owned()),
        is_sitemap: false,
    };
    let rows: Vec<InputRow> = (0..9000).map(row).collect();
    let counts = "SELECT count(*), (SELECT count(*) FROM inputs), (SELECT count(*) FROM drafts),
         (SELECT count(*) FROM input_hosts) FROM requests";
    let mut dead = crawl.store.begin_job(&job).await.unwrap();
    dead.add(&rows).await.unwrap();
    assert_eq!(crawl.query(counts).await, [["9001", "9000", "1", "2"]]);
    let mut alive = crawl.store.begin_job(&job).await.unwrap();
    alive.add(&rows[..1]).await.unwrap();
    // Dropped without a word, as if the process had died.
    drop(dead);
    let crawl = crawl.killed().await;
    assert_eq!(
        crawl.query(counts).await,
        [["9002", "9001", "2", "3"]],
        "one of them lives"
    );
    alive.discard().await.unwrap();
    submit(&crawl.store, "other", &[OTHER]).await;
    assert_eq!(crawl.query(counts).await, [["2", "0", "0", "2"]]);
    assert_eq!(crawl.store.jobs().await.unwrap().len(), 2);
    crawl.assert_counters().await;
}

#[tokio::test]
async fn what_stood_beside_a_url_is_seen_wherever_its_redirects_lead() {
    let (mut crawl, job) = crawl(&[HOST]).await;
    let mut addition = crawl.store.begin_addition(job).await.unwrap();
    let rows = [(HOST, "{\"sku\":1}"), (OTHER, "{\"sku\":2}")].map(|(text, fields)| InputRow {
        url: url(text),
        fields: Some(fields.to_owned()),
        is_sitemap: false,
    });
    addition.add(&rows).await.unwrap();
    let added = addition.complete(&[]).await.unwrap();
    assert_eq!((added.added, added.already_known), (1, 1));
    let row = crawl.find(job, HOST).await;
    let to = redirect(&row, "http://a.example/moved", RedirectVerdict::Follow);
    crawl.fetch(to).await;
    let moved = crawl.find(job, "http://a.example/moved").await;
    crawl.fetch(failed(&moved)).await;
    let other = crawl.find(job, OTHER).await;
    crawl.fetch(done(&other, 200)).await;
    let results = "SELECT url, input ->> 'sku' FROM results ORDER BY url";
    assert_eq!(crawl.query(results).await, [[HOST, "1"], [OTHER, "2"]]);
    let failures = "SELECT url, input ->> 'sku' FROM failures";
    assert_eq!(
        crawl.query(failures).await,
        [["http://a.example/moved", "1"]]
    );
}
