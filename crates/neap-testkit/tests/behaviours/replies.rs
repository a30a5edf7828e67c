//! Does each part of a reply, good or bad, arrive as described?

use std::io::{ErrorKind, Read};
use std::time::Duration;

use neap_testkit::{Asked, Coding, End, Reply, Site, Then};

use crate::client::{Client, PATIENCE, field, get};

fn serving(reply: Reply) -> Site {
    Site::builder().page("/", reply).start()
}

/// How long the site took over the only request in its log.
fn service_time(site: &Site) -> Duration {
    site.wait_answered(1, PATIENCE).unwrap();
    let asked = &site.log()[0];
    match asked.end {
        End::Answered(micros) => Duration::from_micros(micros - asked.micros),
        End::Pending | End::ClientLeft(_) | End::Abandoned => panic!("not answered: {asked:?}"),
    }
}

#[test]
fn a_page_arrives_with_status_headers_and_body() {
    let site = serving(Reply::status(418).header("X-Tea", "green").body("short"));
    let answer = get(&site, "/");
    assert_eq!(answer.status, 418);
    assert_eq!(field(&answer.head, "x-tea"), Some("green"));
    assert_eq!(answer.body, b"short");
}

#[test]
fn an_html_page_holds_its_title_and_links() {
    let site = serving(Reply::html("Shop", ["/a", "http://other/b"]));
    let answer = get(&site, "/");
    let page = String::from_utf8(answer.body).unwrap();
    assert_eq!(
        field(&answer.head, "content-type"),
        Some("text/html; charset=utf-8")
    );
    for part in [
        "<title>Shop</title>",
        "<a href=\"/a\">",
        "<a href=\"http://other/b\">",
    ] {
        assert!(page.contains(part), "{part} in {page}");
    }
}

#[test]
fn a_redirect_names_its_place() {
    let answer = get(&serving(Reply::redirect(307, "/new")), "/");
    assert_eq!(
        (answer.status, field(&answer.head, "location")),
        (307, Some("/new"))
    );
}

#[test]
fn what_has_no_page_is_not_found() {
    assert_eq!(get(&serving(Reply::ok("")), "/other").status, 404);
}

#[test]
fn head_gets_the_head_alone_and_the_connection_goes_on() {
    let site = serving(Reply::ok("body"));
    let mut client = Client::connect(&site);
    client.send("HEAD / HTTP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!(field(&client.head(), "content-length"), Some("4"));
    assert_eq!(client.get("/").body, b"body");
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let site = Site::builder()
        .page("/1", Reply::ok("one").delay(Duration::from_millis(20)))
        .page("/2", Reply::ok("two"))
        .start();
    let mut client = Client::connect(&site);
    client.send("GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\nGET /1 HT");
    assert_eq!(client.answer().body, b"one");
    assert_eq!(client.answer().body, b"two");
    client.send("TP/1.1\r\n\r\n");
    assert_eq!(client.answer().body, b"one");
    assert_eq!(site.accepted(), 1);
}

#[test]
fn a_delay_comes_before_the_first_byte() {
    let delay = Duration::from_millis(60);
    let site = serving(Reply::ok("late").delay(delay));
    assert_eq!(get(&site, "/").body, b"late");
    assert!(service_time(&site) >= delay, "{:?}", site.log());
}

#[test]
fn an_encoded_body_unpacks_to_what_it_was() {
    let text = "gentle tides ".repeat(500);
    for coding in [
        Coding::Gzip,
        Coding::Brotli,
        Coding::Zstd,
        Coding::Deflate,
        Coding::RawDeflate,
    ] {
        let answer = get(&serving(Reply::ok(text.clone()).encoded(coding)), "/");
        assert_eq!(field(&answer.head, "content-encoding"), Some(coding.name()));
        assert!(answer.body.len() < text.len() / 10, "{coding:?}");
        assert_eq!(decode(coding, &answer.body), text.as_bytes(), "{coding:?}");
    }
}

#[test]
fn codings_stack_in_the_order_they_were_applied() {
    let reply = Reply::ok("twice")
        .encoded(Coding::Gzip)
        .encoded(Coding::Brotli);
    let answer = get(&serving(reply), "/");
    assert_eq!(field(&answer.head, "content-encoding"), Some("gzip, br"));
    let once = decode(Coding::Brotli, &answer.body);
    assert_eq!(decode(Coding::Gzip, &once), b"twice");
}

#[test]
fn a_bomb_is_small_and_unpacks_to_its_size() {
    for coding in [
        Coding::Gzip,
        Coding::Brotli,
        Coding::Zstd,
        Coding::Deflate,
        Coding::RawDeflate,
    ] {
        let answer = get(&serving(Reply::bomb(coding, 4_000_000)), "/");
        assert!(
            answer.body.len() < 10_000,
            "{coding:?}: {}",
            answer.body.len()
        );
        assert_eq!(decode(coding, &answer.body).len(), 4_000_000, "{coding:?}");
    }
}

#[test]
fn a_chunked_body_is_whole() {
    let site = serving(Reply::ok("abcdefgh").chunks_of(5));
    let mut client = Client::connect(&site);
    client.ask("/");
    assert_eq!(field(&client.head(), "transfer-encoding"), Some("chunked"));
    assert_eq!(client.take(23), b"5\r\nabcde\r\n3\r\nfgh\r\n0\r\n\r\n");
    client.ask("/");
    client.head();
}

#[test]
fn a_hang_up_closes_without_a_word() {
    let site = serving(Reply::hang_up());
    let mut client = Client::connect(&site);
    client.ask("/");
    let (bytes, end) = client.rest();
    assert!(bytes.is_empty() && end.is_ok(), "{bytes:?} {end:?}");
}

#[test]
fn a_reset_is_a_reset() {
    let site = serving(Reply::reset());
    let mut client = Client::connect(&site);
    client.ask("/");
    assert_eq!(
        client.rest().1.unwrap_err().kind(),
        ErrorKind::ConnectionReset
    );
    assert_eq!(site.log()[0].status, None);
}

#[test]
fn a_cut_body_promises_all_and_ends_early() {
    let site = serving(Reply::ok("0123456789").cut_after(4));
    let mut client = Client::connect(&site);
    client.ask("/");
    assert_eq!(field(&client.head(), "content-length"), Some("10"));
    let (bytes, end) = client.rest();
    assert!(end.is_ok(), "{end:?}");
    assert_eq!(bytes, b"0123");
}

#[test]
fn a_body_can_be_reset_in_its_middle() {
    let site = serving(Reply::ok("0123456789").reset_after(4));
    let mut client = Client::connect(&site);
    client.ask("/");
    let (bytes, end) = client.rest();
    assert_eq!(end.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert!(bytes.ends_with(b"\r\n\r\n0123"), "{bytes:?}");
}

#[test]
fn a_stall_lasts_until_the_client_leaves() {
    let site = serving(Reply::ok("0123456789").stall_after(4));
    let mut client = Client::connect(&site);
    client.ask("/");
    client.head();
    assert_eq!(client.take(4), b"0123");
    assert_eq!(site.in_flight(), 1);
    drop(client);
    site.wait_in_flight(0, PATIENCE).unwrap();
    assert!(
        matches!(site.log()[0].end, End::ClientLeft(_)),
        "{:?}",
        site.log()
    );
    assert_eq!(site.answered(), 0);
}

#[test]
fn a_stall_ends_with_the_site() {
    let site = serving(Reply::silent());
    let mut client = Client::connect(&site);
    client.ask("/");
    site.wait_in_flight(1, PATIENCE).unwrap();
    drop(site);
    assert!(client.rest().0.is_empty());
}

#[test]
fn raw_bytes_arrive_as_they_are() {
    let site = serving(Reply::raw("SSH-2.0-OpenSSH_9.9\r\n"));
    let mut client = Client::connect(&site);
    client.ask("/");
    assert_eq!(client.rest().0, b"SSH-2.0-OpenSSH_9.9\r\n");
}

#[test]
fn raw_bytes_can_leave_the_connection_open() {
    let raw = "HTTP/1.1 299 Odd\r\ncontent-length: 0\r\n\r\n";
    let site = serving(Reply::raw(raw).then(Then::KeepAlive));
    let mut client = Client::connect(&site);
    assert_eq!((client.get("/").status, client.get("/").status), (299, 299));
    assert_eq!(site.log()[1].status, Some(299));
}

#[test]
fn an_endless_body_outlasts_the_client() {
    let site = serving(Reply::endless("<p>more</p>"));
    let mut client = Client::connect(&site);
    client.ask("/");
    assert_eq!(field(&client.head(), "transfer-encoding"), Some("chunked"));
    client.take(10_000_000);
    drop(client);
    site.wait_in_flight(0, PATIENCE).unwrap();
    assert!(
        matches!(site.log()[0].end, End::ClientLeft(_)),
        "{:?}",
        site.log()
    );
}

#[test]
fn headers_can_be_huge_and_many() {
    let site = serving(Reply::ok("").huge_header(300_000).many_headers(500));
    let head = get(&site, "/").head;
    assert_eq!(field(&head, "x-huge").map(str::len), Some(300_000));
    assert_eq!(head.matches("x-many-").count(), 500);
}

#[test]
fn a_drip_sends_the_body_in_pieces() {
    let every = Duration::from_millis(15);
    let site = serving(Reply::ok("abcdef").drip(2, every));
    assert_eq!(get(&site, "/").body, b"abcdef");
    assert!(service_time(&site) >= every * 3, "{:?}", site.log());
}

#[test]
fn a_drip_does_not_hold_back_the_head() {
    let site = serving(Reply::ok("abc").drip(1, Duration::from_secs(3600)));
    let mut client = Client::connect(&site);
    client.ask("/");
    assert_eq!(field(&client.head(), "content-length"), Some("3"));
    assert_eq!((site.in_flight(), site.answered()), (1, 0));
}

#[test]
fn a_head_can_drip_too() {
    let every = Duration::from_millis(2);
    let site = serving(Reply::status(204).drip_all(4, every));
    get(&site, "/");
    let head = "HTTP/1.1 204 No Content\r\n\r\n";
    assert!(
        service_time(&site) >= every * (head.len() as u32 / 4),
        "{:?}",
        site.log()
    );
}

#[test]
fn an_announced_end_is_kept() {
    let site = serving(Reply::ok("last").closing());
    let mut client = Client::connect(&site);
    let answer = client.get("/");
    assert_eq!(field(&answer.head, "connection"), Some("close"));
    assert!(client.rest().1.is_ok());
}

#[test]
fn an_end_can_come_unannounced() {
    let site = serving(Reply::ok("last").then(Then::Close));
    let mut client = Client::connect(&site);
    let answer = client.get("/");
    assert_eq!(
        (answer.body.as_slice(), field(&answer.head, "connection")),
        (&b"last"[..], None)
    );
    let (bytes, end) = client.rest();
    assert!(bytes.is_empty() && end.is_ok(), "{bytes:?} {end:?}");
}

#[test]
fn the_client_can_ask_for_the_end() {
    let site = serving(Reply::ok("x"));
    for request in [
        "GET / HTTP/1.1\r\nConnection: close\r\n\r\n",
        "GET / HTTP/1.0\r\nHost: test\r\n\r\n",
    ] {
        let mut client = Client::connect(&site);
        client.send(request);
        assert_eq!(client.answer().body, b"x");
        assert!(client.rest().1.is_ok());
    }
}

#[test]
fn a_kept_connection_can_die_as_it_is_used_again() {
    let site = Site::builder()
        .fallback(|asked: &Asked| {
            if asked.turn == 1 {
                Reply::ok("x")
            } else {
                Reply::reset()
            }
        })
        .start();
    let mut client = Client::connect(&site);
    assert_eq!(client.get("/").status, 200);
    client.ask("/");
    assert_eq!(
        client.rest().1.unwrap_err().kind(),
        ErrorKind::ConnectionReset
    );
}

fn decode(coding: Coding, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let read = match coding {
        Coding::Gzip => flate2::read::GzDecoder::new(bytes).read_to_end(&mut out),
        Coding::Deflate => flate2::read::ZlibDecoder::new(bytes).read_to_end(&mut out),
        Coding::RawDeflate => flate2::read::DeflateDecoder::new(bytes).read_to_end(&mut out),
        Coding::Brotli => brotli::Decompressor::new(bytes, 4096).read_to_end(&mut out),
        Coding::Zstd => zstd::Decoder::new(bytes).unwrap().read_to_end(&mut out),
    };
    read.unwrap();
    out
}
