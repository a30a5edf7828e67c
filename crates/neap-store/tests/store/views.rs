//! What people see in SQL.

use std::process::Command as Process;

use neap_core::classify::Outcome;
use neap_core::scope::SkipReason;
use neap_store::{Command, Reader};
use sqlx::ConnectOptions;

use crate::support::{crawl, done, failed, linking, retry};

const VIEWS: [&str; 7] = [
    "results",
    "blame",
    "proxy_health",
    "failures",
    "bad_gateways",
    "host_health",
    "skipped",
];

#[tokio::test]
async fn each_view_says_what_happened() {
    let (mut crawl, job_id) = crawl(&[
        "http://a.example/1",
        "http://a.example/2",
        "http://a.example/3",
    ])
    .await;
    let rows = crawl.ready(job_id).await;
    crawl
        .fetch(linking(&rows[0], &["http://a.example/4"]))
        .await;
    crawl.fetch(retry(&rows[1], 100, true)).await;
    let mut lost = failed(&rows[2]);
    lost.attempt.error = Some("é".repeat(600));
    crawl.fetch(lost).await;
    let found = crawl.find(job_id, "http://a.example/4").await;
    crawl.fetch(done(&found, 404)).await;

    let results = crawl
        .query(
            "SELECT job, round, url, host, state, status, depth, content_type, body_bytes, fetched_at,
             found_on FROM results ORDER BY url",
        )
        .await;
    let at = "2026-01-01T00:00:00.123Z";
    assert_eq!(
        results,
        [
            [
                "shop",
                "1",
                "http://a.example/1",
                "http://a.example",
                "done",
                "200",
                "0",
                "text/html",
                "5",
                at,
                "-"
            ],
            [
                "shop",
                "1",
                "http://a.example/3",
                "http://a.example",
                "failed",
                "-",
                "0",
                "-",
                "-",
                "-",
                "-"
            ],
            [
                "shop",
                "1",
                "http://a.example/4",
                "http://a.example",
                "done",
                "404",
                "1",
                "text/html",
                "5",
                at,
                "http://a.example/1"
            ],
        ]
    );
    let failures = crawl
        .query("SELECT url, cause, last_attempt_at, length(error) FROM failures")
        .await;
    assert_eq!(
        failures,
        [[
            "http://a.example/3",
            "http_502",
            "2026-01-01T00:00:00.000Z",
            "250"
        ]]
    );
    let gateways = crawl
        .query("SELECT host, cause, answers, requests, share_of_attempts, pages_lost, first_at FROM bad_gateways")
        .await;
    let first_at = "2026-01-01T00:00:00.000Z";
    assert_eq!(
        gateways,
        [[
            "http://a.example",
            "http_502",
            "2",
            "2",
            "0.5",
            "1",
            first_at
        ]]
    );
    let health = crawl
        .query(
            "SELECT host, done, failed, ready, waiting, attempts, ok_share,
             gateway_errors, http_502 FROM host_health",
        )
        .await;
    assert_eq!(
        health,
        [["http://a.example", "2", "1", "0", "1", "4", "0.5", "2", "2"]]
    );
    assert_eq!(
        Reader::open(&crawl.path())
            .await
            .unwrap()
            .jobs()
            .await
            .unwrap()[0]
            .counts
            .failed,
        1
    );
}

#[tokio::test]
async fn views_look_things_up_and_never_scan_twice() {
    let (crawl, _) = crawl(&[]).await;
    for (sql, driver) in [
        ("SELECT url, status FROM results", "SCAN r"),
        ("SELECT * FROM results", "SCAN r"),
        (
            "SELECT * FROM failures",
            "SCAN r USING INDEX requests_failed",
        ),
        (
            "SELECT * FROM bad_gateways",
            "SCAN a USING INDEX attempts_at_fault",
        ),
        (
            "SELECT * FROM blame",
            "SCAN a USING INDEX attempts_at_fault",
        ),
        ("SELECT * FROM proxy_health", "SCAN x"),
        ("SELECT * FROM host_health", "SCAN h"),
        (
            "SELECT * FROM skipped",
            "SCAN r USING INDEX requests_skipped",
        ),
    ] {
        let plan = crawl.query(&format!("EXPLAIN QUERY PLAN {sql}")).await;
        let steps: Vec<&str> = plan.iter().map(|row| row[3].as_str()).collect();
        assert!(steps.contains(&driver), "{sql}: {steps:#?}");
        let scans_table = |step: &&&str| {
            step.starts_with("SCAN requests") && !step.contains("INDEX requests_waiting")
                || step.starts_with("SCAN pages")
                || step.starts_with("SCAN attempts")
        };
        assert_eq!(steps.iter().find(scans_table), None, "{sql}: {steps:#?}");
    }
}

#[tokio::test]
async fn the_sqlite3_of_a_distribution_reads_every_view() {
    let (mut crawl, job_id) = crawl(&["http://a.example/1"]).await;
    let row = crawl.find(job_id, "http://a.example/1").await;
    crawl.fetch(failed(&row)).await;
    let Ok(version) = Process::new("sqlite3").arg("--version").output() else {
        eprintln!("not checked: sqlite3 was not found");
        return;
    };
    for view in VIEWS {
        let output = Process::new("sqlite3")
            .arg(crawl.path())
            .arg(format!("SELECT * FROM {view}; PRAGMA integrity_check;"))
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        let version = String::from_utf8_lossy(&version.stdout).into_owned();
        assert!(
            output.status.success() && text.ends_with("ok\n"),
            "{version} {view}: {text} {error}"
        );
    }
}

#[tokio::test]
async fn pages_that_a_gateway_cost_are_counted_whatever_ended_them() {
    let (mut crawl, job_id) = crawl(&[
        "http://a.example/1",
        "http://a.example/2",
        "http://a.example/3",
    ])
    .await;
    let rows = crawl.ready(job_id).await;
    crawl.fetch(retry(&rows[0], 100, true)).await;
    crawl.fetch(failed(&rows[1])).await;
    let (host, jobs) = (rows[0].host, vec![job_id]);
    let cause = "host_given_up".to_owned();
    crawl.send(Command::FailHost { host, jobs, cause }).await;
    crawl.answer().await;
    let gateways = crawl
        .query("SELECT cause, answers, pages_lost FROM bad_gateways")
        .await;
    // The third had no answer at all.
    assert_eq!(gateways, [["http_502", "2", "2"]]);
}

/// Every code that stands in a column has the word beside it that the program uses.
#[tokio::test]
async fn codes_have_the_same_words_in_sql_and_in_the_program() {
    let (crawl, _) = crawl(&["http://a.example/1"]).await;
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(crawl.path());
    let mut connection = options.connect().await.unwrap();
    for outcome in Outcome::ALL {
        let word: String = sqlx::query_scalar(
            "INSERT INTO attempts (request_id, host_id, epoch, number, started_ms, outcome, is_charged)
             VALUES (1, 1, 1, 1, 0, ?, 0) RETURNING outcome_name",
        )
        .bind(outcome.code())
        .fetch_one(&mut connection)
        .await
        .unwrap();
        assert_eq!(word, outcome.as_str());
    }
    for reason in SkipReason::ALL {
        for sql in [
            "UPDATE requests SET state = 5, skip_reason = ? RETURNING skip_reason_name",
            "INSERT INTO skips (job_id, reason, url) VALUES (1, ?, '') RETURNING reason_name",
        ] {
            let word: String = sqlx::query_scalar(sql)
                .bind(reason.code())
                .fetch_one(&mut connection)
                .await
                .unwrap();
            assert_eq!(word, reason.as_str(), "{sql}");
        }
    }
}
