//! What does a captured answer in JSON tell?
//!
//! The fields are those that a client can see of an exchange. Each may be missing, and one of another type than expected counts
//! as missing, since captures come from many tools; what is not among them is never looked at.

use std::time::Duration;

use neap_core::attribution::{Body, Break, Evidence, Fields, Manner, Reply};
use neap_core::route::{Phase, Way};
use serde_json::{Map, Value};

type Object = Map<String, Value>;

/// Reads the evidence from one captured answer.
pub(crate) fn evidence(capture: &Object) -> Evidence {
    let connect = capture.get("connect").and_then(Value::as_object).map(reply);
    let top = reply(capture);
    let is_at_proxy = is_at_proxy(capture);
    let socks_reply = number(capture, "socks_reply").and_then(|reply| u8::try_from(reply).ok());
    let way = way(capture).or(socks_reply.map(|_| Way::Socks5));
    let refusal = |reply: &Reply| {
        reply
            .status
            .is_some_and(|status| !(200..300).contains(&status))
    };
    // Of a refused CONNECT some tools repeat the refusal as the answer, and some give nothing else.
    let connect = match connect {
        Some(connect) => Some(connect),
        None if is_at_proxy && way == Some(Way::Tunnel) && refusal(&top) => Some(top.clone()),
        None => None,
    };
    let is_refused = is_at_proxy || connect.as_ref().is_some_and(refusal);
    let first_byte = duration(capture, "first_byte_ms");
    Evidence {
        way,
        answer: Some(top).filter(|top| top.status.is_some() && !is_refused),
        body: Body {
            bytes: number(capture, "body_len"),
            is_complete: flag(capture, "body_complete"),
            is_close_delimited: flag(capture, "close_delimited"),
        },
        connect,
        socks_reply,
        broken: broken(
            capture,
            is_at_proxy || socks_reply.is_some_and(|reply| reply != 0),
        ),
        first_byte,
        elapsed: duration(capture, "elapsed_ms"),
        is_intercepted: None,
        has_usual_stamp: None,
    }
}

fn way(capture: &Object) -> Option<Way> {
    let has_proxy = flag(capture, "raw_proxy_used");
    match text(capture, "mode") {
        Some("connect" | "tunnel") => Some(Way::Tunnel),
        Some("socks5" | "socks5h" | "socks") => Some(Way::Socks5),
        Some("direct") => Some(Way::Direct),
        Some("plain") => match has_proxy? {
            true => Some(Way::Plain),
            false => Some(Way::Direct),
        },
        Some(_) => None,
        None if capture.get("connect").is_some_and(Value::is_object) => Some(Way::Tunnel),
        None if has_proxy == Some(false) => Some(Way::Direct),
        None => None,
    }
}

/// Whether the exchange ended at the proxy: before a tunnel was open.
fn is_at_proxy(capture: &Object) -> bool {
    let is_named = matches!(text(capture, "stage"), Some("connect" | "socks" | "proxy"));
    let has_proxy = matches!(way(capture), Some(Way::Tunnel | Way::Socks5));
    is_named && has_proxy
}

/// The head and the beginning of the body of the answer in an object.
fn reply(of: &Object) -> Reply {
    let line = text(of, "status_line").filter(|line| line.starts_with("HTTP/"));
    let mut words = line.unwrap_or_default().splitn(3, ' ').skip(1);
    let in_line = words.next().and_then(|status| status.parse().ok());
    let given = number(of, "status").and_then(|status| u16::try_from(status).ok());
    let reason = words
        .next()
        .map(str::trim)
        .filter(|reason| !reason.is_empty());
    let body = text(of, "body_prefix").unwrap_or_default();
    Reply {
        status: given
            .or(in_line)
            .filter(|status| (100..1000).contains(status)),
        reason: reason.map(str::to_owned),
        headers: of.get("headers").and_then(fields),
        body: body.chars().take(Reply::MAX_BODY).collect(),
    }
}

/// A header as an array of pairs or as an object; `None` for anything else.
fn fields(headers: &Value) -> Option<Fields> {
    if let Some(pairs) = headers.as_array() {
        let pair = |pair: &Value| {
            let name = pair.get(0)?.as_str()?.to_owned();
            Some((name, value(pair.get(1)?)))
        };
        return Some(pairs.iter().filter_map(pair).collect());
    }
    let object = headers.as_object()?;
    Some(object.iter().map(|(name, of)| (name, value(of))).collect())
}

fn value(of: &Value) -> String {
    of.as_str().map_or_else(|| of.to_string(), str::to_owned)
}

fn broken(capture: &Object, is_at_proxy: bool) -> Option<Break> {
    let late = if is_at_proxy {
        Phase::Open
    } else {
        Phase::Header
    };
    let close = text(capture, "close_how").map(manner);
    let Some(error) = text(capture, "error") else {
        return silent(capture, late, close);
    };
    let (kind, rest) = error.split_once(':').unwrap_or((error, ""));
    let (phase, told) = match kind.trim() {
        "dns" | "resolve" => (Phase::Dns, Manner::NoName),
        "connect" if is_at_proxy && text(capture, "stage") != Some("connect") => {
            (Phase::Open, manner(rest))
        }
        "connect" if manner(rest) == Manner::NoName => (Phase::Dns, Manner::NoName),
        "connect" => (Phase::Connect, manner(rest)),
        "proxy_tls" => (Phase::ProxyTls, manner(rest)),
        "tls" | "ssl" => (Phase::Tls, manner(rest)),
        "not_http" => (late, Manner::NotHttp),
        "no_response" => (late, manner(rest)),
        "socks" | "socks5" | "proxy" => (Phase::Open, manner(rest)),
        "body" => (Phase::Body, manner(rest)),
        _ => (late, manner(error)),
    };
    let is_told = told != Manner::Other;
    let manner = close.filter(|_| !is_told).unwrap_or(told);
    Some(Break { phase, manner })
}

/// How it broke where no error is given: nothing came, or the body stopped.
fn silent(capture: &Object, late: Phase, close: Option<Manner>) -> Option<Break> {
    let has_status = reply(capture).status.is_some();
    let is_cut = flag(capture, "body_complete") == Some(false);
    let is_bad = text(capture, "parse_error").is_some();
    match (has_status, close) {
        (false, None) if text(capture, "raw_prefix").is_some_and(|raw| !raw.is_empty()) => {
            Some((late, Manner::NotHttp))
        }
        (false, Some(manner)) if manner != Manner::Other => Some((late, manner)),
        (true, _) if is_bad => Some((Phase::Body, Manner::Protocol)),
        (true, Some(manner)) if is_cut => Some((Phase::Body, manner)),
        (false | true, _) => None,
    }
    .map(|(phase, manner)| Break { phase, manner })
}

/// What the name of an exception or of an errno says.
fn manner(text: &str) -> Manner {
    let text = text.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if has(&["refused"]) {
        Manner::Refused
    } else if has(&["gaierror", "nxdomain", "name", "resol"]) {
        Manner::NoName
    } else if has(&["timeout", "timed_out", "timed out", "timedout"]) {
        Manner::Timeout
    } else if has(&["unreach", "no_route", "no route"]) {
        Manner::Unreachable
    } else if has(&["alert"]) {
        Manner::Alert
    } else if has(&["cert"]) {
        Manner::Certificate
    } else if has(&["rst", "reset", "econnreset"]) {
        Manner::Reset
    } else if has(&[
        "fin",
        "eof",
        "closed",
        "disconnect",
        "broken_pipe",
        "brokenpipe",
    ]) {
        Manner::Closed
    } else if has(&["wrong_version", "protocol", "not_http", "parse"]) {
        Manner::Protocol
    } else {
        Manner::Other
    }
}

fn text<'a>(of: &'a Object, name: &str) -> Option<&'a str> {
    of.get(name)?.as_str()
}

fn number(of: &Object, name: &str) -> Option<u64> {
    of.get(name)?.as_u64()
}

fn flag(of: &Object, name: &str) -> Option<bool> {
    of.get(name)?.as_bool()
}

fn duration(of: &Object, name: &str) -> Option<Duration> {
    let ms = of.get(name)?.as_f64()?;
    // A time that no exchange takes is a slip of the tool.
    (0.0..=1e9)
        .contains(&ms)
        .then(|| Duration::from_secs_f64(ms / 1e3))
}
