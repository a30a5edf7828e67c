//! Is neap's limiter better than those that others use, on every kind of host?
//!
//! Each family of hosts is run with neap and with a fixed limit, Netflix' AIMD and Netflix' Gradient2. What a
//! limiter costs is the share of good answers it missed, and its failures for each good answer: a page that
//! was not fetched and a request that was refused count alike. Hammering gets more than the best gentle limit does,
//! which counts as nothing missed.

use std::path::Path;

use neap_sim::algorithm::Choice;
use neap_sim::client::Rules;
use neap_sim::measure::judge;
use neap_sim::oracle::{Best, best_per_phase};
use neap_sim::scenario::{Scenario, read};

const BASELINES: [Choice; 3] = [Choice::Fixed(64), Choice::Aimd, Choice::Gradient2];
/// Of neap, whose runs differ more from each other than theirs do.
const SEEDS: [u64; 5] = [4001, 4002, 4003, 4004, 4005];
/// Hosts that do not change are run so many seconds at least: they are the same after it as before.
const SECONDS: f64 = 60.0;
/// ... and for so many answers of a worker, or the start would count for more than in a crawl.
const ANSWERS: f64 = 400.0;
/// Where one of the others happens to suit a host, and how much dearer neap may be: hosts that never refuse anything, but
/// let requests wait. There a limit that is far too high costs nothing that is counted here.
const SUITED: [(&str, Choice, f64); 4] = [
    ("queue_only", Choice::Fixed(64), 0.12),
    ("queue_only", Choice::Gradient2, 0.12),
    ("queue_only", Choice::Aimd, 0.08),
    ("two_milliseconds", Choice::Gradient2, 0.05),
];

fn families(names: &[&str]) -> Vec<Scenario> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/families.toml");
    let all = read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut chosen = Vec::new();
    for mut scenario in all {
        if names.contains(&scenario.name.as_str()) {
            if scenario.phases.len() == 1 {
                let enough = SECONDS.max(ANSWERS * scenario.phases[0].origin.service_mean);
                scenario.duration = scenario.duration.min(enough);
            }
            chosen.push(scenario);
        }
    }
    assert_eq!(
        chosen.len(),
        names.len(),
        "{names:?} are in {}",
        path.display()
    );
    chosen
}

fn cost(scenario: &Scenario, best: &[Best], choice: Choice, seeds: &[u64]) -> f64 {
    let score = judge(scenario, best, choice, Rules::Own, seeds, false).expect("it ends");
    1.0 - score.ratio.min(1.0) + score.wasted_per_1000 / 1000.0
}

/// Asserts that neap costs less than each of the others, save where that suits the host.
fn assert_cheapest(names: &[&str]) {
    for scenario in families(names) {
        let best = best_per_phase(&scenario, Rules::Own).expect("it ends");
        let neap = cost(&scenario, &best, Choice::Neap, &SEEDS);
        for baseline in BASELINES {
            let other = cost(&scenario, &best, baseline, &SEEDS[..1]);
            let suited = SUITED
                .iter()
                .find(|(name, choice, _)| *name == scenario.name && *choice == baseline);
            let allowed = suited.map_or(0.0, |(_, _, dearer)| *dearer);
            assert!(
                neap < other + allowed,
                "{}: neap costs {neap:.3}, {baseline} {other:.3}",
                scenario.name
            );
        }
    }
}

#[test]
fn hosts_with_slots_are_used_better() {
    assert_cheapest(&["small", "large", "heavy_tail", "instant_refusals"]);
}

#[test]
fn noise_is_borne_better() {
    assert_cheapest(&[
        "noise_2pct",
        "noise_6pct",
        "poison_5pct",
        "one_bad_proxy_of_5",
    ]);
}

#[test]
fn hosts_that_break_under_load_are_treated_better() {
    assert_cheapest(&["thrashing_504", "slow_504", "collapsing"]);
}

#[test]
fn queues_are_filled_about_as_well() {
    assert_cheapest(&["queue_only", "two_milliseconds"]);
}

#[test]
fn rates_are_kept_better() {
    assert_cheapest(&["rate_429_retry_after", "rate_429_plain", "rate_503_plain"]);
}

#[test]
fn changes_and_outages_are_followed_better() {
    assert_cheapest(&["weaker_then_stronger", "flapping", "dead_90s"]);
}
