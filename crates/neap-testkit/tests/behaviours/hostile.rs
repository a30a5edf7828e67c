//! Does the hostile server answer the same for the same seed, end what is endless, and see what is sent to it?

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use neap_testkit::hostile::{Bounds, FAMILIES, Hostile};
use serde_json::Value;

use crate::client::Client;
use crate::running::Running;

/// What a request gets until its connection ends.
fn all(address: SocketAddr, host: &str, target: &str) -> Vec<u8> {
    let mut client = Client::connect_to(address);
    client.send(&format!(
        "GET {target} HTTP/1.1\r\nHost: {host}.hostile.internal\r\nConnection: close\r\n\r\n"
    ));
    client.rest().0
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_one_others() {
    let with = |seed: u64| Hostile::builder().seed(seed).start().unwrap();
    let (first, same, other) = (with(1), with(1), with(2));
    for target in [
        "/h/garbage",
        "/h/mutated?n=7",
        "/r/fan",
        "/trap/session",
        "/c/gzip-bomb?out=1M",
    ] {
        let of = |hostile: &Hostile| all(hostile.site().address(), "x", target);
        assert!(!of(&first).is_empty(), "{target}");
        assert_eq!(of(&first), of(&same), "{target}");
        if !target.starts_with("/c/") {
            assert_ne!(of(&first), of(&other), "{target}");
        }
    }
}

#[test]
fn what_has_no_end_ends_at_the_bounds() {
    let bounds = Bounds {
        bytes: 1 << 20,
        time: Duration::from_secs(1),
    };
    let hostile = Hostile::builder().bounds(bounds).start().unwrap();
    for (target, least) in [
        // A reset takes what was not read yet.
        ("/z/endless", 1),
        ("/z/header-endless", 1),
        ("/z/body?n=10G", 1),
        ("/t/silent", 0),
        ("/t/slow-header?bps=10", 0),
    ] {
        let got = all(hostile.site().address(), "x", target).len();
        assert!((least..(1 << 20) + 4096).contains(&got), "{target}: {got}");
    }
}

#[test]
fn statuses_come_in_turn_and_scenes_take_the_place_of_cases() {
    let hostile = Hostile::builder().start().unwrap();
    let at = hostile.site().address();
    let status = |host: &str, target: &str| {
        let bytes = all(at, host, target);
        String::from_utf8_lossy(&bytes[9..12]).into_owned()
    };
    let turns = [(); 3].map(|()| status("a", "/s/seq/502,503,200"));
    assert_eq!(turns, ["502", "503", "200"]);
    assert_eq!(
        status("b", "/s/seq/502,503,200"),
        "502",
        "each host has its own turns"
    );
    assert_eq!(status("a", "/_scene?plan=0-3600:/s/503"), "204");
    assert_eq!(status("a", "/ok"), "503");
    assert_eq!(status("b", "/ok"), "200");
    assert_eq!(status("a", "/_reset"), "204");
    assert_eq!(status("a", "/ok"), "200");
    assert_eq!(status("a", "/nothing/like/this"), "404");
}

#[test]
fn canaries_are_seen_and_told() {
    let hostile = Hostile::builder().start().unwrap();
    let mut client = Client::connect(hostile.site());
    client.send(
        "GET /ok HTTP/1.1\r\nHost: Shop.hostile.internal:80\r\nCookie: sid=SECRET-0af; x=1\r\n\r\n",
    );
    client.answer();
    let seen = hostile.sightings();
    assert_eq!(seen.len(), 1);
    assert_eq!(
        (
            &*seen[0].value,
            &*seen[0].host,
            &*seen[0].place,
            &*seen[0].target
        ),
        ("SECRET-0af", "shop.hostile.internal", "cookie", "/ok")
    );
    let stats: Value = serde_json::from_slice(&client.get("/_stats").body).unwrap();
    assert_eq!(stats["canaries"][0]["value"], "SECRET-0af");
    assert_eq!(stats["paths"]["/ok"], 1);
}

#[test]
fn the_executable_prints_its_ports_and_logs_what_it_was_asked() {
    let log = std::env::temp_dir().join(format!("neap-hostile-log-{}", std::process::id()));
    let mut child = Command::new(env!("CARGO_BIN_EXE_hostile"))
        .args(["--hosts", "2", "--log"])
        .arg(&log)
        .stdout(Stdio::piped())
        .spawn()
        .map(Running)
        .unwrap();
    let mut line = String::new();
    let mut out = BufReader::new(child.0.stdout.take().unwrap());
    out.read_line(&mut line).unwrap();
    let ports: Value = serde_json::from_str(&line).unwrap();
    let hosts = ports["http"].as_array().unwrap();
    assert_eq!(hosts.len(), 2);
    for host in hosts {
        let address = host.as_str().unwrap().parse().unwrap();
        assert!(all(address, "x", "/s/404").starts_with(b"HTTP/1.1 404"));
    }
    let written = std::fs::read_to_string(&log).unwrap();
    std::fs::remove_file(&log).unwrap();
    let lines: Vec<Value> = written
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 2, "{written}");
    for line in lines {
        assert_eq!(
            (&line["target"], &line["status"], &line["end"]),
            (&"/s/404".into(), &404.into(), &"answered".into())
        );
        assert!(line["sent"].as_u64().unwrap() > 20, "{line}");
    }
}

#[test]
fn help_names_every_family() {
    let said = Command::new(env!("CARGO_BIN_EXE_hostile"))
        .arg("--help")
        .output()
        .unwrap();
    let text = String::from_utf8(said.stdout).unwrap();
    assert!(said.status.success() && text.contains(FAMILIES), "{text}");
    let wrong = Command::new(env!("CARGO_BIN_EXE_hostile"))
        .args(["--hosts", "many"])
        .output()
        .unwrap();
    assert_eq!(wrong.status.code(), Some(2));
}
