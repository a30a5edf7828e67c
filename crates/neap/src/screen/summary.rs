//! What came of the run? A few lines at its end, on standard error.

use std::collections::BTreeMap;
use std::path::Path;

use neap_core::job::{Brought, Unmet};
use neap_runner::{Ended, RunReport};
use neap_store::{Answers, Counts, JobRow, JobState};

use super::{bytes, clock, grouped, number, program, short};
use crate::cli::Global;
use crate::jobfile::{at_most_text, size_text, statuses_text};
use crate::print::escape::for_terminal;

/// How a run ended, beside its report.
#[derive(Debug, Clone)]
pub(crate) struct Ending {
    /// Whether all was asked for, nothing was fetched, and nobody said that this may be.
    pub(crate) is_fruitless: bool,
    /// Whether another run can go on with what is left.
    pub(crate) can_resume: bool,
    /// What was expected of its jobs and did not come, a line each.
    pub(crate) unmet: Vec<String>,
}

/// Prints what came of a run.
pub(crate) fn summary(
    global: &Global,
    store: &Path,
    jobs: &[JobRow],
    report: &RunReport,
    ending: &Ending,
) {
    if global.quiet > 1 {
        return;
    }
    for line in lines(store, jobs, report, ending) {
        say!("{line}");
    }
}

fn lines(store: &Path, jobs: &[JobRow], report: &RunReport, ending: &Ending) -> Vec<String> {
    let mut lines: Vec<String> = jobs.iter().map(|job| job_line(job, report)).collect();
    if report.ended == Ended::Finished {
        lines.extend(ending.unmet.iter().cloned());
    }
    if ending.is_fruitless {
        lines.push(
            "  ✗ nothing was fetched: no page was answered with a status below 300".to_owned(),
        );
    }
    let now = &report.progress;
    let share = 100.0 * now.retries as f64 / now.exchanges.max(1) as f64;
    lines.push(format!(
        "  requests {} ({share:.1} % retries)   {:.1}/s mean   {} in   {}",
        grouped(now.exchanges),
        now.exchanges as f64 / now.elapsed.as_secs_f64().max(0.001),
        bytes(now.bytes),
        number(now.host_count as u64, "host"),
    ));
    if let Some([p50, p95, p99]) = report.latency {
        lines.push(format!(
            "  latency p50 {}  p95 {}  p99 {}",
            short(p50),
            short(p95),
            short(p99)
        ));
    }
    for (what, causes) in [
        ("of the pages", &now.page_causes),
        ("attempts without a page", &now.causes),
    ] {
        if !causes.is_empty() {
            lines.push(format!("  {what}   {}", most_frequent(causes)));
        }
    }
    for (host, requests) in &report.given_up {
        let requests = number(*requests, "request");
        lines.push(format!(
            "  given up   {} with {requests}",
            for_terminal(host)
        ));
    }
    lines.extend(proxies(report));
    lines.extend(next(store, jobs, report, ending));
    lines
}

/// Pools that were stopped, and proxies that were left out.
fn proxies(report: &RunReport) -> Vec<String> {
    const MOST: usize = 5;
    let stopped = report.stopped_pools.iter().map(|name| {
        format!(
            "  ✗ pool {} stopped   {} refused the user name or the password; set them right",
            name.pool, name.proxy
        )
    });
    let mut lines: Vec<String> = stopped.collect();
    let left_out = report.left_out.iter().take(MOST);
    lines.extend(left_out.map(|(name, why)| {
        format!(
            "  left out   {} of pool {}: it {why}",
            name.proxy, name.pool
        )
    }));
    let more = report.left_out.len().saturating_sub(MOST);
    if more > 0 {
        lines.push(format!(
            "  left out   {more} more; `neap proxies` shows them"
        ));
    }
    lines
}

/// The most frequent of some causes.
fn most_frequent(causes: &BTreeMap<String, u64>) -> String {
    let mut causes: Vec<_> = causes.iter().collect();
    causes.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let causes: Vec<_> = causes
        .iter()
        .take(6)
        .map(|(cause, count)| format!("{cause} {}", grouped(**count)))
        .collect();
    causes.join(" · ")
}

/// What was expected of a job and did not come, a line each. Nothing is expected of one that was ended by
/// hand or by a new round.
pub(crate) fn unmet(job: &JobRow, answers: Answers) -> Vec<String> {
    if job.state != JobState::Finished {
        return Vec::new();
    }
    let Answers { statuses, bytes } = answers;
    let Counts {
        done,
        failed,
        pages,
        ..
    } = job.counts;
    let brought = Brought {
        done,
        failed,
        pages,
        statuses,
        bytes,
    };
    let expect = &job.spec.expect;
    let line = |unmet| match unmet {
        Unmet::Failed(most, percent) => format!(
            "  ✗ expect.max_failed = {}   was {} ({percent:.2} %)",
            at_most_text(most),
            grouped(failed),
        ),
        Unmet::Pages(least) => format!(
            "  ✗ expect.min_pages = {}   was {}",
            grouped(least),
            grouped(pages),
        ),
        Unmet::Statuses(others) => {
            let others = others
                .iter()
                .map(|(status, count)| format!("{status} {}", grouped(*count)));
            format!(
                "  ✗ expect.statuses = {}   came too: {}",
                statuses_text(&expect.statuses),
                others.collect::<Vec<_>>().join(" · "),
            )
        }
        Unmet::Bytes(most) => format!(
            "  ✗ expect.max_bytes = \"{}\"   was {}",
            size_text(most),
            grouped(bytes),
        ),
    };
    expect.unmet(&brought).into_iter().map(line).collect()
}

fn job_line(job: &JobRow, report: &RunReport) -> String {
    let counts = &job.counts;
    let ended = match report.ended {
        Ended::Finished => "finished",
        Ended::Drained => "stopped",
        Ended::LimitReached => "reached its limit",
        Ended::Aborted => "was aborted",
        Ended::ProxiesStopped if counts.open() == 0 => "finished",
        Ended::ProxiesStopped => "stopped for want of a proxy",
    };
    format!(
        "{} round {} {ended} in {}\n  {}   {}   {} done   {} failed   {} skipped   {} left",
        job.name,
        job.round,
        clock(report.progress.elapsed),
        number(counts.total(), "request"),
        number(counts.pages, "page"),
        grouped(counts.done),
        grouped(counts.failed),
        grouped(counts.skipped),
        grouped(counts.open()),
    )
}

/// What to do next, if there is something; as it must be typed for this store.
fn next(store: &Path, jobs: &[JobRow], report: &RunReport, ending: &Ending) -> Option<String> {
    let neap = match store.to_str() {
        Some("neap.db") => program(),
        Some(_) | None => format!("{} --db {}", program(), store.display()),
    };
    if report.ended != Ended::Finished {
        return ending
            .can_resume
            .then(|| format!("  next   {neap} resume   goes on here"));
    }
    let failed: u64 = jobs.iter().map(|job| job.counts.failed).sum();
    let skipped: u64 = jobs.iter().map(|job| job.counts.skipped).sum();
    if failed > 0 {
        return Some(format!(
            "  next   {neap} errors   what failed, and what to do"
        ));
    }
    let what = match (ending.is_fruitless, skipped > 0) {
        (true, true) => "url, reason FROM skipped",
        (true, false) => "url, status FROM results",
        (false, _) => return None,
    };
    Some(format!("  next   {neap} query \"SELECT {what}\""))
}
