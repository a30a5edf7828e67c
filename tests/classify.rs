//! Does `neap classify` name the culprit of captured answers?

use std::io::Write;
use std::process::Stdio;

use serde_json::{Map, Value, json};

use crate::support::{Place, Said, root};

/// Runs `neap classify` over lines of input.
fn classify(arguments: &[&str], input: String) -> Said {
    let place = Place::new();
    let mut command = place.command(&[&["classify"], arguments].concat());
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let said = child.wait_with_output().unwrap().into();
    // Who refuses its arguments does not read.
    let _ = writer.join().unwrap();
    said
}

fn verdicts(said: &Said) -> Vec<Map<String, Value>> {
    let lines = said
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    lines.collect()
}

fn lines(captures: &[Value]) -> String {
    captures
        .iter()
        .map(|capture| format!("{capture}\n"))
        .collect()
}

#[test]
fn captures_are_judged_with_the_fields_that_a_client_sees() {
    let text = std::fs::read_to_string(root().join("tests/captures.jsonl")).unwrap();
    let captures: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let said = classify(&[], text).expect(0);
    let verdicts = verdicts(&said);
    assert_eq!(verdicts.len(), captures.len());
    for (capture, verdict) in captures.iter().zip(verdicts) {
        let told = ["producer", "fault", "cause"].map(|name| verdict[name].as_str().unwrap());
        assert_eq!(
            told.join(" "),
            capture["expect"].as_str().unwrap(),
            "{capture}\n{verdict:?}"
        );
        let confidence = verdict["confidence"].as_f64().unwrap();
        assert!((0.0..=1.0).contains(&confidence), "{verdict:?}");
        assert!(verdict["action"].is_string(), "{verdict:?}");
        assert!(
            !verdict["evidence"].as_array().unwrap().is_empty(),
            "{verdict:?}"
        );
    }
}

#[test]
fn verdicts_come_a_line_a_line_and_in_order() {
    let capture =
        |status: usize| json!({"mode": "direct", "status": 500 + status % 5, "headers": []});
    let captures: Vec<Value> = (0..20_000).map(capture).collect();
    let said = classify(&[], lines(&captures)).expect(0);
    let verdicts = verdicts(&said);
    assert_eq!(verdicts.len(), captures.len());
    for (capture, verdict) in captures.iter().zip(verdicts) {
        let reasons = verdict["evidence"].as_array().unwrap();
        let status = json!(format!("HTTP {}", capture["status"]));
        assert!(reasons.contains(&status), "{capture}: {verdict:?}");
    }
}

#[test]
fn a_line_that_is_no_capture_is_said_so_in_its_place_and_by_the_exit_code() {
    let input = "{\"status\":502}\nnonsense\n{\"status\":404}\n".to_owned();
    let said = classify(&[], input).expect(2);
    let verdicts = verdicts(&said);
    assert_eq!(verdicts.len(), 3);
    assert!(verdicts[0].contains_key("fault") && verdicts[2].contains_key("fault"));
    assert_eq!(verdicts[1].keys().collect::<Vec<_>>(), ["error"]);
    assert!(
        said.err.contains("1 of 3 lines") && said.err.contains("line 2"),
        "{}",
        said.err
    );
}

#[test]
fn a_product_that_is_not_known_cannot_be_left_out() {
    let said = classify(&["--without", "ngins"], String::new()).expect(2);
    assert!(
        said.err.contains("`ngins`") && said.err.contains("nginx"),
        "{}",
        said.err
    );
    let page = "<center><h1>404 Not Found</h1></center><hr><center>nginx</center>";
    let capture = json!({"mode": "direct", "status": 404, "body_prefix": page,
                         "headers": [["Content-Type", "text/html"]]});
    let reason = |arguments: &[&str]| {
        let said = classify(arguments, lines(std::slice::from_ref(&capture))).expect(0);
        verdicts(&said)[0]["evidence"][0]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert!(reason(&[]).starts_with("the page of a gateway"));
    assert!(!reason(&["--without", "nginx"]).starts_with("the page of a gateway"));
}

/// Captures of many real gateways and proxies, with labels that the executable does not get to see.
#[test]
fn real_gateways_are_judged_as_well_as_was_promised() {
    let Some(folder) = std::env::var_os("NEAP_GATEWAYS") else {
        eprintln!("NEAP_GATEWAYS is not set: captures of real gateways are skipped");
        return;
    };
    let path = std::path::Path::new(&folder).join("gateways-open.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    let labels: Vec<Map<String, Value>> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let unlabelled = labels.iter().map(|capture| {
        let mut capture = capture.clone();
        for label in [
            "gateway",
            "role",
            "fault",
            "truth_label",
            "fault_at",
            "cause",
            "id",
            "truncated",
            "silent_corruption",
        ] {
            capture.remove(label);
        }
        Value::Object(capture)
    });
    let said = classify(&[], lines(&unlabelled.collect::<Vec<_>>())).expect(0);
    let verdicts = verdicts(&said);
    let is_right = |at: usize| verdicts[at]["fault"] == labels[at]["fault_at"];
    let of = |fault: &str| -> Vec<usize> {
        let all = labels.iter().enumerate();
        all.filter(|(_, label)| label["fault_at"] == fault)
            .map(|(at, _)| at)
            .collect()
    };
    let failing: Vec<usize> = (0..labels.len())
        .filter(|at| labels[*at]["fault_at"] != "nobody")
        .collect();
    let right = failing.iter().filter(|at| is_right(**at)).count();
    assert!(
        right * 100 >= failing.len() * 99,
        "fault: {right} of {}",
        failing.len()
    );
    assert!(
        of("host")
            .iter()
            .all(|at| verdicts[*at]["fault"] != "proxy"),
        "a host's fault was the proxy's"
    );
    assert!(
        of("own_credentials").iter().all(|at| is_right(*at)),
        "credentials were not found"
    );
    let proxy = of("proxy").iter().filter(|at| is_right(**at)).count();
    assert!(
        proxy * 10 >= of("proxy").len() * 7,
        "proxy: {proxy} of {}",
        of("proxy").len()
    );
    let sure = |at: &usize| verdicts[*at]["confidence"].as_f64() >= Some(0.9) && !is_right(*at);
    let wrong = (0..labels.len()).filter(sure).count();
    assert!(wrong * 200 <= labels.len(), "{wrong} sure and wrong");
}
