//! What happens when jobs are run, however that was asked for?

use std::time::{SystemTime, UNIX_EPOCH};

use neap_core::job::Durability;
use neap_core::{JobId, UnixMs};
use neap_runner::{Ended, Pump, RunJob, RunOptions, Stopper};
use neap_store::{Answers, JobRow, RunLock, Settings, SqliteStore, Writer};

use crate::cli::{Bounds, FailOn, Global};
use crate::exit::{self, Exit};
use crate::failure::Failure;
use crate::screen::{self, number};
use crate::signals::{Signals, stop_on_signals};

/// What a run works on.
#[derive(Debug)]
pub(crate) enum Jobs {
    /// These and no others.
    These(Vec<JobRow>),
    /// These, whose host ends with the run: nobody can go on with them.
    Once(Vec<JobRow>),
    /// These, and every other that comes while it goes on.
    All(Vec<JobRow>),
}

/// Runs jobs of a store that is locked for it.
///
/// # Errors
/// A job's secrets are missing or the store cannot be written. What is recorded stays.
pub(crate) async fn crawl(
    global: &Global,
    store: &SqliteStore,
    lock: RunLock,
    jobs: Jobs,
    bounds: &Bounds,
    signals: Signals,
) -> Result<Exit, Failure> {
    let is_for_all = matches!(jobs, Jobs::All(_));
    let can_resume = !matches!(jobs, Jobs::Once(_));
    let (Jobs::These(jobs) | Jobs::Once(jobs) | Jobs::All(jobs)) = jobs;
    let lookup = |name: &str| std::env::var(name).ok();
    for row in &jobs {
        neap_runner::check_secrets(&row.spec, lookup)?;
    }
    let run_jobs = run_jobs(store, &jobs).await?;
    let run = if is_for_all {
        store.begin_run_for_all(&lock, now()).await?
    } else {
        store.begin_run(&lock, now()).await?
    };
    if run.recovered.lost > 0 {
        say!(
            "the last run ended without a word: {} in flight then {} asked again",
            number(run.recovered.lost, "request"),
            if run.recovered.lost == 1 { "is" } else { "are" },
        );
    }
    if run.recovered.quarantined > 0 {
        say!(
            "{} given up: the process died of each three times",
            number(run.recovered.quarantined, "request")
        );
    }
    let options = options(bounds);
    let grace = options.grace;
    let stopper = Stopper::default();
    let writer = Writer::spawn(store, &run, settings(&jobs)).await?;
    let pump = Pump::new(run_jobs, writer, options, &stopper, lookup)?;
    let signal = stop_on_signals(signals, stopper, grace);
    let shown = screen::show(global, &title(&jobs), pump.progress());
    let result = pump.run().await;
    shown.end().await;
    let report = result?;
    let jobs = reread(store, &report.jobs).await?;
    let is_fruitless = report.ended == Ended::Finished && !fetched_any(store, &jobs).await?;
    let ending = screen::Ending {
        is_fruitless,
        can_resume,
        unmet: unmet(store, &jobs).await?,
    };
    screen::summary(global, store.path(), &jobs, &report, &ending);
    let exit = match report.ended {
        Ended::LimitReached => exit::LIMIT_REACHED,
        Ended::Drained => exit::DRAINED,
        Ended::ProxiesStopped => exit::PROXIES_STOPPED,
        Ended::Aborted => exit::ABORTED_INT,
        Ended::Finished => finished(&jobs, &ending, bounds.fail_on),
    };
    drop(lock);
    Ok(if report.ended == Ended::Aborted {
        signal.exit()
    } else {
        exit
    })
}

/// The wall clock.
pub(crate) fn now() -> UnixMs {
    let since_1970 = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    UnixMs(i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX))
}

/// How the store is written: segment files as small, and commits as durable, as any of the jobs wants them.
fn settings(jobs: &[JobRow]) -> Settings {
    let standard = Settings::default();
    let sizes = jobs.iter().map(|row| row.spec.store.segment_size);
    let is_full = |row: &JobRow| row.spec.store.durability == Durability::Full;
    Settings {
        segment_bytes: sizes.min().unwrap_or(standard.segment_bytes),
        durability: if jobs.iter().any(is_full) {
            Durability::Full
        } else {
            Durability::Normal
        },
        ..standard
    }
}

fn options(bounds: &Bounds) -> RunOptions {
    let standard = RunOptions::default();
    RunOptions {
        most_pages: bounds.limit,
        most_time: bounds.time,
        grace: bounds.grace.unwrap_or(standard.grace),
    }
}

async fn run_jobs(store: &SqliteStore, jobs: &[JobRow]) -> Result<Vec<RunJob>, Failure> {
    let mut run_jobs = Vec::new();
    for row in jobs {
        let has_headers = !row.spec.identity.headers.is_empty();
        run_jobs.push(RunJob {
            id: row.job_id,
            job: row.spec.clone(),
            scope_roots: row.scope_roots.clone(),
            // Only headers of the job's own need to know of all where they may go.
            input_hosts: if has_headers {
                store.input_hosts(row.job_id).await?
            } else if row.spec.request.private_addresses {
                Default::default()
            } else {
                store.private_input_hosts(row.job_id).await?
            },
            pages: row.counts.pages,
        });
    }
    Ok(run_jobs)
}

async fn reread(store: &SqliteStore, jobs: &[JobId]) -> Result<Vec<JobRow>, Failure> {
    let mut fresh = Vec::new();
    for job in jobs {
        fresh.push(store.job(*job).await?);
    }
    Ok(fresh)
}

fn title(jobs: &[JobRow]) -> String {
    match jobs {
        [one] => format!("{} round {}", one.name, one.round),
        many => number(many.len() as u64, "job"),
    }
}

/// Whether the jobs got anything at all, or were told what to expect.
async fn fetched_any(store: &SqliteStore, jobs: &[JobRow]) -> Result<bool, Failure> {
    let mut fetched_any = jobs.iter().all(|row| !row.spec.expect.is_empty());
    for row in jobs {
        fetched_any |= store.fetched_any(row.job_id).await?;
    }
    Ok(fetched_any)
}

/// What was expected of the jobs and did not come, a line each.
async fn unmet(store: &SqliteStore, jobs: &[JobRow]) -> Result<Vec<String>, Failure> {
    let mut unmet = Vec::new();
    for row in jobs {
        let answers = if row.spec.expect.concerns_answers() {
            store.answers(row.job_id).await?
        } else {
            Answers::default()
        };
        unmet.extend(screen::unmet(row, answers));
    }
    Ok(unmet)
}

/// What the exit code says of jobs that were worked on to their end.
fn finished(jobs: &[JobRow], ending: &screen::Ending, fail_on: FailOn) -> Exit {
    if ending.is_fruitless || !ending.unmet.is_empty() {
        return exit::EXPECTATION;
    }
    let mut silent = jobs.iter().filter(|row| row.spec.expect.is_empty());
    match fail_on {
        FailOn::Any if silent.any(|row| row.counts.failed > 0) => exit::SOME_FAILED,
        FailOn::Any | FailOn::None => exit::DONE,
    }
}
