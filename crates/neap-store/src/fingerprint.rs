//! By which number is a URL known?
//!
//! A 64-bit SipHash-1-3 of job, hop and URL, keyed with a secret of the store: with a hash that
//! everybody can compute, a hostile site could make up links that hide other pages by collision.

use std::hash::Hasher;

use neap_core::{CanonicalUrl, JobId};
use siphasher::sip::SipHasher13;

/// Host partitions: the unit of ownership once a crawl runs on many machines.
pub(crate) const PARTITIONS: u16 = 1024;

/// Makes fingerprints with the key of one store.
#[derive(Clone)]
pub(crate) struct Fingerprinter {
    key: [u8; 16],
}

impl Fingerprinter {
    pub(crate) fn new(key: [u8; 16]) -> Fingerprinter {
        Fingerprinter { key }
    }

    /// The fingerprint of a URL that is asked for whoever leads to it.
    pub(crate) fn of(&self, job: JobId, url: &CanonicalUrl) -> i64 {
        self.salted(job, url, 0)
    }

    /// The fingerprint of a URL that its own redirects led back to, after `hop` of them.
    pub(crate) fn salted(&self, job: JobId, url: &CanonicalUrl, hop: u32) -> i64 {
        let mut hasher = SipHasher13::new_with_key(&self.key);
        hasher.write(&job.0.to_le_bytes());
        hasher.write(&hop.to_le_bytes());
        hasher.write(url.as_str().as_bytes());
        hasher.finish().cast_signed()
    }
}

/// The partition of a host, 0 to 1023: the same for all hosts of a registrable domain, in every store.
pub(crate) fn partition(host_name: &str) -> u16 {
    let name = neap_core::Host::parse(host_name);
    let name = name.as_ref().map_or(host_name, neap_core::Host::name);
    let domain = psl::domain_str(name).unwrap_or(name);
    let mut hasher = SipHasher13::new_with_key(&[0; 16]);
    hasher.write(domain.as_bytes());
    u16::try_from(hasher.finish() % u64::from(PARTITIONS))
        .expect("a rest is smaller than what divides")
}

/// Fingerprints of links seen lately, so that the menu of a site is not looked up for each page.
///
/// Direct-mapped: a fingerprint has one place, and what stood there is forgotten. Exact the other way:
/// what is found here is in the store. A cache of 50,000 URLs already catches 80 % of the links of a
/// crawl (Broder, Najork, Wiener, WWW 2003).
pub(crate) struct RecentLinks {
    places: Vec<i64>,
}

impl RecentLinks {
    /// Places: 8 MiB of them.
    const PLACES: usize = 1 << 20;

    pub(crate) fn new() -> RecentLinks {
        RecentLinks {
            places: vec![0; RecentLinks::PLACES],
        }
    }

    /// Whether the fingerprint was here; from now on it is.
    pub(crate) fn replace(&mut self, fingerprint: i64) -> bool {
        let at = fingerprint.cast_unsigned() as usize % RecentLinks::PLACES;
        // Zero marks an empty place; the one fingerprint that is zero is looked up each time.
        std::mem::replace(&mut self.places[at], fingerprint) == fingerprint && fingerprint != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn job_hop_url_and_key_all_tell() {
        let url = |text| CanonicalUrl::parse(text).unwrap();
        let (a, b) = (Fingerprinter::new([1; 16]), Fingerprinter::new([2; 16]));
        let page = url("http://a.example/");
        let all = std::collections::BTreeSet::from([
            a.of(JobId(1), &page),
            a.of(JobId(2), &page),
            a.of(JobId(1), &url("http://a.example/x")),
            a.salted(JobId(1), &page, 1),
            b.of(JobId(1), &page),
        ]);
        assert_eq!(all.len(), 5);
        assert_eq!(
            a.of(JobId(1), &page),
            Fingerprinter::new([1; 16]).of(JobId(1), &page)
        );
    }

    #[test]
    fn hosts_of_a_domain_share_a_partition() {
        let of = |host| partition(host);
        assert_eq!(
            of("https://www.shop.co.uk"),
            of("http://img.shop.co.uk:8080")
        );
        assert!(of("http://[::1]:80") < PARTITIONS);
        let spread: std::collections::BTreeSet<_> = (0..100)
            .map(|n| partition(&format!("https://shop{n}.example")))
            .collect();
        assert!(spread.len() > 80, "{} of 100 partitions", spread.len());
    }

    #[test]
    fn recent_links_never_claim_what_they_did_not_see() {
        let mut recent = RecentLinks::new();
        assert!(!recent.replace(0) && !recent.replace(0));
        assert!(!recent.replace(7) && recent.replace(7));
        let same_place = 7 + RecentLinks::PLACES.cast_signed() as i64;
        assert!(!recent.replace(same_place) && !recent.replace(7));
    }
}
