//! How is a run shown, while it goes on and when it ends?

mod progress;
mod submitting;
mod summary;

pub(crate) use progress::show;
pub(crate) use submitting::{NowAndThen, Submitting};
pub(crate) use summary::{Ending, summary, unmet};

use std::time::Duration;

/// What this program was called as, so that what it advises can be typed: `target/release/neap`.
pub(crate) fn program() -> String {
    std::env::args().next().unwrap_or_else(|| "neap".to_owned())
}

/// A number and what it counts: `1 page`, `12,345 pages`.
pub(crate) fn number(count: u64, of: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {of}{plural}", grouped(count))
}

/// A number in groups of three: `12,345`.
pub(crate) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A time as a clock shows it: `00:12:41`.
pub(crate) fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    format!(
        "{:02}:{:02}:{:02}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    )
}

/// A time in the unit that suits it: `210 ms`, `1.4 s`.
pub(crate) fn short(time: Duration) -> String {
    let ms = time.as_secs_f64() * 1e3;
    if ms < 10.0 {
        format!("{ms:.1} ms")
    } else if ms < 1000.0 {
        format!("{ms:.0} ms")
    } else {
        format!("{:.1} s", ms / 1e3)
    }
}

/// Bytes in the unit that suits them: `5.9 MiB`.
pub(crate) fn bytes(count: u64) -> String {
    bytesize::ByteSize::b(count).display().iec().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_people_read_them() {
        assert_eq!(number(0, "page"), "0 pages");
        assert_eq!(number(1, "page"), "1 page");
        assert_eq!(number(1_234_567, "page"), "1,234,567 pages");
        assert_eq!(
            clock(Duration::from_secs(3 * 3600 + 25 * 60 + 45)),
            "03:25:45"
        );
        assert_eq!(short(Duration::from_micros(1_234)), "1.2 ms");
        assert_eq!(short(Duration::from_millis(210)), "210 ms");
        assert_eq!(short(Duration::from_millis(61_000)), "61.0 s");
    }
}
