//! `neap classify`: who is to blame for these captured answers?

use std::io::{self, BufRead, Write};

use neap_core::attribution::{Attribution, attribute, attribute_without, products};
use serde_json::Value;

use crate::capture;
use crate::exit::{self, Exit};
use crate::failure::Failure;
use crate::print::until_closed;

/// Longest line that is read, in bytes: a hundred times what a capture with a 4 KB body takes.
const MAX_LINE: usize = 1024 * 1024;

/// Reads captured answers as JSON Lines and writes one line a line, in order: the verdict, or why there is none.
///
/// # Errors
/// Input or output failed, or lines were no captured answers; the verdicts of the others are written.
pub(crate) fn classify(without: Option<&str>) -> Result<Exit, Failure> {
    if let Some(unknown) = without.filter(|name| products().all(|known| known != *name)) {
        let known: Vec<&str> = products().collect();
        return Err(Failure::usage(
            format!("no product is called `{unknown}`"),
            format!("the products are {}", known.join(", ")),
        ));
    }
    let mut bad = Bad::default();
    let out = io::BufWriter::new(io::stdout().lock());
    until_closed(each_line(io::stdin().lock(), out, without, &mut bad))?;
    match bad.first {
        None => Ok(exit::DONE),
        Some(first) => Err(Failure::usage(
            format!(
                "{} of {} lines are no captured answers: line {first}",
                bad.count, bad.lines
            ),
            "each line is one JSON object; `neap classify --help` names its fields",
        )),
    }
}

/// Lines that could not be judged.
#[derive(Default)]
struct Bad {
    lines: u64,
    count: u64,
    /// The number of the first, and what is wrong with it.
    first: Option<String>,
}

fn each_line(
    mut input: impl BufRead,
    mut out: impl Write,
    without: Option<&str>,
    bad: &mut Bad,
) -> io::Result<()> {
    let mut line = Vec::new();
    while let Some(is_whole) = next_line(&mut input, &mut line)? {
        bad.lines += 1;
        match judge(&line, is_whole, without) {
            Ok(verdict) => serde_json::to_writer(&mut out, &verdict)?,
            Err(error) => {
                bad.count += 1;
                let first = || format!("{}: {error}", bad.lines);
                bad.first.get_or_insert_with(first);
                serde_json::to_writer(&mut out, &serde_json::json!({ "error": error }))?;
            }
        }
        out.write_all(b"\n")?;
    }
    out.flush()
}

fn judge(line: &[u8], is_whole: bool, without: Option<&str>) -> Result<Attribution, String> {
    if !is_whole {
        return Err(format!("longer than {MAX_LINE} bytes"));
    }
    let value: Value = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    let capture = value.as_object().ok_or("not a JSON object")?;
    let evidence = capture::evidence(capture);
    Ok(match without {
        Some(product) => attribute_without(&evidence, product),
        None => attribute(&evidence),
    })
}

/// Reads a line without its end; `None` when there is none, `false` when it was too long and its rest was left out.
fn next_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<Option<bool>> {
    line.clear();
    let (mut is_there, mut is_whole) = (false, true);
    loop {
        let buffer = input.fill_buf()?;
        if buffer.is_empty() {
            return Ok(is_there.then_some(is_whole));
        }
        is_there = true;
        let end = buffer.iter().position(|&byte| byte == b'\n');
        let part = &buffer[..end.unwrap_or(buffer.len())];
        is_whole &= line.len() + part.len() <= MAX_LINE;
        if is_whole {
            line.extend_from_slice(part);
        }
        let used = part.len() + usize::from(end.is_some());
        input.consume(used);
        if end.is_some() {
            return Ok(Some(is_whole));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(input: &str) -> (Vec<Value>, u64) {
        let (mut out, mut bad) = (Vec::new(), Bad::default());
        each_line(input.as_bytes(), &mut out, None, &mut bad).unwrap();
        let out = String::from_utf8(out).unwrap();
        let lines = out.lines().map(|line| serde_json::from_str(line).unwrap());
        (lines.collect(), bad.count)
    }

    #[test]
    fn every_line_has_its_line_also_one_that_is_no_capture() {
        let long = format!("{{\"body_prefix\":\"{}\"}}", "x".repeat(MAX_LINE));
        let input = format!(
            "{{\"status\":200,\"mode\":\"direct\"}}\nno json\n\n[1]\n{long}\n{{\"status\":\"odd\"}}"
        );
        let (lines, bad) = said(&input);
        assert_eq!((lines.len(), bad), (6, 4));
        assert_eq!(lines[0]["fault"], "nobody");
        assert!(
            lines[1..5].iter().all(|line| line["error"].is_string()),
            "{lines:?}"
        );
        assert_eq!(lines[5]["fault"], "unknown");
        for field in [
            "producer",
            "fault",
            "cause",
            "confidence",
            "action",
            "evidence",
        ] {
            assert!(lines[0].get(field).is_some(), "no {field}");
        }
    }

    #[test]
    fn nothing_gives_nothing() {
        assert_eq!(said(""), (Vec::new(), 0));
    }
}
