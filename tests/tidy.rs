//! Does the source keep the shape that ARCHITECTURE.md draws?

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// What each crate may depend on, as the drawing has it.
const MAY_DEPEND_ON: [(&str, &[&str]); 10] = [
    ("neap-core", &[]),
    ("neap-fetch", &["neap-core"]),
    ("neap-parse", &["neap-core"]),
    ("neap-store", &["neap-core"]),
    (
        "neap-runner",
        &["neap-core", "neap-fetch", "neap-parse", "neap-store"],
    ),
    (
        "neap",
        &[
            "neap-core",
            "neap-fetch",
            "neap-parse",
            "neap-runner",
            "neap-store",
        ],
    ),
    ("neap-sim", &["neap-core"]),
    ("neap-bench", &["neap-core", "neap-store"]),
    ("neap-testkit", &[]),
    ("neap-disk", &[]),
];

/// Who alone may use what: one verb a crate.
const ONLY_IN: [(&str, &str); 4] = [
    ("h2", "neap-fetch"),
    ("sqlx", "neap-store"),
    ("html5gum", "neap-parse"),
    ("governor", "neap-core"),
];

/// Measures neap against loops that are made of the same libraries, so none of them is refused there.
const YARDSTICK: &str = "neap-bench";

/// What the core must not even be able to reach.
const NOT_IN_CORE: [&str; 5] = ["tokio", "reqwest", "sqlx", "futures-util", "tracing"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The dependencies that each crate of the workspace ships with.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(root().join("crates")).unwrap() {
        let path = entry.unwrap().path();
        let manifest: toml::Table = fs::read_to_string(path.join("Cargo.toml"))
            .unwrap()
            .parse()
            .unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let of_crate = manifest.get("dependencies").and_then(|d| d.as_table());
        found.insert(
            name,
            of_crate
                .into_iter()
                .flat_map(|d| d.keys().cloned())
                .collect(),
        );
    }
    found
}

fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn the_crates_depend_on_each_other_as_drawn() {
    let drawn: BTreeMap<&str, &[&str]> = MAY_DEPEND_ON.into();
    for (name, of_crate) in dependencies() {
        let allowed = drawn.get(name.as_str());
        let allowed = allowed.unwrap_or_else(|| panic!("{name} is not in the drawing"));
        for dependency in of_crate.iter().filter(|d| d.starts_with("neap")) {
            assert!(
                allowed.contains(&dependency.as_str()),
                "{name} depends on {dependency}, which the drawing does not have"
            );
        }
    }
}

#[test]
fn unsafe_code_is_in_one_file_that_never_ships() {
    let mut files = Vec::new();
    sources(&root().join("crates"), &mut files);
    let allowed = |file: &PathBuf| {
        let text = fs::read_to_string(file).unwrap();
        text.contains("allow(unsafe_code)")
    };
    files.retain(allowed);
    assert_eq!(files, [root().join("crates/neap-disk/src/calls.rs")]);
    for (name, of_crate) in dependencies() {
        assert!(!of_crate.contains("neap-disk"), "{name} ships with it");
        let manifest = root().join("crates").join(&name).join("Cargo.toml");
        let manifest = fs::read_to_string(manifest).unwrap();
        let is_strict = manifest.contains("[lints]\nworkspace = true\n");
        assert!(
            is_strict || name == "neap-disk",
            "{name} has lints of its own"
        );
    }
}

#[test]
fn each_crate_keeps_to_its_verb() {
    for (name, of_crate) in dependencies() {
        for (library, home) in ONLY_IN {
            assert!(
                name == home || name == YARDSTICK || !of_crate.contains(library),
                "{name} uses {library}"
            );
        }
        if name == "neap-core" {
            for library in NOT_IN_CORE {
                assert!(!of_crate.contains(library), "the core can reach {library}");
            }
        }
    }
}

#[test]
fn every_module_opens_with_a_line_about_itself() {
    let mut files = Vec::new();
    sources(&root().join("crates"), &mut files);
    sources(&root().join("tests"), &mut files);
    assert!(files.len() > 50, "only {} source files found", files.len());
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let first = text.lines().next().unwrap_or_default();
        assert!(
            first.starts_with("//! ") && first.len() > 10,
            "{} opens with {first:?}",
            file.display()
        );
    }
}

#[test]
fn the_core_refuses_clock_sleep_and_dice_of_its_own() {
    let text = fs::read_to_string(root().join("crates/neap-core/clippy.toml")).unwrap();
    for refused in [
        "Instant::now",
        "SystemTime::now",
        "thread::sleep",
        "from_os_rng",
    ] {
        assert!(text.contains(refused), "{refused} is not refused");
    }
}

#[test]
fn the_life_of_one_request_fits_on_a_page_or_two() {
    let text = fs::read_to_string(root().join("crates/neap-runner/src/flow.rs")).unwrap();
    let code = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .count();
    assert!(code <= 110, "flow.rs has grown to {code} lines");
    for step in 1..=5 {
        assert!(
            text.contains(&format!("// {step}. ")),
            "step {step} is missing"
        );
    }
}
