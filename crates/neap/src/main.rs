//! Talks: commands, job files, reports and exit codes.
//!
//! | folder | its question |
//! | --- | --- |
//! | `cli`, `commands` | what can be said, and what happens then? |
//! | `capture` | what does a captured answer in JSON tell? |
//! | `jobfile` | what does a job file mean, and what is wrong with it? |
//! | `screen` | how is a run shown while it goes on and when it ends? |
//! | `print` | how are rows, charts and text from strangers written? |
//! | `tell` | how is what happened said in plain sentences? |
//! | `demo` | what does neap do when a host is in trouble? |
//! | `exit`, `failure` | how does neap end, and how does it say why? |
//! | `log`, `say`, `signals` | what is logged and said; what happens on Ctrl-C? |

#[macro_use]
mod say;

mod capture;
mod cli;
mod commands;
mod demo;
mod exit;
mod failure;
mod jobfile;
mod log;
mod print;
mod screen;
mod signals;
mod tell;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::Cli;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            say!("{:?}", failure.report);
            failure.exit.into()
        }
    }
}

fn run(cli: Cli) -> Result<exit::Exit, failure::Failure> {
    if let Some(directory) = &cli.global.directory {
        std::env::set_current_dir(directory).map_err(|error| {
            failure::Failure::usage(
                format!("cannot change to {}: {error}", directory.display()),
                "-C takes a directory that exists",
            )
        })?;
    }
    log::start(&cli.global)?;
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(commands::run(cli))
}
