//! How are the scores and the course of a run shown?

use std::fmt::Write as _;

use crate::measure::Score;
use crate::simulation::{History, Sample};

/// The scores as a table of text.
pub fn table(scores: &[Score]) -> String {
    let mut text = format!(
        "{:<24} {:<10} {:>6} {:>9} {:>6} {:>6} {:>6} {:>6} {:>5}\n",
        "scenario", "algorithm", "ratio", "wasted/1k", "t90", "t90chg", "over", "dead", "lost"
    );
    let seconds = |value: Option<f64>| value.map_or("-".to_owned(), |s| format!("{s:.1}"));
    for score in scores {
        let _ = writeln!(
            text,
            "{:<24} {:<10} {:>6.3} {:>9.1} {:>6} {:>6} {:>6.2} {:>6.0} {:>5.0}",
            score.scenario,
            score.algorithm,
            score.ratio,
            score.wasted_per_1000,
            seconds(score.t90_start_s),
            seconds(score.t90_change_s),
            score.overshoot,
            score.dead_requests,
            score.lost_pages,
        );
    }
    text
}

/// Limit and requests in flight over time, with the failures since the row before.
pub fn trace_csv(history: &History) -> String {
    let mut text = "seconds,limit,in_flight,wasted,reason\n".to_owned();
    let mut wasted = history.wasted.iter().peekable();
    for sample in &history.trace {
        let mut count = 0;
        while wasted.next_if(|at| **at <= sample.at).is_some() {
            count += 1;
        }
        let Sample {
            at,
            limit,
            in_flight,
            reason,
        } = sample;
        let _ = writeln!(text, "{at:.4},{limit:.3},{in_flight},{count},{reason}");
    }
    text
}

/// Width and height of the picture, and of its margin.
const PICTURE: (f64, f64, f64) = (1200.0, 400.0, 40.0);

/// Limit (line), requests in flight (pale line) and attributable failures (red ticks) as SVG.
pub fn plot_svg(name: &str, history: &History) -> String {
    let (width, height, margin) = PICTURE;
    let end = history
        .trace
        .last()
        .map_or(1.0, |sample| sample.at)
        .max(1e-9);
    let top = history
        .trace
        .iter()
        .map(|sample| sample.limit.max(f64::from(sample.in_flight)))
        .fold(1.0, f64::max);
    let x = |at: f64| margin + (width - 2.0 * margin) * at / end;
    let y = |value: f64| height - margin - (height - 2.0 * margin) * value / top;
    let line = |value: fn(&Sample) -> f64, color: &str| {
        // One point per pixel is all that can be seen.
        let mut points = String::new();
        let mut last = f64::NEG_INFINITY;
        for sample in &history.trace {
            if x(sample.at) - last >= 0.5 {
                last = x(sample.at);
                let _ = write!(points, "{:.1},{:.1} ", last, y(value(sample)));
            }
        }
        format!("<polyline fill='none' stroke='{color}' points='{points}'/>\n")
    };
    let mut ticks = String::new();
    for at in &history.wasted {
        let _ = write!(ticks, "M{:.1} {:.1}v8", x(*at), height - margin);
    }
    let in_flight = line(|sample| f64::from(sample.in_flight), "#bbccee");
    let limit = line(|sample| sample.limit, "#1144aa");
    let name = name.replace(['<', '&', '\''], "_");
    format!(
        "<svg xmlns='http://www.w3.org/2000/svg' width='{width}' height='{height}' \
         font-family='sans-serif' font-size='12'>\n<rect width='100%' height='100%' fill='white'/>\n\
         <text x='{margin}' y='20'>{name}: limit up to {top:.1}, {end:.0} s, {} wasted requests</text>\n\
         {in_flight}{limit}<path stroke='#cc2222' stroke-opacity='0.4' d='{ticks}'/>\n</svg>\n",
        history.wasted.len()
    )
}
