//! `neap submit`, and what `neap run FILE` does before it runs: how does a job file get into the store?
//!
//! A job that is new, or whose last round is finished, starts a new round. A job that is unfinished is
//! gone on with: what may change while a crawl goes on is taken over, new input is added, and a
//! changed scope or identity is refused, since it would make one crawl of two different ones.

use std::path::Path;

use neap_core::job::ListFile;
use neap_store::{InputRow, Intake, JobRow, JobState, RunLock, SqliteStore, Submitted};
use tokio::sync::mpsc;
use tracing::warn;

use super::crawl::now;
use super::pause::liveness;
use super::place::{created, store_of};
use crate::cli::Global;
use crate::exit::{self, Exit};
use crate::failure::Failure;
use crate::jobfile::{self, InputRows, JobFile, JobFileError, Known};
use crate::screen::{Submitting, number};
use crate::signals::Signals;

/// Rows that are read ahead at a time, at most; and bytes of them.
const ROWS_AT_ONCE: usize = 32_768;
const BYTES_AT_ONCE: usize = 8 << 20;

/// Puts a job file into the store, also while a run goes on.
///
/// # Errors
/// The file is no good, or the store cannot be written; a new job is there as a whole or not at all.
pub(crate) async fn submit(
    global: &Global,
    path: &Path,
    overrides: &[String],
    fresh: bool,
) -> Result<Exit, Failure> {
    let mut signals = Signals::listen()?;
    let file = jobfile::read(path, overrides)?;
    let store = created(&store_of(global, Some(&file))).await?;
    let taken = take_in(global, &store, &file, fresh, false, &mut signals).await;
    let row = match (taken, store.lock_for("neap submit", now()).await) {
        (Ok(row), _) => row,
        (Err(failure), Err(_)) => return Err(failure),
        (Err(failure), Ok(lock)) => return Err(undone(store, lock, failure).await),
    };
    say_who(&store, &row).await?;
    crate::print::line(&format!(
        "{} round {} (job {}) in {}",
        row.name,
        row.round,
        row.job_id,
        store.path().display()
    ))?;
    Ok(exit::DONE)
}

/// Nothing was submitted: a store that this command created goes again.
pub(super) async fn undone(store: SqliteStore, lock: RunLock, failure: Failure) -> Failure {
    if let Err(error) = store.remove_unused(lock).await {
        tracing::debug!(%error, "an empty store stays");
    }
    failure
}

/// Tells who will work on a job that was just submitted.
async fn say_who(store: &SqliteStore, row: &JobRow) -> Result<(), Failure> {
    let name = &row.name;
    let live = liveness(store).await?;
    if row.state == JobState::Paused {
        say!("{name} is paused; `neap continue {name}` lets it go on");
    } else if live.is_running && live.is_for_all {
        say!("{name}: the run that is going on works on it");
    } else if live.is_running {
        say!(
            "{name}: a run of certain jobs is going on; unless {name} is one of them, `neap resume` takes it up \
             afterwards"
        );
    }
    Ok(())
}

/// Makes the store hold what a job file asks for, and gives the round to be run, at once if it `is_run`.
///
/// # Errors
/// An input file cannot be read, the file changed what cannot be changed, a signal came, or the store cannot
/// be written. A new round is not there then; of an unfinished one, what was added stays.
pub(crate) async fn take_in(
    global: &Global,
    store: &SqliteStore,
    file: &JobFile,
    fresh: bool,
    is_run: bool,
    signals: &mut Signals,
) -> Result<JobRow, Failure> {
    let last = store.latest_round(&file.job.name).await?;
    let mut pouring = Pouring {
        file,
        progress: Submitting::new(global, &file.job.name),
        signals,
    };
    let job = match last.filter(|row| row.state.is_open() && !fresh) {
        Some(row) => go_on(store, &row, &mut pouring).await?,
        None => start(store, is_run, &mut pouring).await?,
    };
    Ok(store.job(job).await?)
}

async fn start(
    store: &SqliteStore,
    is_run: bool,
    pouring: &mut Pouring<'_>,
) -> Result<neap_core::JobId, Failure> {
    let file = pouring.file;
    // Before anything is stored: what is not there is told at once.
    let input = file.input_rows(Known::default(), false)?;
    let intake = store.begin_job(&file.job).await?;
    let submitted = pouring.pour(intake, input).await?;
    say!(
        "{}: round {} {} with {}{}",
        file.job.name,
        submitted.round,
        if is_run { "starts" } else { "is submitted" },
        number(submitted.added, "URL"),
        match submitted.already_known {
            0 => String::new(),
            n => format!(" ({} left out)", number(n, "duplicate")),
        },
    );
    Ok(submitted.job_id)
}

async fn go_on(
    store: &SqliteStore,
    row: &JobRow,
    pouring: &mut Pouring<'_>,
) -> Result<neap_core::JobId, Failure> {
    let file = pouring.file;
    let changes = jobfile::compare(&row.spec, &file.job);
    if !changes.refused.is_empty() {
        return Err(Failure::usage(
            format!(
                "{} is unfinished (round {}), and its file now differs in what cannot change on the way:\n  {}",
                row.name,
                row.round,
                changes.refused.join("\n  "),
            ),
            "undo the change to go on with that round, or start a new one with --fresh",
        ));
    }
    let input = file.input_rows(known(store, row, file).await?, false)?;
    let intake = store.begin_addition(row.job_id).await?;
    let submitted = pouring.pour(intake, input).await?;
    store.update_spec(row.job_id, &file.job).await?;
    for change in &changes.at_once {
        say!("{}: {change}", row.name);
    }
    if submitted.added > 0 {
        say!(
            "{}: {} new in the input",
            row.name,
            number(submitted.added, "URL")
        );
    }
    Ok(row.job_id)
}

/// What of the input is in the job already.
async fn known(store: &SqliteStore, row: &JobRow, file: &JobFile) -> Result<Known, Failure> {
    let (old, new) = (&row.spec.input, &file.job.input);
    let is_read_alike = (old.format, &old.url_column) == (new.format, &new.url_column);
    let mut files = Vec::new();
    if is_read_alike {
        files = store.input_files(row.job_id).await?;
        // One that is read another way now is not known.
        let is_new = |file: &&ListFile| !old.files.contains(file);
        for other in new.files.iter().filter(is_new) {
            files.retain(|file| file.name != other.path);
        }
    }
    Ok(Known {
        urls: (&old.urls, &old.sitemaps) == (&new.urls, &new.sitemaps),
        files,
    })
}

/// What the reading thread hands over.
enum Read {
    Rows(Vec<InputRow>),
    Failed(JobFileError),
    End(Box<InputRows>),
}

/// Input on its way into the store.
struct Pouring<'a> {
    file: &'a JobFile,
    progress: Submitting,
    signals: &'a mut Signals,
}

impl Pouring<'_> {
    /// Takes all input in. If that fails, of a new job nothing stays.
    async fn pour(&mut self, mut intake: Intake, input: InputRows) -> Result<Submitted, Failure> {
        let poured = self.pour_all(&mut intake, input).await;
        self.progress.end();
        match poured {
            Ok(input) => Ok(intake.complete(input.read()).await?),
            Err(failure) => {
                let signals = &mut *self.signals;
                tokio::select! {
                    // A second signal is in a hurry; the next who submits or runs clears away what is left.
                    exit = signals.next() => std::process::exit(i32::from(exit.code)),
                    discarded = intake.discard() => if let Err(error) = discarded {
                        // People are told what went wrong first; what is left over is no job.
                        warn!(%error, "what was submitted so far stays until the next submission");
                    },
                }
                Err(failure)
            }
        }
    }

    async fn pour_all(
        &mut self,
        intake: &mut Intake,
        input: InputRows,
    ) -> Result<Box<InputRows>, Failure> {
        let mut reading = read_ahead(input)?;
        loop {
            let read = tokio::select! {
                exit = self.signals.next() => return Err(self.interrupted(exit, intake)),
                read = reading.recv() => read,
            };
            match read {
                Some(Read::Rows(rows)) => {
                    intake.add(&rows).await?;
                    self.progress.tell(rows.len());
                }
                Some(Read::Failed(error)) => return Err(error.into()),
                Some(Read::End(input)) => {
                    self.progress.end();
                    warn_of_malformed(self.file, &input);
                    let is_empty = input.rows() + input.unread() == 0 && !self.is_known();
                    return if is_empty {
                        Err(nothing_to_ask(self.file))
                    } else {
                        Ok(input)
                    };
                }
                None => return Err(Failure::error("the input could not be read to its end")),
            }
        }
    }

    /// Whether no row need be read, since the job file lists URLs itself.
    fn is_known(&self) -> bool {
        let input = &self.file.job.input;
        !(input.urls.is_empty() && input.sitemaps.is_empty())
    }

    fn interrupted(&self, exit: Exit, intake: &Intake) -> Failure {
        let name = &self.file.job.name;
        let left = if intake.is_new() {
            "nothing of it is in the store".to_owned()
        } else {
            let added = number(intake.added(), "new URL");
            format!("{added} stayed in the job; the same command adds the rest")
        };
        Failure::stopped(
            exit,
            format!("{name}: stopped while it was submitted; {left}"),
        )
    }
}

/// Reads input on a thread of its own, which nobody waits for: standard input may never end.
fn read_ahead(mut input: InputRows) -> Result<mpsc::Receiver<Read>, Failure> {
    let (sender, receiver) = mpsc::channel(2);
    let read = move || {
        loop {
            let (mut rows, mut bytes) = (Vec::new(), 0);
            while rows.len() < ROWS_AT_ONCE && bytes < BYTES_AT_ONCE {
                match input.next() {
                    Some(Ok(row)) => {
                        bytes +=
                            row.url.as_str().len() + row.fields.as_ref().map_or(0, String::len);
                        rows.push(row);
                    }
                    Some(Err(error)) => {
                        // Whoever does not listen any more knows why.
                        let _ = sender.blocking_send(Read::Failed(error));
                        return;
                    }
                    None => {
                        let last = sender.blocking_send(Read::Rows(rows));
                        let _ =
                            last.and_then(|()| sender.blocking_send(Read::End(Box::new(input))));
                        return;
                    }
                }
            }
            if sender.blocking_send(Read::Rows(rows)).is_err() {
                return;
            }
        }
    };
    std::thread::Builder::new()
        .name("neap-input".to_owned())
        .spawn(read)?;
    Ok(receiver)
}

/// A job whose files hold no URL.
pub(super) fn nothing_to_ask(file: &JobFile) -> Failure {
    Failure::usage(
        format!("{}: the input holds no URL", file.path.display()),
        "`[input] urls` lists some, or `files` names text, CSV or JSON Lines files with some",
    )
}

/// Tells which lines of the input were no URLs; they are left out.
pub(super) fn warn_of_malformed(file: &JobFile, input: &InputRows) {
    for note in input.notes() {
        say!("{}: {note}", file.job.name);
    }
    if input.malformed() == 0 {
        return;
    }
    let lines = number(input.malformed(), "malformed line");
    say!("{}: {lines} of the input left out:", file.job.name);
    for line in input.kept() {
        say!("  {line}");
    }
    let more = input.malformed() - input.kept().len() as u64;
    if more > 0 {
        say!(
            "  and {} more; `neap check -v` lists more of them",
            number(more, "line")
        );
    }
}
