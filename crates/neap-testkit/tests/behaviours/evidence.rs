//! Is what the site says about its clients true?

use std::time::Duration;

use neap_testkit::{End, Reply, Site};

use crate::client::{Client, PATIENCE, get};

#[test]
fn the_log_tells_each_request_in_order_and_as_sent() {
    let site = Site::builder().page("/a", Reply::ok("")).start();
    let mut client = Client::connect(&site);
    client.send("GET /a?q=%C3%A9 HTTP/1.1\r\nHost: h\r\nX-Two: 1\r\nx-two: 2\r\n\r\n");
    client.answer();
    client.send("POST /b HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello");
    client.answer();
    get(&site, "/a");

    let log = site.log();
    let [first, second, third] = log.as_slice() else {
        panic!("{log:#?}")
    };
    assert_eq!(
        (first.method.as_str(), first.target.as_str()),
        ("GET", "/a?q=%C3%A9")
    );
    assert_eq!((first.path(), first.header("X-TWO")), ("/a", Some("1")));
    let headers = [("Host", "h"), ("X-Two", "1"), ("x-two", "2")];
    assert_eq!(
        first.headers,
        headers.map(|(n, v)| (n.to_owned(), v.to_owned()))
    );
    assert_eq!(
        (second.method.as_str(), &second.body[..]),
        ("POST", &b"hello"[..])
    );
    assert_eq!([1, 2, 3], [first.order, second.order, third.order]);
    assert_eq!(
        [1, 1, 2],
        [first.connection, second.connection, third.connection]
    );
    assert_eq!([1, 2, 1], [first.turn, second.turn, third.turn]);
    assert_eq!(
        [Some(200), Some(404), Some(200)],
        [first.status, second.status, third.status]
    );
    assert!(
        first.micros < second.micros && second.at() < third.at(),
        "{log:#?}"
    );
    assert!(
        log.iter()
            .all(|asked| asked.local == site.address() && asked.is_answered())
    );
}

#[test]
fn requests_are_counted_by_path_or_by_target() {
    let site = Site::builder().start();
    for target in ["/a", "/a?x=1", "/a?x=1", "/b"] {
        get(&site, target);
    }
    for (path, count) in [("/a", 3), ("/a?x=1", 2), ("/a?x=2", 0), ("/b", 1), ("/", 0)] {
        assert_eq!(site.count(path), count, "{path}");
    }
    assert_eq!((site.asked(), site.answered()), (4, 4));
}

#[test]
fn what_is_in_flight_is_counted_on_arrival() {
    let site = Site::builder()
        .page("/slow", Reply::silent())
        .page("/", Reply::ok(""))
        .start();
    let mut clients: Vec<_> = (0..5).map(|_| Client::connect(&site)).collect();
    for (before, client) in clients.iter_mut().enumerate() {
        client.ask("/slow");
        site.wait_in_flight(before + 1, PATIENCE).unwrap();
    }
    get(&site, "/");
    let seen: Vec<_> = site.log().iter().map(|asked| asked.in_flight).collect();
    assert_eq!(seen, [1, 2, 3, 4, 5, 6]);
    assert_eq!((site.in_flight(), site.max_in_flight()), (5, 6));
    drop(clients);
    site.wait_in_flight(0, PATIENCE).unwrap();
    assert_eq!(site.max_in_flight(), 6);
}

/// Two clients that take turns over two connections never have two requests in flight, however
/// quickly one follows the other.
#[test]
fn an_answered_request_is_never_counted_as_in_flight() {
    let site = Site::builder()
        .page("/", Reply::ok("x".repeat(10_000)))
        .start();
    let mut clients = [Client::connect(&site), Client::connect(&site)];
    for _ in 0..500 {
        for client in &mut clients {
            client.get("/");
        }
    }
    assert_eq!((site.answered(), site.max_in_flight()), (1_000, 1));
}

#[test]
fn connections_are_counted() {
    let site = Site::builder().start();
    let clients = [(); 3].map(|()| Client::connect(&site));
    site.wait_connections(3, PATIENCE).unwrap();
    drop(clients);
    site.wait_connections(0, PATIENCE).unwrap();
    get(&site, "/");
    assert_eq!((site.max_connections(), site.accepted()), (3, 4));
}

#[test]
fn a_cleared_log_begins_anew() {
    let site = Site::builder().page("/slow", Reply::silent()).start();
    let mut slow = Client::connect(&site);
    slow.ask("/slow");
    site.wait_in_flight(1, PATIENCE).unwrap();
    get(&site, "/a");
    site.clear_log();
    assert!(site.log().is_empty());
    assert_eq!(
        (site.asked(), site.answered(), site.max_in_flight()),
        (0, 0, 1)
    );

    // One that began before is no longer logged, and the next finds its own line.
    drop(slow);
    site.wait_in_flight(0, PATIENCE).unwrap();
    get(&site, "/b");
    let log = site.log();
    assert_eq!(log.len(), 1, "{log:#?}");
    assert_eq!(
        (log[0].target.as_str(), log[0].order, log[0].status),
        ("/b", 3, Some(404))
    );
    assert_eq!((site.asked(), site.answered()), (1, 1));
}

#[test]
fn waiting_ends_as_soon_as_the_log_shows_it() {
    let site = Site::builder().page("/", Reply::ok("")).start();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut client = Client::connect(&site);
            for _ in 0..50 {
                client.get("/");
            }
        });
        site.wait_answered(10, PATIENCE).unwrap();
        let all = |log: &[neap_testkit::Asked]| {
            log.iter().filter(|asked| asked.status == Some(200)).count() == 50
        };
        site.wait_for(all, PATIENCE).unwrap();
    });
    assert_eq!(site.count("/"), 50);
}

#[test]
fn waiting_in_vain_says_what_was_seen() {
    let site = Site::builder().start();
    get(&site, "/seen");
    let waited = Duration::from_millis(5);
    let error = site.wait_answered(2, waited).unwrap_err();
    assert_eq!((error.asked, error.answered), (1, 1));
    assert!(
        error.to_string().contains("GET /seen -> Some(404)"),
        "{error}"
    );
    let error = site.wait_for(|log| log.len() == 2, waited).unwrap_err();
    assert_eq!(error.last.len(), 1);
}

#[test]
fn without_a_log_it_still_counts() {
    let site = Site::builder()
        .page("/", Reply::ok(""))
        .without_log()
        .start();
    let mut client = Client::connect(&site);
    client.get("/");
    client.get("/");
    assert_eq!(
        (site.asked(), site.answered(), site.max_in_flight()),
        (2, 2, 1)
    );
}

#[test]
#[should_panic(expected = "without_log")]
fn without_a_log_nothing_is_claimed_about_paths() {
    Site::builder().without_log().start().count("/");
}

#[test]
fn what_is_no_request_is_refused_and_counted() {
    let site = Site::builder().start();
    for bytes in [
        "\x16\x03\x01\x02\x00",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "hello\r\n\r\n",
    ] {
        let mut client = Client::connect(&site);
        client.send(bytes);
        let (answer, end) = client.rest();
        assert!(
            answer.starts_with(b"HTTP/1.1 400 "),
            "{bytes:?}: {answer:?}"
        );
        assert!(end.is_ok(), "{bytes:?}: {end:?}");
    }
    assert_eq!((site.malformed(), site.asked()), (3, 0));
}

#[test]
fn a_script_that_panics_costs_its_request_alone() {
    let site = Site::builder()
        .route("/bug", |_| panic!("on purpose, by a test"))
        .page("/", Reply::ok(""))
        .start();
    let mut client = Client::connect(&site);
    client.ask("/bug");
    let _ = client.rest();
    site.wait_in_flight(0, PATIENCE).unwrap();
    assert_eq!(site.log()[0].end, End::Abandoned);
    assert_eq!(get(&site, "/").status, 200);
}
