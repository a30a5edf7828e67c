//! Is an attempt recorded with all that follows from it, and once?

use neap_core::RequestId;
use neap_core::scope::SkipReason;
use neap_store::{Command, Counts, Event, RedirectVerdict};

use crate::records::{done, failed, linking, redirect};
use crate::rig::{Crawl, Kind, counted, readied};

const A: &str = "http://a.example/";
const B: &str = "http://b.example/";

pub(crate) async fn an_attempt_is_recorded_once<K: Kind>(kind: K) {
    let (mut crawl, job) = Crawl::of(kind, &[A]).await;
    let row = crawl.find(job, A).await;
    let (was_in_flight, events) = crawl.record(linking(&row, &[B])).await;
    assert!(!was_in_flight, "nobody had leased it");
    assert_eq!(readied(&events), []);
    let events = crawl.fetch(done(&row)).await;
    let expected = Counts {
        done: 1,
        pages: 1,
        ..Counts::default()
    };
    assert_eq!(counted(&events, job), expected);
    let (was_in_flight, events) = crawl.record(linking(&row, &[B])).await;
    assert!(!was_in_flight, "it is answered");
    assert_eq!(readied(&events), []);
    assert_eq!(crawl.counts(job).await, expected);
    // Twice in one batch as well.
    let (mut crawl, job) = Crawl::of(K::make().await, &[A]).await;
    let row = crawl.find(job, A).await;
    crawl.lease(&[row.request], false).await;
    let record = || Command::Record(Box::new(done(&row)));
    let events = crawl.commit(vec![record(), record()]).await;
    let taken = events.iter().filter_map(|event| {
        let Event::Recorded(recorded) = event else {
            return None;
        };
        Some(recorded.was_in_flight)
    });
    assert_eq!(taken.collect::<Vec<_>>(), [true, false]);
    assert_eq!(crawl.counts(job).await, expected);
}

pub(crate) async fn a_batch_is_one_step_and_tells_of_work_before_answers<K: Kind>(kind: K) {
    let (mut crawl, job) = Crawl::of(kind, &[A, "http://a.example/2", "http://a.example/3"]).await;
    let rows = crawl.ready(job).await;
    let leased: Vec<RequestId> = rows.iter().map(|row| row.request).collect();
    crawl.lease(&leased[..2], false).await;
    let batch = vec![
        Command::Record(Box::new(linking(&rows[0], &[B]))),
        Command::Record(Box::new(done(&rows[1]))),
        Command::FinishJob { job },
    ];
    let events = crawl.commit(batch).await;
    let at = |wanted: fn(&Event) -> bool| {
        let at = events.iter().position(wanted);
        at.unwrap_or_else(|| panic!("{events:#?}"))
    };
    let ready = at(|event| matches!(event, Event::Ready(_)));
    let counts = at(|event| matches!(event, Event::Counts(..)));
    let recorded = at(|event| matches!(event, Event::Recorded(_)));
    assert!(ready < counts && counts < recorded, "{events:#?}");
    let counts = events
        .iter()
        .filter(|event| matches!(event, Event::Counts(..)));
    assert_eq!(counts.count(), 1, "those after the whole batch");
    let recorded = events.iter().filter_map(|event| {
        let Event::Recorded(recorded) = event else {
            return None;
        };
        Some(recorded.request)
    });
    assert_eq!(recorded.collect::<Vec<_>>(), leased[..2]);
    let is_finished = |event: &Event| matches!(event, Event::JobFinished(_));
    assert!(!events.iter().any(is_finished), "two requests are open");
}

pub(crate) async fn a_redirect_leads_to_a_request_of_its_own<K: Kind>(kind: K) {
    let urls = [1, 2, 3, 4].map(|n| format!("http://a.example/{n}"));
    let (mut crawl, job) = Crawl::of(kind, &urls.each_ref().map(String::as_str)).await;
    let rows = crawl.ready(job).await;
    let follow = RedirectVerdict::Follow;
    let events = crawl.fetch(redirect(&rows[0], B, follow)).await;
    assert_eq!(readied(&events).len(), 1);
    let counts = counted(&events, job);
    assert_eq!((counts.total(), counts.done, counts.pages), (5, 1, 0));
    let target = crawl.find(job, B).await;
    assert_eq!((target.hops, target.depth), (1, 0));
    // One that is known is not asked for twice.
    crawl.fetch(redirect(&rows[1], B, follow)).await;
    let refused = RedirectVerdict::Refused(SkipReason::Scope);
    crawl
        .fetch(redirect(&rows[2], "http://c.example/", refused))
        .await;
    crawl
        .fetch(redirect(
            &rows[3],
            "http://d.example/",
            RedirectVerdict::TooMany,
        ))
        .await;
    let expected = Counts {
        ready: 1,
        done: 3,
        failed: 1,
        skipped: 1,
        ..Counts::default()
    };
    assert_eq!(crawl.counts(job).await, expected);
    // Back to where it came from, as walls of cookies do: asked once more, with one more hop.
    crawl
        .fetch(redirect(&target, rows[0].url.as_str(), follow))
        .await;
    let again = crawl.find(job, rows[0].url.as_str()).await;
    assert_eq!(again.hops, 2);
    assert_ne!(again.request, rows[0].request);
}

pub(crate) async fn a_request_that_is_given_up_is_counted_as_failed<K: Kind>(kind: K) {
    let (mut crawl, job) = Crawl::of(kind, &[A, B]).await;
    let row = crawl.find(job, A).await;
    let events = crawl.fetch(failed(&row)).await;
    let expected = Counts {
        ready: 1,
        failed: 1,
        ..Counts::default()
    };
    assert_eq!(counted(&events, job), expected);
    assert_eq!(
        crawl.lease(&[row.request], false).await,
        (vec![], vec![row.request])
    );
}
