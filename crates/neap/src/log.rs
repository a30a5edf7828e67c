//! Where does the log go, and how much of it?
//!
//! To standard error, so that standard output holds data only. `--log` (or `NEAP_LOG`) wins over `-v` and
//! `-q`; without any of them, warnings of neap and nothing else.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::cli::{Global, LogFormat};
use crate::failure::Failure;

/// Starts the log.
///
/// # Errors
/// The filter cannot be read.
pub(crate) fn start(global: &Global) -> Result<(), Failure> {
    let filter = match &global.log {
        Some(text) => EnvFilter::try_new(text).map_err(|error| {
            Failure::usage(
                format!("`{text}` is not a log filter: {error}"),
                "write levels by target, such as `neap_runner=debug,hyper=warn`",
            )
        })?,
        None => EnvFilter::new(level(global)),
    };
    let has_colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(has_colour)
        // A closed terminal is no reason to panic.
        .log_internal_errors(false)
        .with_writer(std::io::stderr);
    match global.log_format {
        LogFormat::Text => log.with_target(false).without_time().init(),
        LogFormat::Json => log.json().init(),
    }
    Ok(())
}

fn level(global: &Global) -> &'static str {
    match i16::from(global.verbose) - i16::from(global.quiet) {
        ..=-2 => "error",
        -1 | 0 => "neap=warn,neap_runner=warn,neap_store=warn,neap_fetch=warn",
        1 => "neap=info,neap_runner=info,neap_store=info,neap_fetch=info",
        2 => "neap=debug,neap_runner=debug,neap_store=debug,neap_fetch=debug,neap_core=debug",
        3.. => "trace",
    }
}
