//! At which ports does the hostile server speak TLS, and what is wrong at each?

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use crate::builder::Builder;
use crate::site::Site;
use crate::tls::{Authority, Identity};

use super::DOMAIN;
use super::call::Shared;
use super::sockets::Blunt;

/// A fatal alert `protocol_version` in a record of TLS 1.0: what a server says that speaks nothing newer.
const ONLY_TLS_1_0: &[u8] = &[0x15, 3, 1, 0, 2, 2, 70];
/// A fatal alert `internal_error`.
const ALERT: &[u8] = &[0x15, 3, 3, 0, 2, 2, 80];
/// A record that claims more than a record may have, and its beginning.
const LONG_RECORD: &[u8] = b"\x16\x03\x03\xff\xffhostile";

/// The ports of all TLS cases. They stop when dropped.
pub(super) struct Stands {
    authority: Authority,
    sites: BTreeMap<&'static str, Site>,
    blunt: BTreeMap<&'static str, Blunt>,
}

impl Stands {
    pub(super) fn start(authority: Authority, shared: &Arc<Shared>) -> io::Result<Stands> {
        let all = format!("*.{DOMAIN}");
        let good = || authority.identity(&[&all]);
        let mut sites = BTreeMap::new();
        for (case, builder) in [
            ("good", Site::builder().tls(&good())),
            ("expired", Site::builder().tls(&authority.expired(&[&all]))),
            (
                "self-signed",
                Site::builder().tls(&Identity::self_signed(&[&all])),
            ),
            (
                "untrusted",
                Site::builder().tls(&Authority::new().identity(&[&all])),
            ),
            (
                "wrong-name",
                Site::builder().tls(&authority.identity(&["other.example"])),
            ),
            (
                "odd-protocol",
                Site::builder().tls(&good().alpn(&["hostile/1"])),
            ),
            (
                "wants-certificate",
                Site::builder().tls(&good().asking_for(&Authority::new())),
            ),
            ("stall", Site::builder().mute()),
            ("plain", Site::builder()),
        ] {
            sites.insert(case, serving(builder, shared).try_start()?);
        }
        let mut blunt = BTreeMap::new();
        for (case, says) in [
            ("close", &b""[..]),
            ("old", ONLY_TLS_1_0),
            ("alert", ALERT),
            ("long-record", LONG_RECORD),
            ("garbage", b"SSH-2.0-OpenSSH_9.6\r\n"),
        ] {
            blunt.insert(case, Blunt::listen(says)?);
        }
        Ok(Stands {
            authority,
            sites,
            blunt,
        })
    }

    pub(super) fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The port of each case.
    pub(super) fn ports(&self) -> BTreeMap<&'static str, u16> {
        let sites = self
            .sites
            .iter()
            .map(|(case, site)| (*case, site.address().port()));
        let blunt = self.blunt.iter().map(|(case, blunt)| (*case, blunt.port()));
        sites.chain(blunt).collect()
    }

    /// The port of a case.
    ///
    /// # Panics
    /// If there is none of that name.
    pub(super) fn port(&self, case: &str) -> u16 {
        let ports = self.ports();
        *ports
            .get(case)
            .unwrap_or_else(|| panic!("no TLS case is called {case}: {ports:?}"))
    }
}

/// What is said behind the handshake is what the plain port says.
fn serving(builder: Builder, shared: &Arc<Shared>) -> Builder {
    let bounds = shared.bounds();
    builder
        .longest_connection(bounds.time)
        .fallback(super::replies(shared))
}
