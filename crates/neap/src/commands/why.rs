//! `neap why HOST`: what happened to a host, why do its requests wait, and until when?

use std::io::Write;

use super::hosts::{now, sharing};
use super::place::reader;
use super::which;
use crate::cli::Global;
use crate::exit::{self, Exit};
use crate::failure::Failure;
use crate::print::until_closed;
use crate::tell::{HostStory, why as told};

/// Attempts whose ends are told.
const LAST_ATTEMPTS: u32 = 1000;

/// Tells of one host.
///
/// # Errors
/// There is no store or no such host.
pub(crate) async fn why(global: &Global, text: &str) -> Result<Exit, Failure> {
    let reader = reader(global).await?;
    let host = which::host(&reader, text).await?;
    let story = HostStory {
        paused: reader.paused_jobs(host.host).await?,
        sharing: sharing(&reader, &host).await?,
        changes: reader.limit_changes(host.limit_host()).await?,
        causes: reader.last_causes(host.host, LAST_ATTEMPTS).await?,
        last_failure: reader.last_failure(host.host).await?,
        host,
    };
    let now = now(&reader).await?;
    until_closed(writeln!(
        std::io::stdout(),
        "{}",
        told(&story, &now).join("\n")
    ))?;
    Ok(exit::DONE)
}
