//! Does the executable serve what it prints and lists?

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

use neap_testkit::Tree;

use crate::client::Client;
use crate::running::Running;

fn site() -> Command {
    Command::new(env!("CARGO_BIN_EXE_site"))
}

#[test]
fn the_executable_serves_its_hosts_and_lists_their_urls() {
    let list = std::env::temp_dir().join(format!("neap-testkit-list-{}", std::process::id()));
    let mut child = site()
        .args([
            "--pages", "7", "--bytes", "900", "--links", "3", "--hosts", "2", "--list",
        ])
        .arg(&list)
        .stdout(Stdio::piped())
        .spawn()
        .map(Running)
        .unwrap();
    let mut lines = BufReader::new(child.0.stdout.take().unwrap()).lines();
    let bases = [(); 2].map(|()| lines.next().unwrap().unwrap());
    let urls = std::fs::read_to_string(&list).unwrap();
    std::fs::remove_file(&list).unwrap();

    let tree = Tree::new(7, 3, 900);
    let mut expected: Vec<_> = bases.iter().flat_map(|base| tree.urls(base)).collect();
    let mut listed: Vec<_> = urls.lines().map(str::to_owned).collect();
    expected.sort();
    listed.sort();
    assert_eq!(listed, expected);
    for base in &bases {
        let address = base.strip_prefix("http://").unwrap().parse().unwrap();
        let answer = Client::connect_to(address).get("/p/6");
        assert_eq!(answer.body, tree.body(6).to_vec());
    }
}

#[test]
fn a_wrong_call_is_explained() {
    for args in [
        &["--pages"][..],
        &["--pages", "many"],
        &["--hosts", "0"],
        &["--unknown", "1"],
    ] {
        let mut child = site()
            .args(args)
            .stderr(Stdio::piped())
            .spawn()
            .map(Running)
            .unwrap();
        let mut text = String::new();
        child
            .0
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();
        assert_eq!(child.0.wait().unwrap().code(), Some(2), "{args:?}");
        assert!(
            text.contains(args[0]) && text.contains("usage: site"),
            "{args:?}: {text}"
        );
    }
}
