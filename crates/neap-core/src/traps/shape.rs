//! What does the text of a URL show: how often a segment comes again, a month of a calendar, a part of a site?

use std::collections::BTreeMap;

use url::Url;

/// Segments by which parts of a site are told apart: the parts that a URL is in are by one, two and three.
const PART_SEGMENTS: usize = 3;

/// How often the segment of a path stands in it that stands in it most often.
pub(super) fn most_repeated(url: &Url) -> usize {
    let mut times: BTreeMap<&str, usize> = BTreeMap::new();
    for segment in segments(url) {
        *times.entry(segment).or_default() += 1;
    }
    times.into_values().max().unwrap_or(0)
}

/// The year, if a URL has a year and a month as calendars do: as two segments (`/2031/05`), as one segment or value (`2031-05`,
/// `2031-05-17`, `20310517`), or as two values (`year=2031&month=5`).
pub(super) fn year_of_calendar(url: &Url) -> Option<u32> {
    let segments: Vec<&str> = segments(url).collect();
    let in_two = segments
        .windows(2)
        .find_map(|pair| date([pair[0], pair[1]]));
    in_two
        .or_else(|| segments.iter().find_map(|segment| one_date(segment)))
        .or_else(|| in_query(url.query()?))
}

fn in_query(query: &str) -> Option<u32> {
    let values = query.split('&').filter_map(|part| part.split_once('='));
    let (mut year, mut month) = (None, None);
    for (name, value) in values {
        if let Some(found) = one_date(value) {
            return Some(found);
        }
        let begins = |letter: u8| {
            name.as_bytes()
                .first()
                .is_some_and(|b| b.eq_ignore_ascii_case(&letter))
        };
        if begins(b'y') {
            year = Some(value);
        } else if begins(b'm') {
            month = Some(value);
        }
    }
    date([year?, month?])
}

/// A year of four digits and a month. Of all such numbers, those of our time and not too far from it: others are
/// those of a thread and its page.
fn date([year, month]: [&str; 2]) -> Option<u32> {
    let is_month = (1..=2).contains(&month.len()) && (1..=12).contains(&number(month)?);
    let year = (year.len() == 4 && is_month).then(|| number(year))?;
    year.filter(|year| (1900..2200).contains(year))
}

fn one_date(text: &str) -> Option<u32> {
    let parts: Vec<&str> = text.split('-').collect();
    match parts[..] {
        [year, month] => date([year, month]).filter(|_| month.len() == 2),
        [year, month, day] => {
            let is_day = day.len() <= 2 && (1..=31).contains(&number(day)?);
            is_day.then(|| date([year, month]))?
        }
        [whole] if whole.len() == 8 && whole.is_ascii() => {
            let is_day = (1..=31).contains(&number(&whole[6..])?);
            is_day.then(|| date([&whole[..4], &whole[4..6]]))?
        }
        _ => None,
    }
}

fn number(text: &str) -> Option<u32> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok())?
}

/// The parts of its site that a URL is in: its first segment, its first two and its first three, numbers being all
/// alike, and apart from those without a query if it has one.
pub(super) fn parts(url: &Url) -> Vec<String> {
    let mut front = String::from(if url.query().is_some() { "?" } else { "" });
    let mut parts = Vec::with_capacity(PART_SEGMENTS);
    for segment in segments(url).take(PART_SEGMENTS) {
        front.push('/');
        let mut is_in_number = false;
        for c in segment.chars() {
            if !c.is_ascii_digit() {
                front.push(c);
            } else if !is_in_number {
                front.push('0');
            }
            is_in_number = c.is_ascii_digit();
        }
        parts.push(front.clone());
    }
    if parts.is_empty() {
        // Pages of the root differ by their queries alone.
        parts.push(front);
    }
    parts
}

fn segments(url: &Url) -> impl Iterator<Item = &str> {
    url.path().split('/').filter(|segment| !segment.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(rest: &str) -> Url {
        Url::parse(&format!("http://a.example{rest}")).unwrap()
    }

    #[test]
    fn months_of_calendars() {
        for (rest, year) in [
            ("/calendar/2031/05", Some(2031)),
            ("/2031/5/17/", Some(2031)),
            ("/c/2031-05", Some(2031)),
            ("/c/2031-05-17", Some(2031)),
            ("/c/20310517", Some(2031)),
            ("/c?date=2031-05", Some(2031)),
            ("/c?date=20310517&x=1", Some(2031)),
            ("/c?month=5&year=2031", Some(2031)),
            ("/c?m=5&y=2149", Some(2149)),
            ("/thread/5321/2", None),
            ("/c?m=5&y=7749", None),
            ("/c/2031", None),
            ("/c/2031/13", None),
            ("/c/2031-5", None),
            ("/c/2031-05-32", None),
            ("/c/bolt-2031-05-steel", None),
            ("/c/40961217", None),
            ("/c/12345678", None),
            ("/c?page=2031&x=05", None),
            ("/c?year=2031", None),
            ("/", None),
        ] {
            assert_eq!(year_of_calendar(&url(rest)), year, "{rest}");
        }
    }

    #[test]
    fn parts_of_a_site_are_told_apart_by_segments_and_not_by_numbers() {
        for (rest, expected) in [
            ("/", vec![""]),
            ("/?p=1", vec!["?"]),
            ("/page17.html", vec!["/page0.html"]),
            ("/c/2031/05/x", vec!["/c", "/c/0", "/c/0/0"]),
            ("/c/a?x=1", vec!["?/c", "?/c/a"]),
        ] {
            assert_eq!(parts(&url(rest)), expected, "{rest}");
        }
    }

    #[test]
    fn empty_segments_do_not_count() {
        assert_eq!(most_repeated(&url("/a//b///a/")), 2);
        assert_eq!(most_repeated(&url("/")), 0);
    }
}
