//! How are moments and spans of time told?
//!
//! Moments in UTC, as everything in the store is, marked by a Z; without the date if they are of today.

use std::time::Duration;

use neap_core::UnixMs;

/// A moment: `12:03:10Z`, or `2026-11-22 12:03:10Z` if it is of another day than `now`.
pub(crate) fn at(moment: UnixMs, now: UnixMs) -> String {
    let text = neap_store::rfc3339(moment);
    let today = neap_store::rfc3339(now);
    let (Some((day, rest)), Some((this_day, _))) = (text.split_once('T'), today.split_once('T'))
    else {
        return text;
    };
    let clock = rest.split('.').next().unwrap_or(rest);
    if day == this_day {
        format!("{clock}Z")
    } else {
        format!("{day} {clock}Z")
    }
}

/// A span in the two units that matter: `0.7 s`, `12 s`, `4 min 12 s`, `2 h 5 min`, `3 d 4 h`.
pub(crate) fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    let two = |large: u64, unit: &str, small: u64, small_unit: &str| match small {
        0 => format!("{large} {unit}"),
        small => format!("{large} {unit} {small} {small_unit}"),
    };
    match seconds {
        0 if time.as_millis() < 100 => format!("{} ms", time.as_millis()),
        0..10 => format!("{:.1} s", time.as_secs_f64()),
        10..60 => format!("{seconds} s"),
        60..3600 => two(seconds / 60, "min", seconds % 60, "s"),
        3600..86_400 => two(seconds / 3600, "h", seconds / 60 % 60, "min"),
        86_400.. => two(seconds / 86_400, "d", seconds / 3600 % 24, "h"),
    }
}

/// A moment to come: `in 3.0 s`, or `at once` if it has come.
pub(super) fn ahead(moment: UnixMs, now: UnixMs) -> String {
    match moment.since(now) {
        Duration::ZERO => "at once".to_owned(),
        left => format!("in {}", span(left)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-01-01T00:00:00Z.
    const NEW_YEAR: UnixMs = UnixMs(1_767_225_600_000);

    #[test]
    fn moments_of_today_have_no_date() {
        let noon = UnixMs(NEW_YEAR.0 + 12 * 3_600_000 + 190_450);
        assert_eq!(at(noon, NEW_YEAR), "12:03:10Z");
        assert_eq!(at(UnixMs(NEW_YEAR.0 - 1), NEW_YEAR), "2025-12-31 23:59:59Z");
    }

    #[test]
    fn spans_have_two_units_at_most() {
        for (millis, told) in [
            (0, "0 ms"),
            (99, "99 ms"),
            (700, "0.7 s"),
            (9_949, "9.9 s"),
            (59_999, "59 s"),
            (60_000, "1 min"),
            (252_000, "4 min 12 s"),
            (7_500_000, "2 h 5 min"),
            (273_600_000, "3 d 4 h"),
        ] {
            assert_eq!(span(Duration::from_millis(millis)), told);
        }
        assert_eq!(ahead(UnixMs(5_000), UnixMs(2_000)), "in 3.0 s");
        assert_eq!(ahead(UnixMs(2_000), UnixMs(5_000)), "at once");
    }
}
