//! Whatever a run does in whatever order, and however often it dies, the store stays consistent.

use neap_core::UnixMs;
use neap_core::scope::SkipReason;
use neap_store::{Command, Event, Lease, Record, RedirectVerdict, Skipped};
use proptest::prelude::*;

use crate::support::{NOW, crawl, failed, linking, redirect, retry};

/// One thing that a run does with one of its requests.
#[derive(Debug, Clone)]
enum Step {
    Lease(usize, bool),
    Done(usize, Vec<u8>),
    Redirect(usize, u8, u8),
    Retry(usize, i64, bool),
    Fail(usize),
    Skip(usize),
    Promote(i64),
    SkipRest,
    FailHost,
    Die,
}

fn step() -> impl Strategy<Value = Step> {
    let at = 0usize..12;
    prop_oneof![
        8 => (at.clone(), any::<bool>()).prop_map(|(at, alone)| Step::Lease(at, alone)),
        5 => (at.clone(), prop::collection::vec(0u8..30, 0..6)).prop_map(|(at, n)| Step::Done(at, n)),
        2 => (at.clone(), 0u8..30, 0u8..3).prop_map(|(at, to, how)| Step::Redirect(at, to, how)),
        3 => (at.clone(), 0i64..100, any::<bool>()).prop_map(|(a, due, c)| Step::Retry(a, due, c)),
        1 => at.clone().prop_map(Step::Fail),
        1 => at.prop_map(Step::Skip),
        2 => (0i64..100).prop_map(Step::Promote),
        1 => Just(Step::SkipRest),
        1 => Just(Step::FailHost),
        1 => Just(Step::Die),
    ]
}

fn page(n: u8) -> String {
    format!(
        "http://{}.example/{}",
        if n.is_multiple_of(3) { "a" } else { "b" },
        n
    )
}

async fn run(steps: Vec<Step>) {
    let urls: Vec<String> = (0..6).map(page).collect();
    let (mut crawl, job) = crawl(&urls.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let mut known = crawl.ready(job).await;
    for step in steps {
        for row in crawl.ready(job).await {
            if !known.iter().any(|known| known.request == row.request) {
                known.push(row);
            }
        }
        let row = |at: usize| known[at % known.len()].clone();
        let record = |record: Record| Command::Record(Box::new(record));
        let host = known[0].host;
        let command = match step {
            Step::Lease(at, is_alone) => Command::Lease(vec![Lease {
                request: row(at).request,
                is_alone,
            }]),
            Step::Done(at, links) => {
                let links: Vec<String> = links.into_iter().map(page).collect();
                let links: Vec<&str> = links.iter().map(String::as_str).collect();
                record(linking(&row(at), &links))
            }
            Step::Redirect(at, to, how) => {
                let verdicts = [
                    RedirectVerdict::Follow,
                    RedirectVerdict::Refused(SkipReason::Scope),
                    RedirectVerdict::TooMany,
                ];
                record(redirect(&row(at), &page(to), verdicts[usize::from(how)]))
            }
            Step::Retry(at, due, is_charged) => record(retry(&row(at), due, is_charged)),
            Step::Fail(at) => record(failed(&row(at))),
            Step::Skip(at) => {
                let row = row(at);
                let reason = SkipReason::Robots;
                Command::Skip(vec![Skipped {
                    request: row.request,
                    job,
                    host: row.host,
                    reason,
                }])
            }
            Step::Promote(by) => Command::Promote {
                now: UnixMs(NOW.0 + by),
                most: 3,
            },
            Step::SkipRest => Command::SkipRest {
                job,
                reason: SkipReason::MaxPages,
            },
            Step::FailHost => Command::FailHost {
                host,
                jobs: vec![job],
                cause: "dns".to_owned(),
            },
            Step::Die => {
                crawl = crawl.killed().await;
                continue;
            }
        };
        crawl.send(command).await;
        let answer = crawl.answer().await;
        assert!(!matches!(answer, Event::Closed));
    }
    crawl.assert_counters().await;
    let facts = crawl
        .query(
            "SELECT
             (SELECT count(*) FROM requests WHERE parent_id IS NULL),
             (SELECT count(*) FROM requests WHERE state = 2) -
               (SELECT count(*) FROM requests JOIN pages USING (request_id) WHERE state = 2),
             (SELECT count(*) FROM pages JOIN requests USING (request_id) WHERE state IN (0, 4)),
             (SELECT count(*) FROM in_flight JOIN requests USING (request_id) WHERE state <> 0),
             (SELECT count(*) FROM requests r WHERE attempts + deferrals + lost <>
               (SELECT count(*) FROM attempts a WHERE a.request_id = r.request_id)),
             (SELECT count(*) FROM (SELECT 1 FROM requests WHERE is_hop = 0
               GROUP BY job_id, url HAVING count(*) > 1)),
             (SELECT sum(attempts) FROM hosts) - (SELECT count(*) FROM attempts WHERE cause IS NOT 'lost')",
        )
        .await;
    assert_eq!(facts, [["6", "0", "0", "0", "0", "0", "0"]]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_books_balance(steps in prop::collection::vec(step(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run(steps));
    }
}
