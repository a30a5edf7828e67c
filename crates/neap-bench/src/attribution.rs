//! How often is the right culprit named, over captured answers whose culprit is known?
//!
//! The labels stay here: `neap classify` gets each capture without them, as a client would have seen it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::Args;
use miette::{Context, IntoDiagnostic, Result, miette};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::pages::built;

/// The measures, as columns.
pub(crate) const COLUMNS: [&str; 5] = ["measure", "right", "of", "share", "goal"];

/// Fields of a capture that a client sees. Everything else says what was really the matter.
const SEEN: [&str; 22] = [
    "mode",
    "raw_proxy_used",
    "status",
    "status_line",
    "headers",
    "body_prefix",
    "body_len",
    "body_complete",
    "connect",
    "socks_reply",
    "error",
    "stage",
    "elapsed_ms",
    "first_byte_ms",
    "connection_closed",
    "close_how",
    "close_delimited",
    "raw_prefix",
    "parse_error",
    "peer_cert_sha_prefix",
    "tls_alert",
    "peer_cert_issuer",
];

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Captures with labels, as JSON Lines.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Score as if the pages of this product were not known.
    #[arg(long, value_name = "PRODUCT")]
    without: Option<String>,
    /// Show each capture that was judged wrong.
    #[arg(long)]
    wrong: bool,
    /// The neap executable. Default: the one beside this program, built if cargo runs it.
    #[arg(long)]
    neap: Option<PathBuf>,
}

/// One measure.
#[derive(Debug, Serialize)]
pub(crate) struct Measure {
    measure: &'static str,
    right: usize,
    of: usize,
    share: Option<f64>,
    goal: &'static str,
}

/// One capture: what was the matter, and what was said of it.
struct Judged {
    labels: Map<String, Value>,
    verdict: Map<String, Value>,
}

/// Runs `neap classify` over the captures and compares.
pub(crate) fn run(options: &Options) -> Result<Vec<Measure>> {
    let neap = match &options.neap {
        Some(neap) => neap.clone(),
        None => built()?,
    };
    let judged = judge(&neap, options)?;
    if options.wrong {
        judged
            .iter()
            .filter(|one| one.is_wrong())
            .for_each(Judged::tell);
    }
    let is_wild = judged.iter().any(|one| one.label("gateway") == "wild");
    Ok(if is_wild {
        walls(&judged)
    } else {
        culprits(&judged)
    })
}

fn judge(neap: &Path, options: &Options) -> Result<Vec<Judged>> {
    let file = &options.file;
    let text = std::fs::read_to_string(file).into_diagnostic();
    let text = text.wrap_err_with(|| format!("cannot read {}", file.display()))?;
    let mut captures = Vec::new();
    for line in text.lines() {
        let capture: Map<String, Value> = serde_json::from_str(line).into_diagnostic()?;
        captures.push(capture);
    }
    let verdicts = classify(neap, &captures, options.without.as_deref())?;
    if verdicts.len() != captures.len() {
        let (given, got) = (captures.len(), verdicts.len());
        return Err(miette!("{given} captures, but {got} verdicts"));
    }
    let pairs = captures.into_iter().zip(verdicts);
    Ok(pairs
        .map(|(labels, verdict)| Judged { labels, verdict })
        .collect())
}

fn classify(
    neap: &Path,
    captures: &[Map<String, Value>],
    without: Option<&str>,
) -> Result<Vec<Map<String, Value>>> {
    let mut input = String::new();
    for capture in captures {
        let mut seen = capture.clone();
        seen.retain(|name, _| SEEN.contains(&name.as_str()));
        input.push_str(&Value::Object(seen).to_string());
        input.push('\n');
    }
    let without = without.iter().flat_map(|name| ["--without", *name]);
    let mut child = Command::new(neap)
        .arg("classify")
        .args(without)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .into_diagnostic()?;
    let mut stdin = child.stdin.take().expect("it is piped");
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().into_diagnostic()?;
    writer
        .join()
        .expect("writing does not panic")
        .into_diagnostic()?;
    if !output.status.success() {
        return Err(miette!("neap classify ended with {}", output.status));
    }
    let text = String::from_utf8(output.stdout).into_diagnostic()?;
    text.lines()
        .map(|line| serde_json::from_str(line).into_diagnostic())
        .collect()
}

/// Who is blamed for failures.
fn culprits(judged: &[Judged]) -> Vec<Measure> {
    let of_host = |one: &Judged| one.label("fault_at") == "host";
    let of_proxy = |one: &Judged| one.label("fault_at") == "proxy";
    let of_us = |one: &Judged| one.label("fault_at") == "own_credentials";
    let names_proxy = |one: &Judged| one.said("fault") == "proxy";
    let is_sure_and_wrong = |one: &Judged| {
        one.verdict["confidence"]
            .as_f64()
            .is_some_and(|sure| sure >= 0.9)
            && !one.has_right_fault()
    };
    vec![
        share(
            "fault right, of failing records",
            judged,
            Judged::is_failure,
            Judged::has_right_fault,
            ">= .99",
        ),
        share(
            "producer right, custom pages left out",
            judged,
            |one| !one.is_custom_page(),
            Judged::has_right_producer,
            ">= .95",
        ),
        share(
            "host's fault blamed on the proxy",
            judged,
            of_host,
            names_proxy,
            "0",
        ),
        share(
            "own credentials found",
            judged,
            of_us,
            Judged::has_right_fault,
            "1",
        ),
        share(
            "confidence >= .9 and fault wrong",
            judged,
            |_| true,
            is_sure_and_wrong,
            "<= .005",
        ),
        share(
            "proxy's fault found in one response",
            judged,
            of_proxy,
            names_proxy,
            ">= .7",
        ),
        share(
            "visible corruption taken for success",
            judged,
            Judged::is_visibly_corrupt,
            Judged::is_accepted,
            "0",
        ),
        share(
            "refused CONNECT taken for the host's answer",
            judged,
            Judged::is_refused_connect,
            |one| !one.is_proxys_word(),
            "0",
        ),
        share(
            "success taken for a failure",
            judged,
            |one| !one.is_failure(),
            |one| one.said("fault") != "nobody",
            "0",
        ),
    ]
}

/// Which walls for robots are recognised.
fn walls(judged: &[Judged]) -> Vec<Measure> {
    let is_wall = |one: &Judged| {
        let cause = one.label("cause");
        [
            "challenge",
            "waf_block",
            "challenge_or_block",
            "block_as_502",
        ]
        .contains(&cause)
    };
    let names_wall = |one: &Judged| ["challenge", "block"].contains(&one.said("cause"));
    vec![
        share(
            "block or challenge found",
            judged,
            is_wall,
            names_wall,
            ">= .9",
        ),
        share(
            "harmless header called a block",
            judged,
            |one| !is_wall(one),
            names_wall,
            "0",
        ),
    ]
}

fn share(
    measure: &'static str,
    judged: &[Judged],
    counts: impl Fn(&Judged) -> bool,
    is_hit: impl Fn(&Judged) -> bool,
    goal: &'static str,
) -> Measure {
    let counted: Vec<&Judged> = judged.iter().filter(|one| counts(one)).collect();
    let right = counted.iter().filter(|one| is_hit(one)).count();
    let of = counted.len();
    Measure {
        measure,
        right,
        of,
        share: (of > 0).then(|| right as f64 / of as f64),
        goal,
    }
}

impl Judged {
    fn label(&self, name: &str) -> &str {
        self.labels
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    fn said(&self, name: &str) -> &str {
        self.verdict
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    fn is_failure(&self) -> bool {
        self.label("fault_at") != "nobody"
    }

    fn has_right_fault(&self) -> bool {
        self.said("fault") == self.label("fault_at")
    }

    fn has_right_producer(&self) -> bool {
        self.said("producer") == self.label("truth_label")
    }

    /// Whether a gateway shows a page that its site configured: nobody can tell that from the application's.
    fn is_custom_page(&self) -> bool {
        let gateway = self.label("gateway");
        let has_own_pages = gateway.contains("custom") || gateway.contains("intercept");
        has_own_pages && self.label("truth_label") == "origin_gateway"
    }

    /// Whether a 200 was cut or damaged, and the capture shows it: it is incomplete, or empty, or has no content type.
    fn is_visibly_corrupt(&self) -> bool {
        let flag = |name: &str| self.labels.get(name).and_then(Value::as_bool) == Some(true);
        let is_damaged = flag("truncated") || flag("silent_corruption");
        let headers = self.labels.get("headers").and_then(Value::as_array);
        let is_type = |pair: &Value| {
            let name = pair.get(0).and_then(Value::as_str);
            name.is_some_and(|name| name.eq_ignore_ascii_case("content-type"))
        };
        let has_type = headers.is_some_and(|headers| headers.iter().any(is_type));
        let is_empty = self.labels.get("body_len").and_then(Value::as_u64) == Some(0);
        let is_success = self.labels.get("status").and_then(Value::as_u64) == Some(200);
        is_success && is_damaged && (!flag("body_complete") || !has_type || is_empty)
    }

    fn is_accepted(&self) -> bool {
        self.said("fault") == "nobody"
    }

    fn is_refused_connect(&self) -> bool {
        let connect = self
            .labels
            .get("connect")
            .and_then(|connect| connect.get("status_line"));
        let status = connect
            .and_then(Value::as_str)
            .and_then(|line| line.split(' ').nth(1));
        status.is_some_and(|status| status.len() == 3 && !status.starts_with('2'))
    }

    fn is_proxys_word(&self) -> bool {
        self.said("producer") == "forward_proxy"
    }

    fn is_wrong(&self) -> bool {
        !self.has_right_fault() || (!self.has_right_producer() && !self.is_custom_page())
    }

    fn tell(&self) {
        let id = match self.label("id") {
            "" => self.label("source"),
            id => id,
        };
        let (cause, told) = (self.label("cause"), self.said("cause"));
        let because = self
            .verdict
            .get("evidence")
            .and_then(|reasons| reasons.get(0));
        println!(
            "{id}: {}/{}/{cause}, told {}/{}/{told} ({}): {}",
            self.label("truth_label"),
            self.label("fault_at"),
            self.said("producer"),
            self.said("fault"),
            self.verdict.get("confidence").unwrap_or(&Value::Null),
            because.and_then(Value::as_str).unwrap_or_default(),
        );
    }
}
