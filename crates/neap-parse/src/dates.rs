//! Which moment does a text mean: how long does a server ask to wait, when did a page change?
//!
//! `Retry-After` (RFC 9110, section 10.2.3) is a number of seconds or a date. Dates in the wild follow
//! no grammar, so they are read with the algorithm that browsers use for cookies (RFC 6265, section
//! 5.1.1): the text is cut at delimiters, and the first piece that looks like a time of day, a day, a
//! month and a year is taken for it, in this order. All three date forms of RFC 9110 are among what it
//! reads. When a page changed, sitemaps and Atom feeds say in the forms of
//! <https://www.w3.org/TR/NOTE-datetime>, RSS feeds as mail does.

mod w3c;

use std::time::Duration;

use neap_core::UnixMs;

/// Longest wait that is believed; longer ones are read as this. Ten years: anything near it means
/// "never", and it is far from overflowing a date.
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// Bytes of a date that are read. The longest form of RFC 9110 has 33.
const MAX_DATE_BYTES: usize = 256;

/// How long a `Retry-After` asks to wait from `now`: zero if its date is past, at most
/// [`MAX_RETRY_AFTER`], and `None` if it is neither a number nor a date.
pub fn retry_after(value: &str, now: UnixMs) -> Option<Duration> {
    let value = value.trim();
    let wait = if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // Too large for a number is as good as the limit.
        Duration::from_secs(value.parse().unwrap_or(u64::MAX))
    } else {
        date(value)?.since(now)
    };
    Some(wait.min(MAX_RETRY_AFTER))
}

/// When something changed: a date as the W3C writes it (`2024-03-01`, `2024-03-01T12:00:00+01:00`), or as
/// mail and HTTP do (`Fri, 01 Mar 2024 12:00:00 +0100`); `None` if it is neither. A date without a time
/// is its midnight, one without a zone is in UTC.
pub fn modified(text: &str) -> Option<UnixMs> {
    let text = text.trim();
    w3c::date(text).or_else(|| {
        let offset = text.rsplit(' ').next().and_then(w3c::offset);
        date(text)?.0.checked_sub(offset.unwrap_or(0)).map(UnixMs)
    })
}

/// Reads a date as browsers read that of a cookie, in whatever form; `None` if it lacks a part or does not exist.
pub fn any_form(text: &str) -> Option<UnixMs> {
    date(text)
}

/// Reads a date in whatever form; `None` if it lacks a part or does not exist.
fn date(text: &str) -> Option<UnixMs> {
    let mut found = Parts::default();
    let text = &text.as_bytes()[..text.len().min(MAX_DATE_BYTES)];
    for piece in text.split(|byte| is_delimiter(*byte)) {
        found.take(piece);
    }
    let Parts {
        time: Some((hour, minute, second)),
        day: Some(day),
        month: Some(month),
        year,
    } = found
    else {
        return None;
    };
    let year = match year? {
        year @ 70..=99 => 1900 + year,
        year @ 0..=69 => 2000 + year,
        year => year,
    };
    let exists = year >= 1601
        && (1..=days_in(month, year)).contains(&day)
        && hour <= 23
        && minute <= 59
        && second <= 59;
    let seconds = ((days_since_1970(year, month, day) * 24 + hour) * 60 + minute) * 60 + second;
    exists.then_some(UnixMs(seconds * 1000))
}

/// RFC 6265, section 5.1.1: everything but digits, letters, `:` and bytes outside of printable ASCII.
fn is_delimiter(byte: u8) -> bool {
    matches!(byte, 0x09 | 0x20..=0x2F | 0x3B..=0x40 | 0x5B..=0x60 | 0x7B..=0x7E)
}

/// The parts of a date, each as soon as it is found.
#[derive(Default)]
struct Parts {
    time: Option<(i64, i64, i64)>,
    day: Option<i64>,
    month: Option<i64>,
    year: Option<i64>,
}

impl Parts {
    fn take(&mut self, piece: &[u8]) {
        if self.time.is_none()
            && let Some(time) = time_of_day(piece)
        {
            self.time = Some(time);
        } else if self.day.is_none()
            && let Some((day, _)) = number(piece, 1, 2)
        {
            self.day = Some(day);
        } else if self.month.is_none()
            && let Some(month) = month(piece)
        {
            self.month = Some(month);
        } else if self.year.is_none()
            && let Some((year, _)) = number(piece, 2, 4)
        {
            self.year = Some(year);
        }
    }
}

fn time_of_day(piece: &[u8]) -> Option<(i64, i64, i64)> {
    let (hour, rest) = number(piece, 1, 2)?;
    let (minute, rest) = number(rest.strip_prefix(b":")?, 1, 2)?;
    let (second, _) = number(rest.strip_prefix(b":")?, 1, 2)?;
    Some((hour, minute, second))
}

fn month(piece: &[u8]) -> Option<i64> {
    const MONTHS: [&[u8; 3]; 12] = [
        b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov",
        b"dec",
    ];
    let start = piece.get(..3)?;
    (1..)
        .zip(MONTHS)
        .find(|(_, name)| start.eq_ignore_ascii_case(*name))
        .map(|(number, _)| number)
}

/// A number of so many digits, not followed by another one, and the rest.
fn number(text: &[u8], least: usize, most: usize) -> Option<(i64, &[u8])> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let value = || {
        text[..digits]
            .iter()
            .fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'))
    };
    (least..=most)
        .contains(&digits)
        .then(|| (value(), &text[digits..]))
}

fn days_in(month: i64, year: i64) -> i64 {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 => 28 + i64::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 in the Gregorian calendar: `days_from_civil` of Howard Hinnant's
/// "chrono-Compatible Low-Level Date Algorithms". A year is counted from March, so that the leap day
/// is its last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year
        - 719_468
}

#[cfg(test)]
mod tests {
    use std::time::{SystemTime, UNIX_EPOCH};

    use proptest::prelude::*;

    use super::*;

    /// 1994-11-06T08:49:37Z, the moment in RFC 9110's examples.
    const RFC_EXAMPLE: UnixMs = UnixMs(784_111_777_000);

    #[test]
    fn a_retry_after_is_seconds_or_a_date() {
        let secs = |seconds| Some(Duration::from_secs(seconds));
        for (value, expected) in [
            ("0", secs(0)),
            ("120", secs(120)),
            (" 120\t", secs(120)),
            ("007", secs(7)),
            ("999999999", Some(MAX_RETRY_AFTER)),
            ("99999999999999999999999999", Some(MAX_RETRY_AFTER)),
            ("Sun, 06 Nov 1994 08:50:37 GMT", secs(60)),
            ("Sunday, 06-Nov-94 08:50:37 GMT", secs(60)),
            ("Sun Nov  6 08:50:37 1994", secs(60)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", secs(0)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", secs(0)),
            ("Fri, 31 Dec 9999 23:59:59 GMT", Some(MAX_RETRY_AFTER)),
            ("06 november 1994 8:51:37", secs(120)),
            ("-1", None),
            ("+1", None),
            ("1.5", None),
            ("1e3", None),
            ("soon", None),
            ("", None),
            ("Sun, 31 Feb 2094 08:49:37 GMT", None),
            ("Sun, 06 Nov 1994 24:49:37 GMT", None),
            ("Sun, 06 Nov 1994", None),
            ("06 Nov 1600 08:49:37", None),
        ] {
            assert_eq!(retry_after(value, RFC_EXAMPLE), expected, "{value:?}");
        }
    }

    #[test]
    fn a_change_is_dated_as_sitemaps_and_feeds_do() {
        let example = |seconds: i64| Some(UnixMs(RFC_EXAMPLE.0 + seconds * 1000));
        for (text, expected) in [
            ("1994-11-06T08:49:37Z", example(0)),
            (" 1994-11-06T08:49:37.000+00:00\n", example(0)),
            ("1994-11-06T09:49:37+01:00", example(0)),
            ("1994-11-06T06:19:37-02:30", example(0)),
            ("1994-11-06T06:19:37-0230", example(0)),
            (
                "1994-11-06T08:49:37.987654Z",
                Some(UnixMs(RFC_EXAMPLE.0 + 987)),
            ),
            ("1994-11-06T08:49Z", example(-37)),
            ("1994-11-06T08:49:37", example(0)),
            ("1994-11-06 08:49:37", example(0)),
            ("1994-11-06", example(-(8 * 3600 + 49 * 60 + 37))),
            ("1994-11", Some(UnixMs(783_648_000_000))),
            ("1994", Some(UnixMs(757_382_400_000))),
            ("Sun, 06 Nov 1994 08:49:37 GMT", example(0)),
            ("Sun, 06 Nov 1994 09:49:37 +0100", example(0)),
            ("06 Nov 94 03:49:37 -0500", example(0)),
            ("1994-13-06", None),
            ("1994-02-30", None),
            ("1994-11-06T25:00Z", None),
            ("1994-11-06T08:49:37+99:00", None),
            ("1994-11-06T08:49:37Zulu", None),
            ("94-11-06", None),
            ("yesterday", None),
            ("", None),
        ] {
            assert_eq!(modified(text), expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_date_of_a_change_makes_it_panic(text in "[0-9TZ:+. -]{0,40}|\\PC{0,40}") {
            modified(&text);
        }

        #[test]
        fn every_form_that_a_server_may_send_is_read(seconds in 0u64..=253_402_300_799) {
            let moment = UNIX_EPOCH + Duration::from_secs(seconds);
            let text = httpdate::fmt_http_date(moment);
            prop_assert_eq!(date(&text), Some(UnixMs(i64::try_from(seconds * 1000).unwrap())), "{}", text);
        }

        #[test]
        fn whatever_a_strict_reader_takes_is_read_alike(text in "(Sun|Mon), [0-3][0-9] (Feb|Mar|Dec) [12][069][0-9][0-9] [0-2][0-9]:[0-5][0-9]:[0-5][0-9] GMT") {
            if let Ok(moment) = httpdate::parse_http_date(&text) {
                let seconds = moment.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
                prop_assert_eq!(date(&text), Some(UnixMs(i64::try_from(seconds * 1000).unwrap())));
            }
        }

        #[test]
        fn no_value_makes_it_panic(value in "\\PC{0,60}", now in any::<i64>()) {
            if let Some(wait) = retry_after(&value, UnixMs(now)) {
                prop_assert!(wait <= MAX_RETRY_AFTER);
            }
        }
    }
}
