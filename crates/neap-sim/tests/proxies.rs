//! Are bad proxies found within 300 requests, and good ones left in peace?

use neap_sim::proxies::{MIXES, Score, score};

/// Seeds that nothing was tuned on.
fn run(name: &str) -> Score {
    let mix = MIXES
        .iter()
        .find(|mix| mix.name == name)
        .expect("the mix is there");
    let seeds: Vec<u64> = (5000..5030).collect();
    score(mix, &seeds)
}

#[test]
fn bad_proxies_are_found_and_good_ones_left_in_peace() {
    for (name, found, accused) in [
        ("rotation", 0.95, 0.1),
        ("sticky", 0.93, 0.2),
        ("few", 0.95, 0.1),
        ("many_bad", 0.95, 0.1),
        ("hot_host", 0.90, 0.1),
    ] {
        let score = run(name);
        assert!(score.found_of_used[0] >= found, "{score:?}");
        assert!(score.found_of_used[1] >= 0.90, "{score:?}");
        assert!(score.accused[0] <= accused, "{score:?}");
    }
}

#[test]
fn where_nothing_is_bad_nobody_is_accused_and_hardly_anything_is_asked() {
    let score = run("nothing_bad");
    assert!(score.accused[2] <= 0.05 && score.probes <= 8.0, "{score:?}");
}

#[test]
fn what_a_bad_proxy_fails_is_hardly_ever_charged_to_a_host() {
    let score = run("many_bad");
    assert!(
        score.hosts_charged <= 1.0 && score.wasted <= 60.0,
        "{score:?}"
    );
}
