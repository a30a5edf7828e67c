//! Measures what neap costs.
//!
//! `cargo run --release -p neap-bench -- NAME` runs one measurement and prints a table. What is compared
//! is measured in one run, in turns, since no machine is the same for long; what counts is CPU time of
//! the measured process alone.
//!
//! | file | its question |
//! | --- | --- |
//! | `attribution` | how often is the right culprit named? |
//! | `pages` | what does a page cost, from a list and from a linked site? |
//! | `site` | which pages does the origin serve? |
//! | `origin` | who serves them? |
//! | `bare` | what does it cost without neap? |
//! | `resume` | how soon does a killed run of ten million URLs go on, in how much memory? |
//! | `store` | what does the store cost at 0, 1 and 10 million URLs? |
//! | `spent` | what did one process spend? |
//! | `number` | which number does `10M` mean? |
//! | `print` | how are the figures shown? |

mod attribution;
mod bare;
mod number;
mod origin;
mod pages;
mod print;
mod resume;
mod site;
mod spent;
mod store;

use clap::{Parser, Subcommand};
use miette::Result;

/// Measures what neap costs. Loopback only.
#[derive(Debug, Parser)]
struct Arguments {
    /// How the figures are printed.
    #[arg(long, default_value = "table", global = true)]
    format: print::Format,
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Debug, Subcommand)]
enum Bench {
    /// CPU per page of the neap executable and of bare loops, against an origin on loopback.
    Pages(pages::Options),
    /// The share of captured answers whose producer and culprit `neap classify` names rightly.
    Attribution(attribution::Options),
    /// CPU per link and per page of the store, at several sizes of it.
    Store(store::Options),
    /// Time to the first request after `kill -9`, and memory, of the neap executable with a list of many hosts.
    Resume(resume::Options),
    /// Serves the pages; started by the others.
    #[command(hide = true)]
    Origin(origin::Options),
    /// Fetches a list or a site without neap; started by the others.
    #[command(hide = true)]
    Bare(bare::Options),
    /// Runs one command and tells what it spent; started by the others.
    #[command(hide = true)]
    Spent(spent::Options),
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    match arguments.bench {
        Bench::Pages(options) => {
            print::print(arguments.format, &pages::COLUMNS, &pages::run(&options)?)
        }
        Bench::Attribution(options) => {
            let rows = attribution::run(&options)?;
            print::print(arguments.format, &attribution::COLUMNS, &rows)
        }
        Bench::Store(options) => {
            print::print(arguments.format, &store::COLUMNS, &store::run(&options)?)
        }
        Bench::Resume(options) => {
            print::print(arguments.format, &resume::COLUMNS, &resume::run(&options)?)
        }
        Bench::Origin(options) => origin::run(&options),
        Bench::Bare(options) => bare::run(&options),
        Bench::Spent(options) => spent::run(&options),
    }
}
