//! `neap skip`: what is still to be asked for and nobody wants any more.

use neap_core::CanonicalUrl;
use neap_store::{Chosen, JobRow, Reader};

use super::pause::named;
use super::which;
use crate::cli::{Global, Open};
use crate::exit::{self, Exit};
use crate::failure::Failure;
use crate::print::escape::quoted;
use crate::screen::{NowAndThen, number};

/// Skips open requests of the newest round of a job.
///
/// # Errors
/// There is no such job, a URL or the condition is none, or the store cannot be written.
pub(crate) async fn skip(global: &Global, job: &str, open: &Open) -> Result<Exit, Failure> {
    let (store, row) = named(global, job).await?;
    let name = &row.name;
    let reader = Reader::open(store.path()).await?;
    let chosen = Chosen {
        hosts: which::hosts(&reader, &open.host).await?,
        urls: open
            .url
            .iter()
            .map(|text| url(text))
            .collect::<Result<_, _>>()?,
        condition: open.condition.clone(),
        ..Chosen::default()
    };
    let meant = reader.open_requests(&row, &chosen).await?;
    if meant.is_empty() {
        say!("nothing to skip: {}", standing(&row));
        return Ok(exit::DONE);
    }
    let mut pace = NowAndThen::new();
    let told = |done| {
        if pace.is_due() {
            say!("{name}: {} so far", number(done, "request"));
        }
    };
    let skipped = store.skip_requests(row.job_id, &meant, told).await?;
    let left = meant.len() as u64 - skipped;
    say!(
        "{name}: {} skipped{}",
        number(skipped, "request"),
        match left {
            0 => String::new(),
            left => format!(", {} in flight or ended meanwhile", number(left, "other")),
        },
    );
    Ok(exit::DONE)
}

/// Why nothing is meant.
fn standing(row: &JobRow) -> String {
    let (name, round) = (&row.name, row.round);
    match row.counts.open() {
        0 => format!(
            "{name} (round {round}) is {}, nothing of it is still to be asked for",
            row.state.as_str()
        ),
        open => format!(
            "of {} of round {round} of {name} that are still to be asked for, none is meant",
            number(open, "request")
        ),
    }
}

fn url(text: &str) -> Result<String, Failure> {
    let url = CanonicalUrl::parse(text).map_err(|error| {
        Failure::usage(
            format!("{} is no URL: {error}", quoted(text)),
            "write it as `neap explain` takes it",
        )
    })?;
    Ok(url.as_str().to_owned())
}
