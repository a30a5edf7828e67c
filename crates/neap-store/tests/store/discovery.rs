//! Which URLs become requests, and in which order they are handed out.

use neap_core::JobId;
use neap_store::{Command, Event, Link, Position, RedirectVerdict, StoreError, Submission};

use crate::support::{crawl, done, job, linking, redirect, submit, url};

#[tokio::test]
async fn a_submission_keeps_its_order_and_knows_its_duplicates() {
    let urls = [
        "http://a.example/z",
        "http://a.example/a",
        "http://a.example/z#top",
        "http://b.example/",
    ];
    let (mut crawl, job_id) = crawl(&urls).await;
    let row = crawl.store.latest_round("shop").await.unwrap().unwrap();
    assert_eq!((row.round, row.counts.ready, row.counts.total()), (1, 3, 3));
    let roots: Vec<_> = row.scope_roots.iter().map(String::as_str).collect();
    assert_eq!(roots, ["a.example", "b.example"]);
    let ready: Vec<_> = crawl
        .ready(job_id)
        .await
        .iter()
        .map(|row| row.url.to_string())
        .collect();
    assert_eq!(
        ready,
        [
            "http://a.example/z",
            "http://a.example/a",
            "http://b.example/"
        ]
    );
    crawl.assert_counters().await;
}

#[tokio::test]
async fn nothing_of_a_submission_that_breaks_off_is_there() {
    let (crawl, _) = crawl(&[]).await;
    let urls = (0..5000).map(|n| {
        assert!(n < 3000, "the input ends in a panic");
        url(&format!("http://a.example/{n}"))
    });
    let store = crawl.store.clone();
    let broken = async move {
        store
            .submit(Submission {
                job: &job("x"),
                urls,
            })
            .await
    };
    assert!(tokio::spawn(broken).await.is_err());
    let rows = crawl
        .query("SELECT (SELECT count(*) FROM jobs), (SELECT count(*) FROM requests)")
        .await;
    assert_eq!(rows, [["1", "0"]]);
}

#[tokio::test]
async fn rounds_are_apart_and_the_older_unfinished_one_is_replaced() {
    let (mut crawl, first) = crawl(&["http://a.example/"]).await;
    assert_eq!(crawl.ready(first).await.len(), 1);
    let second = submit(&crawl.store, "shop", &["http://a.example/"]).await;
    assert_eq!((second.round, second.added), (2, 1));
    let unfinished = crawl.store.unfinished_jobs().await.unwrap();
    assert_eq!(
        unfinished.iter().map(|row| row.job_id).collect::<Vec<_>>(),
        [second.job_id]
    );
    assert_eq!(crawl.ready(second.job_id).await.len(), 1);
    assert!(crawl.store.latest_round("other").await.unwrap().is_none());
}

#[tokio::test]
async fn added_input_opens_a_finished_job_again_and_widens_its_scope() {
    let (mut crawl, job_id) = crawl(&["http://a.example/"]).await;
    let row = crawl.find(job_id, "http://a.example/").await;
    assert!(crawl.fetch(done(&row, 200)).await);
    crawl.send(Command::FinishJob { job: job_id }).await;
    assert!(matches!(crawl.answer().await, Event::JobFinished(_)));
    let known = crawl
        .store
        .add_input(job_id, [url("http://a.example/")])
        .await
        .unwrap();
    assert_eq!((known.added, known.already_known), (0, 1));
    assert!(crawl.store.unfinished_jobs().await.unwrap().is_empty());
    crawl
        .store
        .add_input(job_id, [url("http://b.example/x")])
        .await
        .unwrap();
    let row = crawl.store.unfinished_jobs().await.unwrap().remove(0);
    assert_eq!(
        (row.scope_roots.len(), row.counts.ready, row.counts.done),
        (2, 1, 1)
    );
    let mut spec = row.spec.clone();
    spec.limits.concurrency = 3;
    crawl.store.update_spec(job_id, &spec).await.unwrap();
    assert_eq!(crawl.store.job(job_id).await.unwrap().spec, spec);
    let unknown = crawl.store.add_input(JobId(99), []).await;
    assert!(matches!(unknown, Err(StoreError::Unexpected(_))));
}

#[tokio::test]
async fn a_cursor_sees_every_ready_request_once_and_none_in_flight() {
    let urls: Vec<_> = (0..10).map(|n| format!("http://a.example/{n}")).collect();
    let (mut crawl, job_id) = crawl(&urls.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let host = crawl.ready(job_id).await[0].host;
    let (first, is_exhausted) = crawl.refill(job_id, host, Position::START, 4).await;
    assert!(!is_exhausted);
    let in_flight = first[3].request;
    assert_eq!(crawl.lease(in_flight, false).await, [in_flight]);
    assert_eq!(crawl.lease(in_flight, false).await, [], "leased twice");
    let (rest, is_exhausted) = crawl.refill(job_id, host, first[1].position, 100).await;
    assert!(is_exhausted);
    let names: Vec<_> = rest
        .iter()
        .map(|row| row.url.url().path().to_owned())
        .collect();
    assert_eq!(names, ["/2", "/4", "/5", "/6", "/7", "/8", "/9"]);
}

#[tokio::test]
async fn every_host_is_announced_however_many_there_are_and_with_the_first_of_its_requests() {
    const HOSTS: i64 = 3000;
    // The second URL of each host comes only after the first of all of them.
    let urls: Vec<_> = (0..2 * HOSTS)
        .map(|n| format!("http://h{:04}.example/{n}", n % HOSTS))
        .collect();
    let (mut crawl, job_id) = crawl(&urls.iter().map(String::as_str).collect::<Vec<_>>()).await;
    crawl.send(Command::OpenJob(job_id)).await;
    let mut firsts = std::collections::BTreeMap::new();
    let mut slices = 0;
    loop {
        match crawl.any_event().await {
            Event::Ready(ready) => {
                let told = firsts.insert(ready.host, ready.first);
                assert_eq!(told, None, "{} is announced once", ready.host_name);
            }
            Event::Announced { next: None, .. } => break,
            Event::Announced {
                job,
                next: Some(from),
            } => {
                assert_eq!(firsts.len() as i64, from.0 - 1, "all hosts before it");
                crawl.send(Command::Announce { job, from }).await;
                slices += 1;
            }
            Event::NextDue(_) | Event::Counts(..) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((firsts.len() as i64, slices), (HOSTS, 2));
    // As many reads as fit into one statement and more come back each with its own rows.
    for (host, first) in &firsts {
        let refill = neap_store::Refill {
            job: job_id,
            host: *host,
            after: Position::START,
            count: 1 + host.0 as usize % 3,
        };
        assert_eq!(first.request.0, host.0, "hosts and URLs are numbered alike");
        crawl.send(Command::Refill(refill)).await;
    }
    for host in firsts.keys() {
        let Event::Refilled(refilled) = crawl.event().await else {
            panic!("nothing else happens")
        };
        let found: Vec<i64> = refilled.rows.iter().map(|row| row.request.0).collect();
        let all = [host.0, host.0 + HOSTS];
        let wanted = refilled.refill.count;
        assert_eq!(
            (refilled.refill.host, &found[..]),
            (*host, &all[..wanted.min(2)])
        );
        assert_eq!(refilled.is_exhausted, wanted > 2);
    }
}

#[tokio::test]
async fn requests_are_handed_out_by_priority_and_then_as_they_were_found() {
    let (mut crawl, job_id) = crawl(&["http://a.example/1", "http://a.example/2"]).await;
    let rows = crawl.ready(job_id).await;
    crawl.lease(rows[0].request, false).await;
    let paths = ["/deep", "/b", "/c", "/urgent"];
    let mut record = linking(
        &rows[0],
        &paths
            .map(|path| format!("http://a.example{path}"))
            .each_ref()
            .map(String::as_str),
    );
    for (link, (depth, priority)) in record
        .links
        .iter_mut()
        .zip([(2, 2), (1, 1), (1, 1), (3, -1)])
    {
        (link.depth, link.priority) = (depth, priority);
    }
    crawl.record(record).await;
    let host = rows[0].host;
    let (found, _) = crawl.refill(job_id, host, Position::START, 10).await;
    let order: Vec<&str> = found.iter().map(|row| row.url.url().path()).collect();
    assert_eq!(order[0], "/urgent");
    assert_eq!(order[1], "/2", "input has depth 0");
    let mut same: Vec<&str> = order[2..4].to_vec();
    same.sort_unstable();
    assert_eq!(same, ["/b", "/c"]);
    assert_eq!(order[4..], ["/deep"]);
    assert!(found.is_sorted_by_key(|row| row.position));
}

#[tokio::test]
async fn links_become_requests_once_and_their_hosts_are_announced() {
    let (mut crawl, job_id) = crawl(&["http://a.example/1", "http://a.example/2"]).await;
    let rows = crawl.ready(job_id).await;
    crawl.lease(rows[0].request, false).await;
    let links = [
        "http://b.example/x",
        "http://a.example/2",
        "http://b.example/y",
        "http://b.example/x",
    ];
    crawl
        .send(Command::Record(Box::new(linking(&rows[0], &links))))
        .await;
    let Event::Ready(ready) = crawl.event().await else {
        panic!("the host is announced first")
    };
    assert_eq!(
        (ready.job, ready.host_name.as_str()),
        (job_id, "http://b.example")
    );
    assert!(matches!(crawl.event().await, Event::Recorded(_)));
    let (found, _) = crawl.refill(job_id, ready.host, Position::START, 10).await;
    assert_eq!(found.len(), 2);
    assert_eq!((found[0].position, found[0].depth), (ready.first, 1));

    // What is known is not announced, whether the cache or the table knows it.
    crawl.lease(rows[1].request, false).await;
    let again = linking(&rows[1], &["http://b.example/x", "http://a.example/1"]);
    crawl.send(Command::Record(Box::new(again))).await;
    assert!(matches!(crawl.event().await, Event::Recorded(_)));
    crawl.assert_counters().await;
    let parents = crawl
        .query("SELECT count(*) FROM requests WHERE parent_id IS NOT NULL")
        .await;
    assert_eq!(parents, [["2"]]);
}

#[tokio::test]
async fn skipped_links_are_counted_and_a_thousand_of_them_kept() {
    use neap_core::scope::SkipReason;
    let (mut crawl, job_id) = crawl(&["http://a.example/1", "http://a.example/2"]).await;
    let rows = crawl.ready(job_id).await;
    for row in &rows {
        let mut record = done(row, 200);
        let away = |n: u32| (url(&format!("http://away.example/{n}")), SkipReason::Scope);
        record.skipped_links = (0..1500).map(away).collect();
        record
            .skipped_links
            .push((url("http://a.example/x"), SkipReason::Excluded));
        crawl.fetch(record).await;
    }
    let counts = crawl
        .query("SELECT reason, links, kept FROM skip_counts ORDER BY reason")
        .await;
    assert_eq!(counts, [["0", "3000", "1000"], ["2", "2", "1"]]);
    let kept = crawl
        .query("SELECT reason, count(*), min(found_on) FROM skipped GROUP BY reason")
        .await;
    assert_eq!(
        kept,
        [
            ["excluded", "1", "http://a.example/1"],
            ["scope", "1000", "http://a.example/1"]
        ]
    );
    // A link that was skipped for one job can still be asked for: the caches do not mix.
    let third = submit(&crawl.store, "wide", &["http://a.example/1"])
        .await
        .job_id;
    let row = crawl.find(third, "http://a.example/1").await;
    crawl.fetch(linking(&row, &["http://away.example/7"])).await;
    crawl.find(third, "http://away.example/7").await;
}

#[tokio::test]
async fn a_redirect_leads_to_a_new_request_or_to_the_known_one() {
    let (mut crawl, job_id) = crawl(&["http://a.example/old", "http://a.example/known"]).await;
    let old = crawl.find(job_id, "http://a.example/old").await;
    crawl
        .fetch(redirect(
            &old,
            "http://a.example/new",
            RedirectVerdict::Follow,
        ))
        .await;
    let new = crawl.find(job_id, "http://a.example/new").await;
    assert_eq!((new.hops, new.depth), (1, 0));
    crawl
        .fetch(redirect(
            &new,
            "http://a.example/known",
            RedirectVerdict::Follow,
        ))
        .await;
    assert_eq!(
        crawl.ready(job_id).await.len(),
        1,
        "the known one alone is left"
    );
    let known = crawl.find(job_id, "http://a.example/known").await;
    assert_eq!(known.hops, 0);
    crawl.fetch(done(&known, 200)).await;
    let rows = crawl
        .query(
            "SELECT url, final_url, status, first_status, redirects, state FROM results ORDER BY 1",
        )
        .await;
    assert_eq!(
        rows,
        [
            [
                "http://a.example/known",
                "http://a.example/known",
                "200",
                "200",
                "0",
                "done"
            ],
            [
                "http://a.example/old",
                "http://a.example/known",
                "200",
                "302",
                "2",
                "done"
            ],
        ]
    );
    crawl.assert_counters().await;
}

#[tokio::test]
async fn a_cookie_wall_may_send_a_request_back_to_itself() {
    let (mut crawl, job_id) = crawl(&["http://a.example/"]).await;
    let first = crawl.find(job_id, "http://a.example/").await;
    crawl
        .fetch(redirect(
            &first,
            "http://a.example/wall",
            RedirectVerdict::Follow,
        ))
        .await;
    let wall = crawl.find(job_id, "http://a.example/wall").await;
    crawl
        .fetch(redirect(
            &wall,
            "http://a.example/",
            RedirectVerdict::Follow,
        ))
        .await;
    let again = crawl.find(job_id, "http://a.example/").await;
    assert_ne!(again.request, first.request);
    assert_eq!(again.hops, 2);
    crawl.fetch(done(&again, 200)).await;
    let rows = crawl
        .query("SELECT url, final_url, status, redirects FROM results")
        .await;
    assert_eq!(
        rows,
        [["http://a.example/", "http://a.example/", "200", "2"]]
    );
}

#[tokio::test]
async fn a_redirect_to_itself_ends_with_too_many() {
    let (mut crawl, job_id) = crawl(&["http://a.example/"]).await;
    for hop in 0..5 {
        let row = crawl.find(job_id, "http://a.example/").await;
        assert_eq!(row.hops, hop);
        crawl
            .fetch(redirect(&row, "http://a.example/", RedirectVerdict::Follow))
            .await;
    }
    let last = crawl.find(job_id, "http://a.example/").await;
    crawl
        .fetch(redirect(
            &last,
            "http://a.example/",
            RedirectVerdict::TooMany,
        ))
        .await;
    assert!(crawl.ready(job_id).await.is_empty());
    let rows = crawl
        .query("SELECT state, cause, status, redirects FROM results")
        .await;
    assert_eq!(rows, [["failed", "too_many_redirects", "302", "5"]]);
    crawl.assert_counters().await;
}

#[tokio::test]
async fn a_refused_redirect_is_a_skipped_request() {
    use neap_core::scope::SkipReason;
    let (mut crawl, job_id) = crawl(&["http://a.example/"]).await;
    let row = crawl.find(job_id, "http://a.example/").await;
    let refused = RedirectVerdict::Refused(SkipReason::Scope);
    crawl
        .fetch(redirect(&row, "http://away.example/", refused))
        .await;
    assert!(crawl.ready(job_id).await.is_empty());
    let rows = crawl
        .query("SELECT state, skip_reason, first_status, status, final_url FROM results")
        .await;
    assert_eq!(
        rows,
        [["skipped", "scope", "302", "-", "http://away.example/"]]
    );
    crawl.assert_counters().await;
}

#[tokio::test]
async fn a_link_to_a_redirect_s_target_makes_it_a_result_of_its_own() {
    let (mut crawl, job_id) = crawl(&["http://a.example/1", "http://a.example/2"]).await;
    let rows = crawl.ready(job_id).await;
    crawl
        .fetch(redirect(
            &rows[0],
            "http://a.example/target",
            RedirectVerdict::Follow,
        ))
        .await;
    let target = crawl.find(job_id, "http://a.example/target").await;
    crawl.fetch(done(&target, 200)).await;
    assert_eq!(crawl.query("SELECT count(*) FROM results").await, [["1"]]);
    crawl
        .fetch(linking(&rows[1], &["http://a.example/target"]))
        .await;
    let rows = crawl.query("SELECT url FROM results ORDER BY url").await;
    assert_eq!(rows.len(), 3, "{rows:?}");
}

#[tokio::test]
async fn a_job_that_got_redirects_and_errors_alone_got_nothing() {
    let urls = [0, 1, 2, 3].map(|n| format!("http://a.example/{n}"));
    let (mut crawl, job_id) = crawl(&urls.each_ref().map(String::as_str)).await;
    let other = submit(&crawl.store, "other", &["http://a.example/0"]).await;
    let rows = crawl.ready(job_id).await;
    let too_many = RedirectVerdict::TooMany;
    crawl
        .fetch(redirect(&rows[0], "http://a.example/0", too_many))
        .await;
    crawl.fetch(done(&rows[1], 404)).await;
    let away = RedirectVerdict::Refused(neap_core::scope::SkipReason::Scope);
    crawl
        .fetch(redirect(&rows[2], "http://b.example/", away))
        .await;
    assert!(!crawl.store.fetched_any(job_id).await.unwrap());
    let mut unchanged = done(&rows[3], 304);
    unchanged.attempt.outcome = neap_core::classify::Outcome::Success;
    crawl.fetch(unchanged).await;
    assert!(crawl.store.fetched_any(job_id).await.unwrap());
    assert!(!crawl.store.fetched_any(other.job_id).await.unwrap());
    let row = crawl.find(other.job_id, "http://a.example/0").await;
    crawl.fetch(done(&row, 200)).await;
    assert!(crawl.store.fetched_any(other.job_id).await.unwrap());
}

#[tokio::test]
async fn hosts_of_the_input_are_known_and_no_others() {
    let (mut crawl, job_id) = crawl(&["http://a.example/1", "http://a.example/2"]).await;
    let row = crawl.find(job_id, "http://a.example/1").await;
    crawl
        .fetch(linking(&row, &["http://b.example/", "http://c.example/"]))
        .await;
    let hosts = async |crawl: &crate::support::Crawl| -> Vec<String> {
        let hosts = crawl.store.input_hosts(job_id).await.unwrap();
        hosts.iter().map(ToString::to_string).collect()
    };
    assert_eq!(hosts(&crawl).await, ["http://a.example"]);
    let found = crawl.find(job_id, "http://b.example/").await;
    crawl.fetch(done(&found, 200)).await;
    crawl
        .store
        .add_input(job_id, [url("http://b.example/")])
        .await
        .unwrap();
    assert_eq!(
        hosts(&crawl).await,
        ["http://a.example", "http://b.example"]
    );
}

#[tokio::test]
async fn input_that_was_only_skipped_or_a_hop_is_asked_for() {
    use neap_core::scope::SkipReason;
    let inputs = [
        "http://a.example/1",
        "http://a.example/2",
        "http://a.example/3",
    ];
    let (mut crawl, job_id) = crawl(&inputs).await;
    let rows = crawl.ready(job_id).await;
    let refused = RedirectVerdict::Refused(SkipReason::Scope);
    crawl
        .fetch(redirect(&rows[0], "http://b.example/refused", refused))
        .await;
    let follow = RedirectVerdict::Follow;
    crawl
        .fetch(redirect(&rows[1], "http://a.example/hop", follow))
        .await;
    let links = ["http://a.example/denied", "http://a.example/done"];
    crawl.fetch(linking(&rows[2], &links)).await;
    let denied = crawl.find(job_id, "http://a.example/denied").await;
    crawl
        .send(Command::Skip(vec![neap_store::Skipped {
            request: denied.request,
            job: job_id,
            host: denied.host,
            reason: SkipReason::Robots,
        }]))
        .await;
    crawl.answer().await;
    let row = crawl.find(job_id, "http://a.example/done").await;
    crawl.fetch(done(&row, 200)).await;

    let again = [
        "http://b.example/refused",
        "http://a.example/hop",
        "http://a.example/denied",
        "http://a.example/done",
    ];
    let added = crawl.store.add_input(job_id, again.map(url)).await.unwrap();
    assert_eq!((added.added, added.already_known), (2, 2));
    crawl.assert_counters().await;
    let mut crawl = crawl.killed().await;
    let mut ready = crawl.ready(job_id).await;
    ready.sort_by_key(|row| row.url.to_string());
    let ready: Vec<_> = ready
        .iter()
        .map(|row| (row.url.as_str(), row.depth, row.hops))
        .collect();
    assert_eq!(
        ready,
        [
            ("http://a.example/denied", 0, 0),
            ("http://a.example/hop", 0, 0),
            ("http://b.example/refused", 0, 0),
        ]
    );
    // Input that robots forbade is input all the same, and giving it once more changes nothing.
    let row = crawl.find(job_id, "http://a.example/denied").await;
    crawl
        .send(Command::Skip(vec![neap_store::Skipped {
            request: row.request,
            job: job_id,
            host: row.host,
            reason: SkipReason::Robots,
        }]))
        .await;
    crawl.answer().await;
    let added = crawl.store.add_input(job_id, again.map(url)).await.unwrap();
    assert_eq!((added.added, added.already_known), (0, 4));
    crawl.assert_counters().await;
    let hops = crawl.query("SELECT count(*) FROM requests WHERE is_hop = 1");
    assert_eq!(hops.await, [["0"]]);
}

#[tokio::test]
async fn urls_to_which_no_page_led_become_requests_once() {
    let (mut crawl, job_id) = crawl(&["http://a.example/"]).await;
    let link = |text: &str| Link {
        url: url(text),
        depth: 1,
        priority: -4,
    };
    let urls = [
        "http://a.example/",
        "http://a.example/map",
        "http://b.example/map",
    ];
    let discover = |job| Command::Discover {
        job,
        links: urls.iter().map(|text| link(text)).collect(),
    };
    crawl.ready(job_id).await;
    crawl.send(discover(job_id)).await;
    let mut announced = Vec::new();
    for _ in 0..2 {
        match crawl.event().await {
            Event::Ready(ready) => {
                announced.push((ready.host_name.to_string(), ready.first.priority))
            }
            other => panic!("{other:?}"),
        }
    }
    let hosts = ["http://a.example", "http://b.example"].map(|host| (host.to_owned(), -4));
    assert_eq!(announced, hosts);
    // Again, as after a restart; and for a job that is none of the run.
    let crawl = &mut crawl.killed().await;
    crawl.ready(job_id).await;
    crawl.send(discover(job_id)).await;
    crawl.send(discover(JobId(99))).await;
    let found = crawl.ready(job_id).await;
    let found: Vec<_> = found
        .iter()
        .map(|row| (row.url.as_str(), row.depth, row.position.priority))
        .collect();
    assert_eq!(
        found,
        [
            ("http://a.example/map", 1, -4),
            ("http://a.example/", 0, 0),
            ("http://b.example/map", 1, -4)
        ]
    );
    crawl.assert_counters().await;
}
