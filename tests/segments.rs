//! Do the bodies lie in files that every WARC tool reads, whatever happened to the run?

use std::time::Duration;

use neap_testkit::{Reply, Site};

use crate::kill::check_warc;
use crate::support::{Place, site_job};

/// Longest wait for something that happens in milliseconds unless it is broken.
const PATIENCE: Duration = Duration::from_secs(60);

/// A body that compresses to about its size, different for each number.
pub(crate) fn noise(number: u32) -> String {
    let mut x = u64::from(number) + 1;
    let mut next = || {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        char::from(b'a' + (x % 26) as u8)
    };
    (0..8000).map(|_| next()).collect()
}

#[test]
fn segments_are_rotated_and_whole_after_every_kill_and_share_equal_payloads() {
    const PAGES: u32 = 60;
    let links: Vec<String> = (0..PAGES).map(|n| format!("/page/{n}")).collect();
    let mut builder = Site::builder()
        .latency(Duration::from_millis(2))
        .page("/", Reply::html("top", &links));
    for n in 0..PAGES {
        // Every third page says the same.
        let text = noise(if n % 3 == 0 { 0 } else { n });
        builder = builder.page(&format!("/page/{n}"), Reply::html(&text, [""; 0]));
    }
    let site = builder.start();
    let place = Place::new();
    let more = "[limits]\nper_host = 4\n[store]\nsegment_size = \"64KiB\"\n";
    place.write("site.toml", &site_job(&site.url("/"), more));
    for _ in 0..4 {
        let run = place.start(&["run", "site.toml"]);
        site.wait_answered(site.answered() + 10, PATIENCE).unwrap();
        run.kill();
    }
    place.neap(&["run", "site.toml"]).expect(0);
    assert_eq!(place.results().len(), PAGES as usize + 1);
    assert!(place.number("SELECT count(*) FROM segments") > 4, "rotated");
    assert!(
        place.number("SELECT max(file_bytes) FROM segments") < (64 << 10) + 16_000,
        "a file is larger than its limit by one page at most"
    );
    check_warc(&place);
    // Each run stores the shared payload once, since only what is durable is referred to.
    assert!(place.number("SELECT count(original_id) FROM pages") > 0);
    for n in [0, 3, 57, 1] {
        let body = place
            .neap(&["body", &site.url(&format!("/page/{n}"))])
            .expect(0);
        let text = noise(if n % 3 == 0 { 0 } else { n });
        assert!(body.out.contains(&text), "page {n}");
    }

    // A second round finds nothing new and stores nothing twice.
    place.neap(&["run", "site.toml"]).expect(0);
    let of_round = |round: i64| {
        place.number(&format!(
            "SELECT count(DISTINCT segment_id) FROM pages JOIN requests USING (request_id)
             JOIN jobs USING (job_id) WHERE round = {round}"
        ))
    };
    assert!(of_round(1) > 4 && of_round(2) < 3, "few files of revisits");
    let revisits = place.number(
        "SELECT count(original_id) FROM pages JOIN requests USING (request_id) JOIN jobs USING (job_id)
         WHERE round = 2",
    );
    assert_eq!(revisits, i64::from(PAGES) + 1, "the top page as well");
    check_warc(&place);
    let body = place.neap(&["body", &site.url("/page/1")]).expect(0);
    assert!(body.out.contains(&noise(1)));
}
