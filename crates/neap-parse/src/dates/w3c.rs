//! Which moment does a date of the W3C's profile of ISO 8601 mean?

use neap_core::UnixMs;

use super::{days_in, days_since_1970, number};

const MINUTE_MS: i64 = 60_000;

/// Reads `YYYY`, `YYYY-MM`, `YYYY-MM-DD` or `YYYY-MM-DDThh:mm[:ss[.s]]` with `Z`, `+hh:mm` or no zone;
/// `None` if it is none of them or does not exist.
pub(super) fn date(text: &str) -> Option<UnixMs> {
    let (year, rest) = number(text.as_bytes(), 4, 4)?;
    let (month, rest) = part(rest, b"-")?;
    let (day, rest) = match rest.is_empty() {
        true => (1, rest),
        false => part(rest, b"-")?,
    };
    if !(1..=12).contains(&month) || !(1..=days_in(month, year)).contains(&day) {
        return None;
    }
    let midnight = days_since_1970(year, month, day) * 24 * 60 * MINUTE_MS;
    let rest = match rest.first() {
        None => return Some(UnixMs(midnight)),
        // A blank in place of the `T` is what databases write.
        Some(b'T' | b't' | b' ') => &rest[1..],
        Some(_) => return None,
    };
    let (time, zone) = time_of_day(rest)?;
    let offset = match zone {
        b"" | b"Z" | b"z" => 0,
        zone => offset(std::str::from_utf8(zone).ok()?)?,
    };
    Some(UnixMs(midnight + time - offset))
}

/// A month or a day behind a dash; the first one if the date ends before it.
fn part<'a>(text: &'a [u8], dash: &[u8]) -> Option<(i64, &'a [u8])> {
    if text.is_empty() {
        return Some((1, text));
    }
    number(text.strip_prefix(dash)?, 2, 2)
}

/// Milliseconds since midnight, and what follows.
fn time_of_day(text: &[u8]) -> Option<(i64, &[u8])> {
    let (hour, rest) = number(text, 2, 2)?;
    let (minute, rest) = number(rest.strip_prefix(b":")?, 2, 2)?;
    let (second, rest) = match rest.strip_prefix(b":") {
        Some(rest) => number(rest, 2, 2)?,
        None => (0, rest),
    };
    let (fraction, rest) = match rest.strip_prefix(b".") {
        Some(rest) => {
            let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            (milliseconds(&rest[..digits]), &rest[digits..])
        }
        None => (0, rest),
    };
    // A leap second counts as the one before it.
    let exists = hour <= 23 && minute <= 59 && second <= 60;
    let seconds = second.min(59);
    exists.then_some((
        (hour * 60 + minute) * MINUTE_MS + seconds * 1000 + fraction,
        rest,
    ))
}

/// The digits of a fraction of a second, as far as milliseconds go.
fn milliseconds(digits: &[u8]) -> i64 {
    let digit = |at: usize| digits.get(at).map_or(0, |digit| i64::from(digit - b'0'));
    digit(0) * 100 + digit(1) * 10 + digit(2)
}

/// How far a zone (`+hh:mm` or `+hhmm`) is ahead of UTC, in milliseconds.
pub(super) fn offset(text: &str) -> Option<i64> {
    let (sign, rest) = match text.as_bytes() {
        [b'+', rest @ ..] => (1, rest),
        [b'-', rest @ ..] => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = match rest.iter().position(|byte| *byte == b':') {
        Some(colon) => (&rest[..colon], &rest[colon + 1..]),
        None => rest.split_at_checked(2)?,
    };
    let (hours, after_hours) = number(hours, 2, 2)?;
    let (minutes, after_minutes) = number(minutes, 2, 2)?;
    let is_zone =
        after_hours.is_empty() && after_minutes.is_empty() && hours <= 23 && minutes <= 59;
    is_zone.then_some(sign * (hours * 60 + minutes) * MINUTE_MS)
}
