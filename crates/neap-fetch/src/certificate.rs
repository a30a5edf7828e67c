//! Who vouches for a certificate?
//!
//! Of the certificate only the issuer's name is read, and only for people and for telling an
//! interceptor from the host: whether to trust it is decided elsewhere. So what cannot be read is empty.

use neap_core::route::Certificate;
use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};

/// Longest issuer that is kept, in bytes.
const MAX_ISSUER_BYTES: usize = 100;

/// Tags of DER (ITU-T X.690) and of a certificate (RFC 5280, section 4.1).
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OBJECT_ID: u8 = 0x06;
const VERSION: u8 = 0xa0;
const BMP_STRING: u8 = 0x1e;

/// `commonName` and `organizationName`, 2.5.4.3 and 2.5.4.10.
const COMMON_NAME: [u8; 3] = [0x55, 4, 3];
const ORGANIZATION: [u8; 3] = [0x55, 4, 10];

/// What is recorded of a certificate.
pub(crate) fn read(der: &CertificateDer<'_>) -> Certificate {
    let digest = Sha256::digest(der);
    let mut sha256_prefix = [0; 8];
    sha256_prefix.copy_from_slice(&digest[..8]);
    Certificate {
        issuer: issuer(der).unwrap_or_default(),
        sha256_prefix,
    }
}

fn issuer(der: &[u8]) -> Option<String> {
    // Certificate, then TBSCertificate: version (may be missing), serial number, algorithm, issuer.
    let (certificate, _) = expect(der, SEQUENCE)?;
    let (mut fields, _) = expect(certificate, SEQUENCE)?;
    if fields.first() == Some(&VERSION) {
        fields = take(fields)?.rest;
    }
    for _ in 0..2 {
        fields = take(fields)?.rest;
    }
    let (name, _) = expect(fields, SEQUENCE)?;
    part(name, COMMON_NAME).or_else(|| part(name, ORGANIZATION))
}

/// The last part of a name that is of one kind: the most specific one.
fn part(mut name: &[u8], kind: [u8; 3]) -> Option<String> {
    let mut found = None;
    while !name.is_empty() {
        let (set, rest) = expect(name, SET)?;
        name = rest;
        let (pair, _) = expect(set, SEQUENCE)?;
        let (id, value) = expect(pair, OBJECT_ID)?;
        if id == kind {
            found = Some(text(&take(value)?));
        }
    }
    found
}

fn text(value: &Item<'_>) -> String {
    let text = match value.tag {
        BMP_STRING => {
            let units = value.content.chunks_exact(2);
            let units: Vec<u16> = units
                .map(|two| u16::from_be_bytes([two[0], two[1]]))
                .collect();
            String::from_utf16_lossy(&units)
        }
        _ => String::from_utf8_lossy(value.content).into_owned(),
    };
    let mut kept = String::new();
    for c in text.chars().filter(|c| !c.is_control()) {
        if kept.len() + c.len_utf8() > MAX_ISSUER_BYTES {
            break;
        }
        kept.push(c);
    }
    kept
}

/// One element of DER.
struct Item<'a> {
    tag: u8,
    content: &'a [u8],
    rest: &'a [u8],
}

/// The content of the element that `bytes` begin with, if it has this tag, and what follows it.
fn expect(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    take(bytes)
        .filter(|item| item.tag == tag)
        .map(|item| (item.content, item.rest))
}

fn take(bytes: &[u8]) -> Option<Item<'_>> {
    let (&tag, bytes) = bytes.split_first()?;
    let (&first, mut bytes) = bytes.split_first()?;
    let mut length = usize::from(first);
    if first >= 0x80 {
        let digits = usize::from(first & 0x7f);
        if !(1..=3).contains(&digits) {
            return None;
        }
        let (written, rest) = bytes.split_at_checked(digits)?;
        length = written
            .iter()
            .fold(0, |sum, &byte| sum << 8 | usize::from(byte));
        bytes = rest;
    }
    let (content, rest) = bytes.split_at_checked(length)?;
    Some(Item { tag, content, rest })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, CertifiedIssuer, DnType, KeyPair};

    use super::*;

    /// A certificate signed by an issuer of this name.
    fn signed_by(names: &[(DnType, &str)]) -> CertificateDer<'static> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        for (kind, value) in names {
            params.distinguished_name.push(kind.clone(), *value);
        }
        let key = KeyPair::generate().unwrap();
        let issuer = CertifiedIssuer::self_signed(params, key).unwrap();
        let leaf = CertificateParams::new(vec!["h.example".to_owned()]).unwrap();
        let key = KeyPair::generate().unwrap();
        leaf.signed_by(&key, &issuer).unwrap().der().clone()
    }

    #[test]
    fn an_issuer_is_called_by_its_common_name_or_its_organisation() {
        let both = [
            (DnType::OrganizationName, "Let's Encrypt"),
            (DnType::CommonName, "R11"),
        ];
        for (names, issuer) in [(&both[..], "R11"), (&both[..1], "Let's Encrypt"), (&[], "")] {
            let certificate = read(&signed_by(names));
            assert_eq!(certificate.issuer, issuer);
            assert_eq!(certificate.sha256_hex().len(), 16);
        }
    }

    #[test]
    fn a_certificate_that_is_cut_off_has_no_issuer() {
        let der = signed_by(&[(DnType::CommonName, "R11")]);
        for end in 0..der.len() {
            assert_eq!(read(&CertificateDer::from(&der[..end])).issuer, "");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_read(der: Vec<u8>) {
            read(&CertificateDer::from(&der[..]));
        }
    }
}
