//! How far is a submission? Nothing for one that takes a moment, a line now and then for a long one.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use super::{clock, grouped};
use crate::cli::{Global, ProgressMode};

/// Time between two words about it.
const EVERY: Duration = Duration::from_secs(2);
/// Time between two redrawings on a terminal.
const REDRAWN_EVERY: Duration = Duration::from_millis(200);

/// Lets a word be said when it is time for one.
#[derive(Debug)]
pub(crate) struct NowAndThen(Instant);

impl NowAndThen {
    /// The first word is due in a while.
    pub(crate) fn new() -> NowAndThen {
        NowAndThen(Instant::now() + EVERY)
    }

    /// Whether it is time.
    pub(crate) fn is_due(&mut self) -> bool {
        let now = Instant::now();
        let is_due = now >= self.0;
        if is_due {
            self.0 = now + EVERY;
        }
        is_due
    }
}

/// Tells how many URLs are in the store.
#[derive(Debug)]
pub(crate) struct Submitting {
    name: String,
    mode: ProgressMode,
    started: Instant,
    next: Instant,
    rows: u64,
    is_drawn: bool,
}

impl Submitting {
    /// Tells nothing for the first moments.
    pub(crate) fn new(global: &Global, name: &str) -> Submitting {
        let mode = match global.progress {
            ProgressMode::Auto if global.quiet > 0 => ProgressMode::None,
            ProgressMode::Auto if std::io::stderr().is_terminal() => ProgressMode::Bar,
            ProgressMode::Auto => ProgressMode::Line,
            said @ (ProgressMode::Bar
            | ProgressMode::Line
            | ProgressMode::Json
            | ProgressMode::None) => said,
        };
        let started = Instant::now();
        let first = match mode {
            ProgressMode::Bar => REDRAWN_EVERY,
            ProgressMode::Line | ProgressMode::Json | ProgressMode::None | ProgressMode::Auto => {
                EVERY
            }
        };
        Submitting {
            name: name.to_owned(),
            mode,
            started,
            next: started + first,
            rows: 0,
            is_drawn: false,
        }
    }

    /// So many more are there.
    pub(crate) fn tell(&mut self, rows: usize) {
        self.rows += rows as u64;
        let now = Instant::now();
        if now < self.next {
            return;
        }
        let elapsed = now - self.started;
        let rate = self.rows as f64 / elapsed.as_secs_f64().max(0.001);
        let line = format!(
            "{}: {} URLs submitted in {}, {rate:.0}/s",
            self.name,
            grouped(self.rows),
            clock(elapsed),
        );
        match self.mode {
            ProgressMode::Bar => {
                self.draw(&format!("\r{line}\u{1b}[K"));
                self.is_drawn = true;
                self.next = now + REDRAWN_EVERY;
            }
            ProgressMode::Line => say!("{line}"),
            ProgressMode::Json => say!(
                "{}",
                serde_json::json!({
                    "event": "submitting", "v": 1, "job": self.name, "urls": self.rows,
                    "elapsed_s": elapsed.as_secs_f64(), "rate": rate,
                })
            ),
            ProgressMode::None | ProgressMode::Auto => {}
        }
        if self.mode != ProgressMode::Bar {
            self.next = now + EVERY;
        }
    }

    /// Takes away what was drawn.
    pub(crate) fn end(&mut self) {
        if std::mem::take(&mut self.is_drawn) {
            self.draw("\r\u{1b}[K");
        }
    }

    fn draw(&self, text: &str) {
        use std::io::Write as _;
        let mut terminal = std::io::stderr();
        // A terminal that was closed is no reason to end.
        let _ = write!(terminal, "{text}").and_then(|()| terminal.flush());
    }
}
