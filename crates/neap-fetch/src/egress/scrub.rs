//! How is a secret taken out of what a proxy says?
//!
//! A proxy may repeat what it was sent, in an error page for example, and its words are kept as evidence.

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, HeaderMap, HeaderValue};
use memchr::memmem;
use neap_core::exchange::Exchange;
use neap_core::route::Refusal;

use super::Credentials;
use crate::headers::REDACTED;

/// Shortest password that is looked for: a shorter one is in many texts by chance.
const MIN_PASSWORD_BYTES: usize = 6;

/// Replaces the credentials in a refusal, as they are and as they are sent.
pub(crate) fn refusal(refusal: &mut Refusal, credentials: &Credentials) {
    let secrets = secrets(credentials);
    fields(&mut refusal.headers, &secrets);
    text(&mut refusal.reason, &secrets);
    if let Some(clean) = without(&refusal.body, &secrets) {
        refusal.body = clean.into();
    }
}

/// Replaces the credentials in an exchange through a proxy that could write the answer itself: in an error as they are
/// and as they are sent, in a page only as they are sent, since a page may well have the word that is a password.
pub(crate) fn relayed(exchange: &mut Exchange, credentials: &Credentials) {
    let status = exchange.result.as_ref().map_or(0, |answer| answer.status);
    let mut secrets = secrets(credentials);
    if (200..400).contains(&status) {
        secrets.truncate(1);
    }
    if let Some(reason) = &mut exchange.route.reason {
        text(reason, &secrets);
    }
    if let Some(begun) = &mut exchange.route.begun {
        fields(begun, &secrets);
    }
    let Ok(answer) = &mut exchange.result else {
        return;
    };
    fields(&mut answer.headers, &secrets);
    if let Some(clean) = without(&answer.body, &secrets) {
        let is_coded = answer.body != answer.payload;
        answer.body = clean.into();
        answer.payload = answer.body.clone();
        if is_coded {
            answer.headers.remove(CONTENT_ENCODING);
        }
    }
}

/// Replaces the credentials in a few bytes.
pub(crate) fn bytes(bytes: Bytes, credentials: &Credentials) -> Bytes {
    match without(&bytes, &secrets(credentials)) {
        Some(clean) => clean.into(),
        None => bytes,
    }
}

fn fields(headers: &mut HeaderMap, secrets: &[Vec<u8>]) {
    for value in headers.values_mut() {
        if let Some(clean) = without(value.as_bytes(), secrets) {
            *value = HeaderValue::from_bytes(&clean).unwrap_or(HeaderValue::from_static(REDACTED));
        }
    }
}

fn text(text: &mut String, secrets: &[Vec<u8>]) {
    if let Some(clean) = without(text.as_bytes(), secrets) {
        *text = String::from_utf8_lossy(&clean).into_owned();
    }
}

/// As they are sent first, then the password.
fn secrets(credentials: &Credentials) -> Vec<Vec<u8>> {
    let mut secrets = vec![credentials.token().into_bytes()];
    if credentials.password.len() >= MIN_PASSWORD_BYTES {
        secrets.push(credentials.password.clone());
    }
    secrets
}

/// `text` with every secret replaced, if there is one.
fn without(text: &[u8], secrets: &[Vec<u8>]) -> Option<Vec<u8>> {
    let mut clean: Option<Vec<u8>> = None;
    for secret in secrets {
        let found = clean.as_deref().unwrap_or(text);
        if let Some(replaced) = replace(found, secret) {
            clean = Some(replaced);
        }
    }
    clean
}

fn replace(text: &[u8], secret: &[u8]) -> Option<Vec<u8>> {
    let mut rest = text;
    let mut clean = Vec::new();
    while let Some(at) = memmem::find(rest, secret) {
        clean.extend_from_slice(&rest[..at]);
        clean.extend_from_slice(REDACTED.as_bytes());
        rest = &rest[at + secret.len()..];
    }
    let is_changed = rest.len() < text.len();
    clean.extend_from_slice(rest);
    is_changed.then_some(clean)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_that_repeats_the_password_does_not_tell_it() {
        let credentials = Credentials {
            user: b"ann".to_vec(),
            password: b"hunter2".to_vec(),
        };
        let header = credentials.header();
        let sent = header.to_str().unwrap();
        let mut told = Refusal {
            status: 407,
            reason: "Not hunter2".to_owned(),
            headers: [(http::header::VIA, header.clone())].into_iter().collect(),
            body: format!("you sent {sent} {sent}, which is hunter2.").into(),
        };
        refusal(&mut told, &credentials);
        assert_eq!(told.reason, "Not <redacted>");
        assert_eq!(told.headers["via"], "Basic <redacted>");
        assert_eq!(
            told.body,
            "you sent Basic <redacted> Basic <redacted>, which is <redacted>."
        );
        assert_eq!(bytes("clean".into(), &credentials), "clean");
    }
}
