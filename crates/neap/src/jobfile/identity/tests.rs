//! Headers and logins as people write them, right and wrong.

use neap_core::Host;
use neap_core::job::{Auth, Identity, Login, Template};

use crate::jobfile::tests::{SMALLEST, read_job, shown};

fn identity(text: &str) -> Identity {
    let file = read_job(&format!("{SMALLEST}{text}"), &[]);
    let file = file.unwrap_or_else(|error| panic!("{}", shown(&error)));
    file.job.identity
}

#[test]
fn logins_are_read_and_their_files_are_found_from_everywhere() {
    let identity = identity(
        "[identity.headers]\naccept-language = 'de'\nx-key = '${env:KEY}'\n\
         [identity]\nsafe_headers = ['Accept-Language']\n\
         [[identity.auth]]\norigin = 'https://api.example'\nuser = 'ann'\npassword = '${env:PASSWORD}'\n\
         [[identity.auth]]\norigin = 'http://api.example:8080'\nbearer = '${file:keys/token}'\n",
    );
    assert!(identity.safe_headers.iter().eq(["accept-language"]));
    let [basic, bearer] = &identity.auth[..] else {
        panic!("two logins");
    };
    let login = Login::Basic {
        user: Template("ann".to_owned()),
        password: Template("${env:PASSWORD}".to_owned()),
    };
    let origin = Host::parse("https://api.example").unwrap();
    let expected = Auth {
        origin,
        login: Some(login),
        certificate: None,
    };
    assert_eq!(*basic, expected);
    assert_eq!(bearer.origin.as_str(), "http://api.example:8080");
    let Some(Login::Bearer(Template(token))) = &bearer.login else {
        panic!("a token");
    };
    assert!(
        token.starts_with("${file:/") && token.ends_with("/keys/token}"),
        "{token}"
    );
}

#[test]
fn what_is_wrong_with_a_login_is_told_and_no_secret_is_shown() {
    const AT: &str = "origin = 'https://api.example'\n";
    for (text, complaint) in [
        ("bearer = '${env:T}'", "the login says no host"),
        (
            "origin = 'api.example'\nbearer = '${env:T}'",
            "is no scheme, host and port",
        ),
        (
            "origin = 'https://api.example/v1'\nbearer = '${env:T}'",
            "is no scheme, host and port",
        ),
        (
            "origin = 'ftp://api.example'\nbearer = '${env:T}'",
            "is no scheme, host and port",
        ),
        (
            "origin = 'https://ann:hunter2@api.example'\nbearer = '${env:T}'",
            "has no place here",
        ),
        (
            &format!("{AT}bearer = 'hunter2'"),
            "a bearer is written here, and jobs are stored",
        ),
        (
            &format!("{AT}user = 'ann'\npassword = 'hunter2'"),
            "a password is written here",
        ),
        (
            &format!("{AT}user = 'ann'\npassword = 'hunter2${{env:P}}'"),
            "a password is written here",
        ),
        (
            &format!("{AT}user = 'ann'\npassword = 'hunter2${{env:'"),
            "does not begin a reference",
        ),
        (&format!("{AT}user = 'ann'"), "a user and no password"),
        (
            &format!("{AT}password = '${{env:P}}'"),
            "a password and no user",
        ),
        (AT, "the login says nothing"),
        (
            &format!("{AT}user = 'a'\npassword = '${{env:P}}'\nbearer = '${{env:P}}'"),
            "or else `bearer`",
        ),
        (
            &format!("{AT}user = 'a:b'\npassword = '${{env:P}}'"),
            "a user name has no colon",
        ),
        (
            &format!("{AT}certificate = 'a.pem'"),
            "`certificate` and `key`, or none",
        ),
        (
            "origin = 'http://api.example'\ncertificate = 'a.pem'\nkey = 'a.pem'",
            "shown to https hosts alone",
        ),
        (
            &format!("{AT}token = '${{env:P}}'"),
            "keys of [[identity.auth]]: origin, user",
        ),
        (
            &format!("{AT}paswort = '${{env:P}}'"),
            "did you mean `password`?",
        ),
    ] {
        let text = format!("{SMALLEST}[[identity.auth]]\n{text}\n");
        let told = shown(&read_job(&text, &[]).unwrap_err());
        assert!(told.contains(complaint), "{text}: {told}");
        assert!(!told.contains("hunter2"), "{told}");
    }
    let twice = format!("[[identity.auth]]\n{AT}bearer = '${{env:T}}'\n").repeat(2);
    let told = shown(&read_job(&format!("{SMALLEST}{twice}"), &[]).unwrap_err());
    assert!(
        told.contains("another login is for https://api.example already"),
        "{told}"
    );
}

#[test]
fn no_secret_is_safe_and_neither_is_what_is_not_set() {
    for (name, complaint) in [
        ("x-key", "`x-key` is a secret"),
        ("x-other", "there is no header `x-other`"),
        ("host", "set by neap itself"),
    ] {
        let text = format!(
            "{SMALLEST}[identity]\nheaders = {{ x-key = '${{env:KEY}}' }}\nsafe_headers = ['{name}']\n"
        );
        let told = shown(&read_job(&text, &[]).unwrap_err());
        assert!(told.contains(complaint), "{told}");
    }
}

#[test]
fn a_file_of_cookies_is_found_from_everywhere_and_means_that_cookies_are_kept() {
    let identity = identity("[identity]\ncookie_file = 'a/cookies.txt'\n");
    assert!(identity.cookies);
    let file = identity.cookie_file.unwrap();
    assert!(
        file.starts_with('/') && file.ends_with("/a/cookies.txt"),
        "{file}"
    );
    let both = "[identity]\ncookie_file = 'cookies.txt'\ncookies = false\n";
    let told = shown(&read_job(&format!("{SMALLEST}{both}"), &[]).unwrap_err());
    assert!(told.contains("keeps no cookies"), "{told}");
}

#[test]
fn a_certificate_is_a_login_alone_or_with_another() {
    let identity = identity(
        "[[identity.auth]]\norigin = 'https://a.example'\ncertificate = 'a.pem'\nkey = 'keys/a.key'\n\
         [[identity.auth]]\norigin = 'https://b.example'\nbearer = '${env:T}'\ncertificate = 'b.pem'\nkey = 'b.pem'\n",
    );
    let [one, both] = &identity.auth[..] else {
        panic!("two logins");
    };
    let files = one.certificate.as_ref().unwrap();
    assert!(
        one.login.is_none() && files.chain.starts_with('/') && files.key.ends_with("/keys/a.key")
    );
    assert!(both.login.is_some() && both.certificate.is_some());
}
