//! How is an attempt shown: not at all, in a line, in sentences, or as JSON?

mod gist;
mod json;
mod line;
mod phases;
mod story;

use std::io::{self, Write};
use std::time::Duration;

use neap_core::CanonicalUrl;
use neap_core::attribution::Attribution;
use neap_core::classify::Judgement;
use neap_core::exchange::Exchange;

use super::asker::What;
use crate::print::until_closed;

/// How much is told on standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Detail {
    /// Nothing.
    Nothing,
    /// A line an attempt.
    Lines,
    /// The line, and why.
    Story,
}

/// Tells of attempts.
#[derive(Debug)]
pub(super) struct Trace {
    /// What people hear.
    pub(super) detail: Detail,
    /// Whether programs hear of it, on standard output.
    pub(super) is_json: bool,
}

/// One attempt, and what follows from it.
pub(super) struct Told<'a> {
    /// Counted from 1 over all URLs.
    pub(super) number: u32,
    /// What was asked for.
    pub(super) what: What,
    /// The URL.
    pub(super) url: &'a CanonicalUrl,
    /// The way out, as people call it.
    pub(super) way: &'a str,
    /// What happened.
    pub(super) exchange: &'a Exchange,
    /// What it means.
    pub(super) judgement: &'a Judgement,
    /// Whose doing it is.
    pub(super) attribution: &'a Attribution,
    /// What comes next.
    pub(super) follows: Follows<'a>,
}

/// What comes after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Follows<'a> {
    /// Nothing: this is the answer.
    Nothing,
    /// The same URL again.
    Again {
        /// After this wait.
        after: Duration,
        /// By this way, if it is another one.
        other: Option<&'a str>,
        /// Whether the attempt counts towards `retry.attempts`.
        is_charged: bool,
    },
    /// Nothing, and why.
    GivenUp(&'static str),
}

impl Trace {
    /// Whether people hear of attempts.
    pub(super) fn is_on(&self) -> bool {
        self.detail > Detail::Nothing
    }

    /// Tells of an attempt.
    ///
    /// # Errors
    /// Standard output failed.
    pub(super) fn attempt(&self, told: &Told<'_>) -> io::Result<()> {
        if self.is_on() {
            say!("{}", line::line(told));
        }
        if self.detail == Detail::Story {
            say!("{}", story::story(told).join("\n"));
        }
        if self.is_json {
            until_closed(writeln!(io::stdout(), "{}", json::object(told)))?;
        }
        Ok(())
    }

    /// Tells what else people should know.
    pub(super) fn notes(&self, sentences: &[String]) {
        if self.is_on() {
            for sentence in sentences {
                say!("    {sentence}");
            }
        }
    }
}
