//! What did one process spend?
//!
//! A process of its own waits for the measured one, which is its only child: what the system counted for
//! its children is then what that one spent.

use std::ffi::OsString;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use clap::Args;
use miette::{Context, IntoDiagnostic, Result, miette};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use serde::{Deserialize, Serialize};

/// What is run.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The command and its arguments.
    #[arg(trailing_var_arg = true, required = true)]
    command: Vec<OsString>,
}

/// What a process spent.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Spent {
    /// CPU time outside of the kernel.
    pub(crate) user: Duration,
    /// CPU time inside of the kernel.
    pub(crate) system: Duration,
    /// From its start to its end.
    pub(crate) wall: Duration,
    /// The most memory that it held, in KiB.
    pub(crate) most_memory_kib: u64,
}

impl Spent {
    /// CPU time in all.
    pub(crate) fn cpu(&self) -> Duration {
        self.user + self.system
    }
}

/// Runs a command to its end and tells what it spent. Its own output goes nowhere, unless it fails.
///
/// # Errors
/// It ended with another code than those that are expected.
pub(crate) fn measure(command: &Command, codes: &[i32]) -> Result<Spent> {
    let mut wrapped = Command::new(std::env::current_exe().into_diagnostic()?);
    wrapped.arg("spent").arg("--").arg(command.get_program());
    wrapped.args(command.get_args());
    if let Some(directory) = command.get_current_dir() {
        wrapped.current_dir(directory);
    }
    let output = wrapped.output().into_diagnostic()?;
    let code = output.status.code().unwrap_or(-1);
    if !codes.contains(&code) {
        let told = String::from_utf8_lossy(&output.stderr);
        return Err(miette!("{command:?} ended with code {code}: {told}"));
    }
    serde_json::from_slice(&output.stdout)
        .into_diagnostic()
        .wrap_err("the measured process told nothing")
}

/// Runs a command, prints what it spent and ends with its code.
pub(crate) fn run(options: &Options) -> Result<()> {
    let started = Instant::now();
    let status = Command::new(&options.command[0])
        .args(&options.command[1..])
        .stdout(Stdio::null())
        .status()
        .into_diagnostic()
        .wrap_err_with(|| format!("{:?} cannot be started", options.command[0]))?;
    let wall = started.elapsed();
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).into_diagnostic()?;
    let spent = Spent {
        user: duration(usage.user_time()),
        system: duration(usage.system_time()),
        wall,
        most_memory_kib: u64::try_from(usage.max_rss()).unwrap_or(0),
    };
    println!("{}", serde_json::to_string(&spent).into_diagnostic()?);
    std::process::exit(status.code().unwrap_or(-1))
}

pub(crate) fn duration(time: TimeVal) -> Duration {
    let micros = time.tv_sec() * 1_000_000 + time.tv_usec();
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}
