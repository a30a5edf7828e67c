//! Does a crawl of a server that tries everything end as it should, case by case and all at once?
//!
//! `hostile/cases.jsonl` says of each case what the server sends and what must become of it. Each has a host of its own,
//! so that none is judged by another.

mod table;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use neap_testkit::hostile::{Bounds, Hostile};

use crate::support::gate::Gate;
use crate::support::{Place, Running, load};
use table::{Case, cases};

/// Cases that are crawled at the same time: most of the time of most of them is waiting.
const AT_ONCE: usize = 6;

/// What holds for some hosts: whether their robots file is asked for (where a host cannot be reached at all, that would be
/// what fails, and not the page), and for how many seconds of silence the slow ones are waited for, which a test needs not do
/// as long as a crawl.
const SPECIAL: [(&str, &str, u32); 6] = [
    ("slow-*", "off", 2),
    ("dns-silence", "off", 2),
    ("robots-silent", "obey", 2),
    ("dns-*", "off", 20),
    ("tls-*", "off", 20),
    ("t-refusing", "off", 20),
];

/// A job over some cases, in the scope of the first of them.
fn job(name: &str, cases: &[&Case], hostile: &Hostile, place: &Place) -> String {
    let list = |is_sitemap: bool| {
        let of_kind = cases.iter().filter(|case| case.is_sitemap() == is_sitemap);
        let urls: Vec<String> = of_kind
            .map(|case| format!("'{}'", case.url(hostile)))
            .collect();
        urls.join(",\n")
    };
    place.write("ca.pem", &hostile.authority().pem());
    let mut text = format!(
        "neap = 1\nname = '{name}'\n[input]\nurls = [{}]\nsitemaps = [{}]\n[crawl]\nscope = '{}'\nsitemaps = false\n\
         [identity]\ncookies = true\n[request]\nname_servers = ['{}']\nca_file = 'ca.pem'\n\
         max_body = '4MiB'\nredirects = 5\n[retry]\nattempts = 2\nbase = '1ms'\nmax = '10ms'\nretry_after_max = '1s'\n\
         [adaptive]\ngive_up_after = '1s'\n",
        list(false),
        list(true),
        cases[0].scope(),
        hostile.names().address(),
    );
    for (hosts, robots, seconds) in SPECIAL {
        text += &format!(
            "[[host]]\nmatch = '{hosts}.hostile.internal'\nrobots = {{ mode = '{robots}' }}\n\
             request = {{ connect_timeout = '{seconds}s', read_timeout = '{seconds}s', total_timeout = '{}s' }}\n",
            2 * seconds
        );
    }
    text
}

fn hostile() -> Hostile {
    let bounds = Bounds {
        bytes: 1 << 30,
        ..Bounds::default()
    };
    Hostile::builder().bounds(bounds).start().unwrap()
}

/// Crawls one case alone; what is not as the table says.
fn crawl(case: &Case, hostile: &Hostile) -> Vec<String> {
    let (place, trapped) = (Place::new(), hostile.trapped());
    place.write("job.toml", &job("one", &[case], hostile, &place));
    let said = place.neap(&["run", "job.toml"]);
    if !matches!(said.code, Some(0 | 3)) {
        return vec![format!(
            "{} ended with {:?}: {}",
            case.name, said.code, said.err
        )];
    }
    let mut wrong = case.differences(&place, hostile);
    if hostile.trapped() > trapped {
        wrong.push(format!("{} took the bait", case.name));
    }
    wrong
}

#[test]
fn each_hostile_case_ends_as_the_table_says() {
    let _busy = load::busy();
    let (all, next, wrong) = (cases(), AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                let hostile = hostile();
                while let Some(case) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let found = crawl(case, &hostile);
                    wrong.lock().unwrap().extend(found);
                }
            });
        }
    });
    expect_none(&wrong.into_inner().unwrap(), all.len());
}

/// Fails the test with all that is not as the table says.
#[track_caller]
fn expect_none(wrong: &[String], of: usize) {
    let (count, list) = (wrong.len(), wrong.join("\n"));
    assert!(wrong.is_empty(), "{count} of {of}:\n{list}");
}

/// Waits until all that is left of a run is what waits at a gate.
#[track_caller]
fn wait_for_gate(place: &Place, run: &mut Running) {
    while place.number("SELECT count(*) FROM open_requests") > 1 {
        assert!(!run.has_ended(), "it has not come to the gate");
    }
}

/// Most memory of a run of everything at once: what a run of nothing takes, the budget of bodies in flight as far as they
/// are allowed here, and what pages and sitemaps are while they are read.
const MOST_KIB: u64 = 256 << 10;

#[test]
fn all_hostile_cases_at_once_end_as_the_table_says_and_in_little_memory() {
    let _busy = load::busy();
    let (hostile, all, place, gate) = (hostile(), cases(), Place::new(), Gate::shut());
    for scope in ["page", "host"] {
        let of_scope: Vec<&Case> = all.iter().filter(|case| case.scope() == scope).collect();
        assert!(of_scope.len() > 10, "{scope}");
        let text = job(scope, &of_scope, &hostile, &place);
        place.write("job.toml", &text);
        place.neap(&["submit", "job.toml"]).expect(0);
    }
    place.write(
        "gate.toml",
        &format!(
            "neap = 1\n[input]\nurls = ['{}']\n[request]\nread_timeout = '1h'\ntotal_timeout = '1h'\n",
            gate.url()
        ),
    );
    place.neap(&["submit", "gate.toml"]).expect(0);
    let mut run = place.start(&["resume"]);
    wait_for_gate(&place, &mut run);
    let peak = run.peak_kib();
    gate.open();
    run.wait().expect(0);
    println!("at most {} MiB", peak >> 10);
    assert!(peak < MOST_KIB, "{} MiB", peak >> 10);
    let wrong: Vec<String> = all
        .iter()
        .flat_map(|case| case.differences(&place, &hostile))
        .collect();
    expect_none(&wrong, all.len());
    assert_eq!(hostile.trapped(), 0, "somebody took the bait");
    place.check_invariants();
}
