//! How far is the run? On a terminal a few lines that are redrawn, elsewhere a line now and then.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use neap_core::classify::Fault;
use neap_core::limiter::State;
use neap_core::scheduler::{Hold, Wake};
use neap_runner::{HostLine, Progress, Standstill};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::{bytes, clock, grouped, short};
use crate::cli::{Global, ProgressMode};
use crate::print::escape::for_terminal;

/// Time between two lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);
/// Time between two JSON objects.
const JSON_EVERY: Duration = Duration::from_secs(1);
/// Hosts named below the bar.
const HOSTS_SHOWN: usize = 3;

/// Something that shows the progress until the run ends.
#[derive(Debug)]
pub(crate) struct Shown(JoinHandle<()>);

impl Shown {
    /// Waits until the last of it is shown; the run has ended, so there is no more to come.
    pub(crate) async fn end(self) {
        // It cannot fail but by a panic, which has been reported and concerns nothing else.
        let _ = self.0.await;
    }
}

/// Shows the progress of a run on standard error, as the command line wants it.
pub(crate) fn show(global: &Global, title: &str, progress: watch::Receiver<Progress>) -> Shown {
    let title = title.to_owned();
    Shown(match mode(global) {
        ProgressMode::Bar => tokio::spawn(bar(title, progress)),
        ProgressMode::Json => tokio::spawn(json(title, progress)),
        ProgressMode::Line => tokio::spawn(lines(title, progress)),
        ProgressMode::None | ProgressMode::Auto => tokio::spawn(async {}),
    })
}

fn mode(global: &Global) -> ProgressMode {
    match global.progress {
        ProgressMode::Auto if global.quiet > 0 => ProgressMode::None,
        ProgressMode::Auto if std::io::stderr().is_terminal() => ProgressMode::Bar,
        ProgressMode::Auto => ProgressMode::Line,
        said @ (ProgressMode::Bar
        | ProgressMode::Line
        | ProgressMode::Json
        | ProgressMode::None) => said,
    }
}

async fn bar(title: String, mut progress: watch::Receiver<Progress>) {
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr_with_hz(10));
    let template = "{prefix}\n[{bar:50}] {msg}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("█▌ "));
    }
    while progress.changed().await.is_ok() {
        let now = progress.borrow_and_update().clone();
        bar.set_length(now.known.max(1));
        bar.set_position(now.closed);
        bar.set_prefix(format!(
            " {title}  {}{}   ^C drains · ^C^C aborts",
            clock(now.elapsed),
            eta(&now)
                .map(|left| format!("  about {} left", clock(left)))
                .unwrap_or_default(),
        ));
        let mut message = counts(&now);
        if let Some(standstill) = &now.standstill {
            message.push_str(&format!("\n {}", standstill_line(standstill)));
        }
        if let Some(line) = paused_line(&now) {
            message.push_str(&format!("\n {line}"));
        }
        for host in now.hosts.iter().take(HOSTS_SHOWN) {
            message.push_str(&format!("\n {}", host_line(host)));
        }
        bar.set_message(message);
    }
    bar.finish_and_clear();
}

async fn lines(title: String, mut progress: watch::Receiver<Progress>) {
    let mut next = Instant::now() + LINE_EVERY;
    while progress.changed().await.is_ok() {
        let now = progress.borrow_and_update().clone();
        if Instant::now() < next {
            continue;
        }
        next += LINE_EVERY;
        let held = now.hosts.first().filter(|host| host.state != State::Steady);
        let paused = paused_line(&now);
        let held = match (&now.standstill, held) {
            _ if paused.is_some() => format!("  {}", paused.unwrap_or_default()),
            (Some(standstill), _) => format!("  {}", standstill_line(standstill)),
            (None, Some(host)) => format!("  {}", host_line(host)),
            (None, None) => String::new(),
        };
        say!("{title} {} {}{held}", clock(now.elapsed), counts(&now));
    }
}

async fn json(title: String, mut progress: watch::Receiver<Progress>) {
    let mut next = Instant::now();
    while progress.changed().await.is_ok() {
        let now = progress.borrow_and_update().clone();
        if Instant::now() < next {
            continue;
        }
        next += JSON_EVERY;
        let event = serde_json::json!({
            "event": "progress", "v": 1, "job": title, "elapsed_s": now.elapsed.as_secs_f64(),
            "done": now.closed, "total": now.known, "rate": rate(&now),
            "eta_s": eta(&now).map(|left| left.as_secs()), "in_flight": now.in_flight,
            "retry_waiting": now.waiting, "failed": now.failed, "causes": now.causes, "page_causes": now.page_causes,
            "bad_gateways": now.bad_gateways,
            "paused": now.paused,
            "standstill": now.standstill.as_ref().map(standstill_line),
        });
        say!("{event}");
    }
}

fn counts(now: &Progress) -> String {
    format!(
        "{}/{}  {:.1}/s  in flight {}  waiting {}  pages {}  failed {}  502 {}  {} in",
        grouped(now.closed),
        grouped(now.known),
        rate(now),
        now.in_flight,
        grouped(now.waiting),
        grouped(now.pages),
        grouped(now.failed),
        bad_gateways(&now.bad_gateways),
        bytes(now.bytes),
    )
}

/// How many answers were 502, and whose fault they were if not all were the host's: `611 (410 proxy, 13 unknown)`.
fn bad_gateways(by_fault: &BTreeMap<&'static str, u64>) -> String {
    let all = grouped(by_fault.values().sum());
    let host = Fault::Host.as_str();
    let others = by_fault.iter().filter(|(fault, _)| **fault != host);
    let others: Vec<String> = others
        .map(|(fault, count)| format!("{} {fault}", grouped(*count)))
        .collect();
    if others.is_empty() {
        all
    } else {
        format!("{all} ({})", others.join(", "))
    }
}

fn host_line(host: &HostLine) -> String {
    let wait = host
        .wait
        .map(|wait| format!(", next in {}", short(wait)))
        .unwrap_or_default();
    let state = match host.state {
        State::Steady => String::new(),
        State::OnlyProbed { .. } => format!("  only probed{wait}"),
        State::Held { .. } => format!("  asked for a pause{wait}"),
    };
    format!(
        "{}  limit {:.1}  in flight {}{state}",
        for_terminal(&host.name),
        host.limit,
        host.in_flight
    )
}

/// Why the run does nothing but wait: `every host is held: next probe of https://a.example in 3.0 s`.
fn standstill_line(standstill: &Standstill) -> String {
    let host = for_terminal(standstill.host.as_deref().unwrap_or("a host"));
    let wait = match standstill.wait {
        wait if wait < Duration::from_secs(60) => short(wait),
        wait => clock(wait),
    };
    let held = |what: String| format!("every host is held: {what} in {wait}");
    match standstill.wake {
        Wake::Host(_, Hold::Probe) => held(format!("next probe of {host}")),
        Wake::Host(_, Hold::Pause) => held(format!("the pause that {host} asked for ends")),
        Wake::Host(_, Hold::Robots) => held(format!("robots.txt of {host} is asked for again")),
        Wake::Host(_, Hold::Pace | Hold::Budget) => held(format!("next request to {host}")),
        Wake::RetryDue => format!("every request waits to be asked again: the next one in {wait}"),
        Wake::Proxies(_) => {
            format!("every proxy is left alone: the next one is tried again in {wait}")
        }
        Wake::Network => {
            format!("our own network seems to be down: it is looked at again in {wait}")
        }
    }
}

/// That the run does nothing since its jobs are paused: `paused: prices; neap continue prices goes on`.
fn paused_line(now: &Progress) -> Option<String> {
    let first = now.paused.first()?;
    let names = now.paused.join(", ");
    Some(format!("paused: {names}; `neap continue {first}` goes on"))
}

/// Exchanges a second, over the whole run.
fn rate(now: &Progress) -> f64 {
    now.exchanges as f64 / now.elapsed.as_secs_f64().max(0.001)
}

/// The time that is left, if the run goes on as it did and finds nothing more.
fn eta(now: &Progress) -> Option<Duration> {
    let left = now.known.saturating_sub(now.closed) as f64;
    let rate = rate(now);
    (rate > 0.0 && left > 0.0).then(|| Duration::from_secs_f64((left / rate).min(1e7)))
}

#[cfg(test)]
mod tests {
    use neap_core::HostId;

    use super::*;

    #[test]
    fn bad_gateways_are_split_where_not_all_are_the_hosts() {
        for (counts, expected) in [
            (vec![], "0"),
            (vec![("host", 188)], "188"),
            (
                vec![("host", 188), ("proxy", 1410), ("unknown", 13)],
                "1,611 (1,410 proxy, 13 unknown)",
            ),
        ] {
            assert_eq!(bad_gateways(&counts.into_iter().collect()), expected);
        }
    }

    #[test]
    fn a_standstill_says_what_is_waited_for() {
        let line = |wake, seconds| {
            standstill_line(&Standstill {
                wake,
                host: Some("https://a.example".to_owned()),
                wait: Duration::from_secs(seconds),
            })
        };
        let host = |hold| Wake::Host(HostId(1), hold);
        for (wake, seconds, expected) in [
            (
                host(Hold::Probe),
                3,
                "every host is held: next probe of https://a.example in 3.0 s",
            ),
            (
                host(Hold::Pause),
                5025,
                "every host is held: the pause that https://a.example asked for ends in 01:23:45",
            ),
            (
                host(Hold::Robots),
                9,
                "every host is held: robots.txt of https://a.example is asked for again in 9.0 s",
            ),
            (
                Wake::RetryDue,
                2,
                "every request waits to be asked again: the next one in 2.0 s",
            ),
        ] {
            assert_eq!(line(wake, seconds), expected);
        }
    }
}
