//! Do the robots files of the hosts allow what a job that obeys them wants to ask?
//!
//! As in a crawl (RFC 9309): a file that is not there allows everything, one that cannot be had forbids
//! everything, and its redirects are followed wherever they lead.

use std::collections::BTreeMap;

use neap_core::classify::Outcome;
use neap_core::exchange::Exchange;
use neap_core::job::RobotsMode;
use neap_core::{CanonicalUrl, Host};
use neap_fetch::BodyLimit;
use neap_parse::Robots;

use super::asker::{Asker, What};
use crate::exit;
use crate::failure::Failure;
use crate::print::escape::for_terminal;

/// Redirects that are followed from a robots file (RFC 9309, section 2.3.1.2: "at least five").
const MOST_REDIRECTS: usize = 5;

/// Bytes of a robots file that are read: twice what its reader looks at.
const MOST_BYTES: u64 = 1 << 20;

const HELP: &str = "the job obeys robots.txt (`robots.mode`); `--ignore-robots` asks all the same";

/// The rules of the hosts that were asked.
#[derive(Default)]
pub(super) struct Rules {
    /// `None` for a host of which nobody can tell.
    known: BTreeMap<Host, Option<Robots>>,
}

impl Rules {
    /// Sees that a URL may be asked for; asks its host for its rules unless they are known.
    ///
    /// # Errors
    /// It may not, and why.
    pub(super) async fn check(
        &mut self,
        asker: &mut Asker,
        url: &CanonicalUrl,
    ) -> Result<(), Failure> {
        match asker.terms_of(url).robots.mode {
            RobotsMode::Obey => {}
            // What is only warned of is asked for all the same.
            RobotsMode::Warn | RobotsMode::Off => return Ok(()),
        }
        let host = url.host();
        if !self.known.contains_key(&host) {
            let rules = self.of(asker, &host).await?;
            self.known.insert(host.clone(), rules);
        }
        let Some(rules) = self.known.get(&host).and_then(Option::as_ref) else {
            let message = format!(
                "robots.txt of {host} could not be had, and without it nothing may be asked (RFC 9309)"
            );
            return Err(Failure::with_help(exit::EXPECTATION, message, HELP));
        };
        let target = &url.url()[url::Position::BeforePath..url::Position::AfterQuery];
        let verdict = rules.verdict(target);
        if verdict.allowed {
            return Ok(());
        }
        let rule = verdict
            .rule
            .map_or_else(String::new, |rule| format!(": {rule}"));
        let url = for_terminal(url.as_str());
        let message = format!("robots.txt of {host} forbids {url}{rule}");
        Err(Failure::with_help(exit::EXPECTATION, message, HELP))
    }

    async fn of(&self, asker: &mut Asker, host: &Host) -> Result<Option<Robots>, Failure> {
        let mut url = CanonicalUrl::of(host.robots_url()).expect("a robots URL is short and http");
        let token = asker.terms_of(&url).product_token.clone();
        for _ in 0..=MOST_REDIRECTS {
            let limit = BodyLimit::CutAt(MOST_BYTES);
            let Some(last) = asker.ask(What::Robots, &url, limit).await? else {
                return Ok(None);
            };
            let exchange = &last.fetched.exchange;
            match last.judgement.outcome {
                Outcome::Redirect => match target(&url, exchange) {
                    Some(next) => url = next,
                    None => return Ok(Some(Robots::allow_all())),
                },
                Outcome::Success | Outcome::Gone | Outcome::Refused | Outcome::ClientError => {
                    return Ok(Some(read(exchange, &token)));
                }
                Outcome::RateLimited
                | Outcome::Overload
                | Outcome::ServerError
                | Outcome::Transient
                | Outcome::Permanent
                | Outcome::Internal => return Ok(None),
            }
        }
        // More redirects than that: as if there were no robots file.
        Ok(Some(Robots::allow_all()))
    }
}

fn read(exchange: &Exchange, product_token: &str) -> Robots {
    match &exchange.result {
        Ok(answer) if (200..300).contains(&answer.status) => {
            Robots::parse(&answer.body, product_token)
        }
        Ok(_) | Err(_) => Robots::allow_all(),
    }
}

fn target(from: &CanonicalUrl, exchange: &Exchange) -> Option<CanonicalUrl> {
    let location = exchange.result.as_ref().ok()?.header("location")?;
    CanonicalUrl::join(from.url(), location).ok()
}
