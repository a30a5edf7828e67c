//! How is the way of a limit drawn?
//!
//! As an SVG file that stands for itself: the limit as steps, and below it the 502s a second as bars. No
//! scripts, no fonts, nothing that is fetched; text is escaped.

use std::fmt::Write;

use neap_core::UnixMs;
use neap_store::{BadSecond, KeptChange, rfc3339};

/// Size of the picture in pixels.
const SIZE: (f64, f64) = (960.0, 460.0);
/// Left and right edge of both panels.
const EDGES: (f64, f64) = (60.0, 940.0);
/// Top and bottom of the panel with the limit, and of that with the bars.
const LIMIT_PANEL: (f64, f64) = (50.0, 280.0);
const BAD_PANEL: (f64, f64) = (320.0, 410.0);
/// Bars at most: one for each four pixels.
pub(crate) const MOST_BARS: i64 = 220;
/// Marks on an axis, about.
const MARKS: f64 = 4.0;
/// Marks on the time axis.
const TIMES: i64 = 6;

/// What a chart shows.
#[derive(Debug)]
pub(crate) struct Chart<'a> {
    /// Whose limit it is.
    pub(crate) host: &'a str,
    /// How it went, the oldest first.
    pub(crate) changes: &'a [KeptChange],
    /// Answers 502 by stretches of time.
    pub(crate) bad: &'a [BadSecond],
    /// Length of such a stretch, in milliseconds; 1 and up.
    pub(crate) step_ms: i64,
    /// Left end of the time axis.
    pub(crate) from: UnixMs,
    /// Its right end, after the left one.
    pub(crate) to: UnixMs,
}

impl Chart<'_> {
    /// The picture.
    pub(crate) fn svg(&self) -> String {
        let mut svg = String::new();
        let (width, height) = SIZE;
        let title = text(&format!("limit of {}", self.host));
        let _ = write!(
            svg,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
             width=\"{width}\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
             <title>{title}</title>\n\
             <rect width=\"{width}\" height=\"{height}\" fill=\"white\"/>\n\
             <text x=\"{}\" y=\"26\" font-size=\"16\">{title}</text>\n",
            EDGES.0,
        );
        let most_limit = self.most_limit();
        let most_bad = self.most_bad();
        axis(&mut svg, LIMIT_PANEL, most_limit, "requests in flight");
        axis(&mut svg, BAD_PANEL, most_bad, "502s a second");
        self.times(&mut svg);
        self.bars(&mut svg, most_bad);
        self.steps(&mut svg, most_limit);
        svg.push_str("</svg>\n");
        svg
    }

    fn most_limit(&self) -> f64 {
        let limits = self.changes.iter().flat_map(|c| [c.before, c.after]);
        limits.fold(1.0, f64::max)
    }

    fn per_second(&self, stretch: &BadSecond) -> f64 {
        stretch.answers as f64 * 1000.0 / self.step_ms.max(1) as f64
    }

    fn most_bad(&self) -> f64 {
        self.bad
            .iter()
            .map(|b| self.per_second(b))
            .fold(1.0, f64::max)
    }

    fn x(&self, at: UnixMs) -> f64 {
        let whole = (self.to.0 - self.from.0).max(1) as f64;
        let share = ((at.0 - self.from.0) as f64 / whole).clamp(0.0, 1.0);
        EDGES.0 + share * (EDGES.1 - EDGES.0)
    }

    /// One line for each run, and each host that led in it: what was between two runs, nobody knows.
    fn steps(&self, svg: &mut String, most: f64) {
        let mut lines: Vec<&KeptChange> = self.changes.iter().collect();
        lines.sort_by_key(|change| (change.epoch, &change.host, change.number));
        for run in lines.chunk_by(|a, b| a.epoch == b.epoch && a.host == b.host) {
            let newest = self.changes.last();
            let is_last = newest.is_some_and(|newest| run.contains(&newest));
            let mut path = String::new();
            for change in run {
                let (x, y) = (self.x(change.at), y(LIMIT_PANEL, change.after, most));
                let command = if path.is_empty() {
                    let before = y_of_first(change, most);
                    format!("M{x:.1} {before:.1}V{y:.1}")
                } else {
                    format!("H{x:.1}V{y:.1}")
                };
                path.push_str(&command);
            }
            if is_last {
                let _ = write!(path, "H{:.1}", self.x(self.to));
            }
            let _ = writeln!(
                svg,
                "<path d=\"{path}\" fill=\"none\" stroke=\"#1f5fa8\" stroke-width=\"2\"/>"
            );
        }
        for change in self.changes {
            let _ = writeln!(
                svg,
                "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\" fill=\"#1f5fa8\"><title>{}</title></circle>",
                self.x(change.at),
                y(LIMIT_PANEL, change.after, most),
                text(&format!(
                    "{} {:.2} to {:.2}: {}",
                    rfc3339(change.at),
                    change.before,
                    change.after,
                    change.reason
                )),
            );
        }
    }

    fn bars(&self, svg: &mut String, most: f64) {
        for stretch in self.bad {
            let end = UnixMs(stretch.at.0 + self.step_ms);
            let (left, right) = (self.x(stretch.at), self.x(end));
            let top = y(BAD_PANEL, self.per_second(stretch), most);
            let _ = writeln!(
                svg,
                "<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\" \
                 fill=\"#c0392b\"><title>{}: {} answered 502</title></rect>",
                (right - left).max(1.0),
                BAD_PANEL.1 - top,
                rfc3339(stretch.at),
                stretch.answers,
            );
        }
    }

    fn times(&self, svg: &mut String) {
        for mark in 0..=TIMES {
            let at = UnixMs(self.from.0 + (self.to.0 - self.from.0) * mark / TIMES);
            let anchor = match mark {
                0 => "start",
                TIMES => "end",
                _ => "middle",
            };
            let shown = rfc3339(at);
            let (day, clock) = shown.split_once('T').unwrap_or(("", &shown));
            let clock = clock.trim_end_matches('Z');
            let x = self.x(at);
            let _ = writeln!(
                svg,
                "<text x=\"{x:.1}\" y=\"428\" text-anchor=\"{anchor}\" fill=\"#555\">{clock}</text>\n\
                 <text x=\"{x:.1}\" y=\"444\" text-anchor=\"{anchor}\" fill=\"#999\">{day} UTC</text>",
            );
        }
    }
}

fn y_of_first(change: &KeptChange, most: f64) -> f64 {
    y(LIMIT_PANEL, change.before, most)
}

/// The height of a value in a panel that reaches from 0 to `most`.
fn y(panel: (f64, f64), value: f64, most: f64) -> f64 {
    let share = (value / most).clamp(0.0, 1.0);
    panel.1 - share * (panel.1 - panel.0)
}

fn axis(svg: &mut String, panel: (f64, f64), most: f64, label: &str) {
    let (left, right) = EDGES;
    let _ = writeln!(
        svg,
        "<text x=\"{left}\" y=\"{:.1}\" fill=\"#555\">{label}</text>",
        panel.0 - 8.0
    );
    let step = round_step(most / MARKS);
    // At most four steps fit; whole numbers of them, so that no rounding can make it go on.
    let marks = (most / step).clamp(0.0, 2.0 * MARKS) as u32;
    for mark in 0..=marks {
        let value = f64::from(mark) * step;
        let y = y(panel, value, most);
        let _ = writeln!(
            svg,
            "<path d=\"M{left} {y:.1}H{right}\" stroke=\"#ddd\"/>\n\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#555\">{value}</text>",
            left - 6.0,
            y + 4.0,
        );
    }
}

/// The next larger of 0.5, 1, 2, 5, 10, 20, 50, ...; what is not finite gets the largest.
fn round_step(least: f64) -> f64 {
    let powers = (-1..300).map(|power| 10f64.powi(power));
    let steps = powers.flat_map(|power| [5.0, 10.0, 20.0].map(|digit| digit * power));
    steps
        .clone()
        .find(|step| *step >= least)
        .or(steps.last())
        .unwrap_or(1.0)
}

/// Text as XML takes it: its own signs escaped, and what it does not allow replaced (XML 1.0, section 2.2).
fn text(plain: &str) -> String {
    let mut safe = String::with_capacity(plain.len());
    for c in plain.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            c if super::escape::acts(c) || matches!(c, '\u{fffe}' | '\u{ffff}') => {
                safe.push('\u{fffd}');
            }
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(number: i64, epoch: i64, before: f64, after: f64) -> KeptChange {
        KeptChange {
            host: "http://a.example".to_owned(),
            number,
            epoch,
            at: UnixMs(1000 * number),
            before,
            after,
            reason: "<script>\"&\u{1b}".to_owned(),
        }
    }

    fn chart(changes: &[KeptChange], bad: &[BadSecond]) -> String {
        Chart {
            host: "http://a.example",
            changes,
            bad,
            step_ms: 1000,
            from: UnixMs(0),
            to: UnixMs(10_000),
        }
        .svg()
    }

    #[test]
    fn a_limit_is_drawn_as_steps_and_each_run_by_itself() {
        let changes = [
            change(1, 1, 4.0, 8.0),
            change(2, 1, 8.0, 2.0),
            change(5, 2, 4.0, 4.0),
        ];
        let svg = chart(&changes, &[]);
        // 880 pixels for ten seconds, 230 for a limit of eight.
        assert!(svg.contains("d=\"M148.0 165.0V50.0H236.0V222.5\""), "{svg}");
        assert!(svg.contains("d=\"M500.0 165.0V165.0H940.0\""), "{svg}");
    }

    #[test]
    fn limits_that_were_two_before_they_were_shared_are_two_lines() {
        let of = |host: &str, change: KeptChange| KeptChange {
            host: host.to_owned(),
            ..change
        };
        let changes = [
            of("http://a.example", change(1, 1, 4.0, 8.0)),
            of("http://b.example", change(2, 1, 2.0, 2.0)),
            of("http://a.example", change(3, 1, 8.0, 8.0)),
        ];
        let svg = chart(&changes, &[]);
        assert_eq!(svg.matches("stroke=\"#1f5fa8\"").count(), 2, "{svg}");
        assert!(
            svg.contains("d=\"M148.0 165.0V50.0H324.0V50.0H940.0\""),
            "{svg}"
        );
    }

    #[test]
    fn bars_stand_where_the_502s_were() {
        let bad = [
            BadSecond {
                at: UnixMs(5000),
                answers: 10,
            },
            BadSecond {
                at: UnixMs(6000),
                answers: 5,
            },
        ];
        let svg = chart(&[change(1, 1, 4.0, 4.0)], &bad);
        assert!(
            svg.contains("<rect x=\"500.0\" y=\"320.0\" width=\"88.0\" height=\"90.0\""),
            "{svg}"
        );
        assert!(
            svg.contains("<rect x=\"588.0\" y=\"365.0\" width=\"88.0\" height=\"45.0\""),
            "{svg}"
        );
    }

    #[test]
    fn text_is_only_text_and_nothing_is_run_or_fetched() {
        let svg = chart(&[change(1, 1, f64::MAX, 0.0)], &[]);
        assert!(svg.contains("&lt;script&gt;&quot;&amp;\u{fffd}"), "{svg}");
        for forbidden in ["<script", "href", "url(", "\u{1b}", "NaN", "inf"] {
            assert!(!svg.contains(forbidden), "{forbidden} in {svg}");
        }
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
    }

    #[test]
    fn marks_are_round_numbers() {
        for (least, step) in [
            (0.3, 0.5),
            (0.6, 1.0),
            (1.5, 2.0),
            (4.0, 5.0),
            (16.0, 20.0),
            (60.0, 100.0),
        ] {
            assert!((round_step(least) - step).abs() < 1e-9, "{least}");
        }
    }
}
