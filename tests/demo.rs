//! Does the demo keep what it promises?

use crate::support::Place;

#[test]
fn the_demo_fetches_every_page_of_the_flaky_shop() {
    let place = Place::new();
    let said = place.neap(&["demo"]).expect(0);
    let db = said
        .err
        .split("neap --db ")
        .nth(1)
        .and_then(|rest| rest.split(' ').next())
        .unwrap();
    let ask = |sql: &str| {
        let said = place
            .neap(&["--db", db, "query", sql, "--format", "jsonl"])
            .expect(0);
        serde_json::from_str::<serde_json::Value>(said.out.lines().next().unwrap()).unwrap()
    };
    let pages = ask("SELECT count(*) AS n FROM results WHERE status = 200")["n"].clone();
    assert_eq!(pages, 295, "{}", said.err);
    assert_eq!(ask("SELECT count(*) AS n FROM failures")["n"], 0);
    let queries: Vec<&str> = said.err.split("query \"").skip(1).collect();
    assert_eq!(queries.len(), 3, "{}", said.err);
    for query in queries {
        let sql = query.split('"').next().unwrap();
        place.neap(&["--db", db, "query", sql]).expect(0);
    }
}

#[test]
fn a_demo_that_is_stopped_promises_no_resume() {
    let place = Place::new();
    let said = place.neap(&["demo", "--limit", "3"]).expect(5).err;
    assert!(said.contains("`neap demo` opens another shop"), "{said}");
    assert!(!said.contains("resume"), "{said}");
}
