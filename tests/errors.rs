//! Do `errors` and `proxies` say what failed, whose fault it was and what is to be done?

use neap_testkit::{Refusing, Reply, Site};
use serde_json::Value;

use crate::support::{Place, site_job};

#[track_caller]
fn rows(place: &Place, arguments: &[&str]) -> Vec<Value> {
    let arguments = [arguments, &["--format", "json"]].concat();
    let said = place.neap(&arguments).expect(0);
    serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {}", said.out))
}

/// A crawl of a page that is there, one that is not, and two whose gateway always fails.
fn crawled(site: &Site) -> Place {
    let place = Place::new();
    let more = "[retry]\nattempts = 2\nbase = \"1ms\"\nbudget = 1.0\n[adaptive]\ngive_up_after = \"60s\"\n";
    place.write("site.toml", &site_job(&site.url("/"), more));
    place.neap(&["run", "site.toml"]).expect(0);
    place
}

fn site() -> Site {
    Site::builder()
        .page(
            "/",
            Reply::html("top", ["/good", "/gone", "/bad", "/worse"]),
        )
        .page("/good", Reply::ok("here"))
        .page("/bad", Reply::status(502))
        .page("/worse", Reply::status(502))
        .start()
}

#[test]
fn errors_tell_what_failed_what_it_cost_and_what_is_to_be_done() {
    let site = site();
    let place = crawled(&site);
    let bad = place.number("SELECT count(*) FROM attempts WHERE status = 502");
    let by_cause = rows(&place, &["errors"]);
    assert_eq!(by_cause.len(), 1, "{by_cause:?}");
    let row = &by_cause[0];
    assert_eq!(
        (&row["cause"], &row["attempts"]),
        (&"http_502".into(), &bad.into())
    );
    assert_eq!((&row["pages_lost"], &row["hosts"]), (&2.into(), &1.into()));
    assert_eq!(
        (&row["host_faults"], &row["proxy_faults"]),
        (&bad.into(), &0.into())
    );
    assert!(row["last_at"].as_str().unwrap().ends_with('Z'), "{row}");
    let advice = format!("`neap why {}`", site.base_url());
    assert!(row["advice"].as_str().unwrap().contains(&advice), "{row}");
    place.neap(&["why", &site.base_url()]).expect(0);

    for (by, key) in [
        ("host", site.base_url()),
        ("proxy", "no proxy".to_owned()),
        ("status", "502".to_owned()),
    ] {
        let found = rows(&place, &["errors", "site", "--by", by]);
        assert_eq!((found.len(), &found[0][by]), (1, &key.into()), "{found:?}");
    }
    let table = place.neap(&["errors", "site.toml"]).expect(0).out;
    for part in [
        "http_502",
        "┆ host  ┆",
        "\nhttp_502: the site's gateway fails",
    ] {
        assert!(table.contains(part), "{part:?} is not in\n{table}");
    }
    let unknown = place.neap(&["errors", "shop"]).expect(2);
    assert!(
        unknown.err.contains("there is no job `shop`"),
        "{}",
        unknown.err
    );
}

#[test]
fn what_failed_by_the_fault_of_one_is_asked_again_and_nothing_else() {
    let site = site();
    let place = crawled(&site);
    let none = place.neap(&["retry", "site", "--fault", "proxy"]).expect(0);
    assert!(
        none.err.contains("nothing to retry") && none.err.contains("http_502 (2)"),
        "{}",
        none.err
    );
    let both = place
        .neap(&["retry", "site", "--fault", "host", "--fault", "proxy"])
        .expect(0);
    assert!(
        both.err.contains("2 requests are asked again"),
        "{}",
        both.err
    );
    let wrong = place.neap(&["retry", "site", "--fault", "fate"]).expect(2);
    assert!(wrong.err.contains("own_credentials"), "{}", wrong.err);
}

#[test]
fn pages_of_a_host_that_was_given_up_are_among_the_errors() {
    let refusing = Refusing::take().unwrap();
    let place = Place::new();
    let job = format!(
        "neap = 1\nname = \"dead\"\n[input]\nurls = [\"{}\", \"{}\", \"{}\"]\n[limits]\nper_host = 1\n\
         [adaptive]\ngive_up_after = \"1s\"\n",
        refusing.url("/1"),
        refusing.url("/2"),
        refusing.url("/3"),
    );
    place.write("dead.toml", &job);
    place.neap(&["run", "dead.toml"]).expect(3);
    let found = rows(&place, &["errors", "--by", "host"]);
    assert_eq!(
        (found.len(), &found[0]["pages_lost"]),
        (1, &3.into()),
        "{found:?}"
    );
    let lost: i64 = found
        .iter()
        .map(|row| row["pages_lost"].as_i64().unwrap())
        .sum();
    assert_eq!(lost, place.number("SELECT count(*) FROM failures"));
}

#[test]
fn a_store_without_failures_and_without_proxies_says_so() {
    let site = Site::builder().page("/", Reply::ok("here")).start();
    let place = Place::new();
    place.neap(&["errors"]).expect(2);
    place.write("site.toml", &site_job(&site.url("/"), ""));
    place.neap(&["run", "site.toml"]).expect(0);
    for (arguments, said) in [
        (&["errors"][..], "no attempt has failed"),
        (
            &["errors", "site"],
            "no attempt of the newest round of site has failed",
        ),
        (
            &["proxies"],
            "has gone through proxies; the section [proxy] of a job file",
        ),
        (
            &["proxies", "site.toml"],
            "the job site has not gone through proxies",
        ),
    ] {
        let table = place.neap(arguments).expect(0);
        assert!(table.err.contains(said), "{arguments:?}: {}", table.err);
        assert_eq!(rows(&place, arguments), [Value::Null; 0], "{arguments:?}");
    }
    for column in ["pool", "ok_share", "state"] {
        rows(&place, &["proxies", "--sort", column]);
    }
    place.neap(&["proxies", "--sort", "colour"]).expect(2);
}
