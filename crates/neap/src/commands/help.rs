//! `neap help`: the help of a command, or a topic of its own.

use clap::CommandFactory;

use crate::cli::Cli;
use crate::exit::{self, Exit};
use crate::failure::Failure;

/// Prints help.
///
/// # Errors
/// There is no such topic, or nothing can be printed.
pub(crate) fn help(topic: Option<&str>) -> Result<Exit, Failure> {
    let mut cli = Cli::command();
    // Or the usage of a command would not begin with the program's name.
    cli.build();
    match topic {
        None => cli.print_long_help()?,
        Some("exit-codes") => crate::print::line(exit::table().trim_end())?,
        Some(topic) => match cli.find_subcommand_mut(topic) {
            Some(command) => command.print_long_help()?,
            None => {
                return Err(Failure::usage(
                    format!("there is no help on `{topic}`"),
                    "`neap help` lists the commands; `neap help exit-codes` the exit codes",
                ));
            }
        },
    }
    Ok(exit::DONE)
}
