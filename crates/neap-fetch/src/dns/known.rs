//! What was heard of a name, and until when does that hold?
//!
//! For as long as its name server says, within bounds: addresses at least [`LEAST`], so that a name whose server
//! says "not at all" is not asked for with each connection, and what does not exist at least as long as it takes to meet
//! all links to it. A name that had addresses and has none all at once is not believed: that is a fault that may pass.
//!
//! Names are kept in two generations. The young one becomes the old one when it is full, and what was in the old one
//! and nobody asked for since is forgotten.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use tokio::time::Instant;

use super::{Answer, DnsError};

/// Names of one generation: with 100 bytes a name, two take some 3 MB.
const MOST: usize = 16_384;

/// Bounds of the time for which addresses hold. A crawl keeps connections ten seconds anyway; an hour after a move
/// the old address may be somebody else's.
const LEAST: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(3600);

/// Bounds of the time for which it holds that a name does not exist: RFC 2308, section 5, has 1 to 3 hours as a sensible
/// most, and a run is not to miss a name that comes into being for longer than it takes to notice.
const LEAST_MISSING: Duration = Duration::from_secs(60);
const LONGEST_MISSING: Duration = Duration::from_secs(900);

/// What a look-up brought, and for how long that holds by the word of the name server, as far as it said.
pub(super) type Heard = (Result<Vec<IpAddr>, DnsError>, Option<Duration>);

/// Everything that was heard.
#[derive(Debug, Default)]
pub(super) struct Known {
    young: HashMap<Box<str>, Entry>,
    old: HashMap<Box<str>, Entry>,
}

#[derive(Debug, Clone)]
struct Entry {
    answer: Answer,
    until: Instant,
}

impl Known {
    /// What still holds of a name.
    pub(super) fn get(&mut self, name: &str, now: Instant) -> Option<Answer> {
        if let Some((name, entry)) = self.old.remove_entry(name) {
            self.put(name, entry);
        }
        let entry = self.young.get(name)?;
        (now < entry.until).then(|| entry.answer.clone())
    }

    /// Takes up what was heard of a name, and says what is to be made of it.
    pub(super) fn learn(&mut self, name: &str, heard: Heard, now: Instant) -> Answer {
        let (result, holds) = heard;
        match result {
            Ok(addresses) => {
                let holds = holds.unwrap_or_default().clamp(LEAST, LONGEST);
                self.keep(name, Ok(addresses.into()), now + holds)
            }
            Err(DnsError::NotFound(_)) if self.had_addresses(name) => Err(DnsError::Unavailable(
                "its name server says that it does not exist, and it had an address before"
                    .to_owned(),
            )),
            Err(missing @ DnsError::NotFound(_)) => {
                let holds = holds.unwrap_or_default();
                let holds = holds.clamp(LEAST_MISSING, LONGEST_MISSING);
                self.keep(name, Err(missing), now + holds)
            }
            Err(
                error @ (DnsError::Unavailable(_) | DnsError::Private(_) | DnsError::Internal(_)),
            ) => Err(error),
        }
    }

    fn keep(&mut self, name: &str, answer: Answer, until: Instant) -> Answer {
        let entry = Entry {
            answer: answer.clone(),
            until,
        };
        self.put(name.into(), entry);
        answer
    }

    fn put(&mut self, name: Box<str>, entry: Entry) {
        if self.young.len() >= MOST && !self.young.contains_key(&name) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(name, entry);
    }

    /// Whether a name had an address when it was last asked for, however long ago.
    fn had_addresses(&self, name: &str) -> bool {
        let entry = self.young.get(name).or_else(|| self.old.get(name));
        entry.is_some_and(|entry| entry.answer.is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    fn found(seconds: u64) -> Heard {
        (Ok(vec![address(1)]), Some(Duration::from_secs(seconds)))
    }

    fn missing(seconds: Option<u64>) -> Heard {
        let error = DnsError::NotFound("no such name".to_owned());
        (Err(error), seconds.map(Duration::from_secs))
    }

    #[tokio::test]
    async fn what_was_heard_holds_for_as_long_as_was_said_within_bounds() {
        let now = Instant::now();
        for (heard, seconds) in [
            (found(0), 10),
            (found(300), 300),
            (found(86_400), 3600),
            (missing(None), 60),
            (missing(Some(5)), 60),
            (missing(Some(600)), 600),
            (missing(Some(86_400)), 900),
        ] {
            let mut known = Known::default();
            let learned = known.learn("shop.example", heard.clone(), now);
            let before = now + Duration::from_secs(seconds) - Duration::from_millis(1);
            assert_eq!(
                known.get("shop.example", before),
                Some(learned),
                "{heard:?}"
            );
            let after = now + Duration::from_secs(seconds);
            assert_eq!(known.get("shop.example", after), None, "{heard:?}");
        }
    }

    #[tokio::test]
    async fn a_name_that_had_an_address_and_has_none_is_a_fault_that_may_pass() {
        let mut known = Known::default();
        let now = Instant::now();
        known.learn("shop.example", found(0), now).unwrap();
        let later = now + Duration::from_secs(7200);
        let gone = known.learn("shop.example", missing(Some(600)), later);
        assert!(matches!(gone, Err(DnsError::Unavailable(_))), "{gone:?}");
        assert_eq!(
            known.get("shop.example", later),
            None,
            "it is asked for again"
        );
    }

    #[tokio::test]
    async fn what_could_not_be_asked_is_not_remembered() {
        let mut known = Known::default();
        let now = Instant::now();
        let error = DnsError::Unavailable("no answer".to_owned());
        let learned = known.learn("shop.example", (Err(error.clone()), None), now);
        assert_eq!(learned, Err(error));
        assert_eq!(known.get("shop.example", now), None);
    }

    #[tokio::test]
    async fn what_nobody_asks_for_is_forgotten_and_the_rest_is_kept() {
        let mut known = Known::default();
        let now = Instant::now();
        let learn = |known: &mut Known, name: &str| known.learn(name, found(3600), now).unwrap();
        learn(&mut known, "often.example");
        learn(&mut known, "once.example");
        for n in 0..4 * MOST {
            learn(&mut known, &format!("{n}.example"));
            assert!(known.get("often.example", now).is_some());
            assert!(known.young.len() <= MOST && known.old.len() <= MOST);
        }
        assert_eq!(known.get("once.example", now), None);
    }
}
