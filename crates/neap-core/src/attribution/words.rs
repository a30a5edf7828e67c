//! In which words is an attribution told?
//!
//! The words are an interface: columns of the store, output of `neap classify`, messages. None ever changes
//! its meaning.

use std::fmt;
use std::time::Duration;

use serde::{Serialize, Serializer};

/// Gives an enum its words: `as_str`, `ALL`, `parse`, `Display` and `Serialize`.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl $name {
            /// Every value, in the order of their declaration.
            pub const ALL: &'static [$name] = &[$($name::$variant,)+];

            /// The word for it in SQL, JSON and messages.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $($name::$variant => $word,)+
                }
            }

            /// The value that a word stands for; `None` for any other text.
            pub fn parse(word: &str) -> Option<$name> {
                $name::ALL.iter().copied().find(|value| value.as_str() == word)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
    };
}

words! {
    /// Who wrote the answer.
    Producer {
        /// The site's application, or whatever serves its files.
        OriginApp = "origin_app",
        /// A gateway that belongs to the site: reverse proxy, load balancer.
        OriginGateway = "origin_gateway",
        /// A CDN or protection service that the site has put in front of itself.
        Edge = "edge",
        /// The forward proxy that we asked, or the provider behind it.
        ForwardProxy = "forward_proxy",
        /// Nobody: there was no answer that could be read.
        Nobody = "none",
        /// It cannot be told.
        Unknown = "unknown",
    }
}

words! {
    /// Whose fault it was.
    Fault {
        /// The host's, or of something in front of it that belongs to it.
        Host = "host",
        /// The forward proxy's, or its provider's.
        Proxy = "proxy",
        /// Our own credentials for the proxy are missing, wrong or used up.
        OwnCredentials = "own_credentials",
        /// Our own machine or network.
        OwnNetwork = "own_network",
        /// Nobody's: there was no failure.
        Nobody = "nobody",
        /// It cannot be told from this exchange alone.
        Unknown = "unknown",
    }
}

words! {
    /// What went wrong, as far as it can be told.
    Cause {
        /// Nothing did.
        Ok = "ok",
        /// The name of the host could not be resolved.
        DnsFailure = "dns_failure",
        /// Nobody listens at the host's port.
        ConnectRefused = "connect_refused",
        /// No connection to the host came about in time.
        ConnectTimeout = "connect_timeout",
        /// There is no way to the host's address.
        Unreachable = "unreachable",
        /// TLS with the host failed.
        TlsFailure = "tls_failure",
        /// The host closed the connection without a whole answer.
        UpstreamClosed = "upstream_closed",
        /// The host reset the connection.
        UpstreamReset = "upstream_reset",
        /// The host did not answer in time.
        ReadTimeout = "read_timeout",
        /// What the host sent is no HTTP, or breaks its rules.
        InvalidResponse = "invalid_response",
        /// The answer ends before its end.
        Truncated = "truncated",
        /// An answer that claims success and is damaged: no header that says what it is, bytes of no protocol.
        Corrupt = "corrupt",
        /// An answer that claims success and has nothing in it where there should be a page.
        Empty = "empty",
        /// A gateway has no working server behind it, or says it is overloaded.
        Overload = "overload",
        /// No server behind a gateway is thought to be healthy.
        NoHealthyUpstream = "no_healthy_upstream",
        /// A gateway failed to get an answer, and does not say why.
        GatewayError = "gateway_error",
        /// The answer is larger than we take.
        TooLarge = "too_large",
        /// The application failed: one of its own 5xx.
        AppError = "app_error",
        /// Too many requests in a time.
        RateLimit = "rate_limit",
        /// The host does not serve this: 401, 403, 451 and the like.
        Forbidden = "forbidden",
        /// There is no such page: 404, 410.
        NotFound = "not_found",
        /// The request itself is not to the host's liking: another 4xx.
        BadRequest = "bad_request",
        /// A test for robots that has to be solved first.
        Challenge = "challenge",
        /// A refusal because of who asks: an address or a client that is banned.
        Block = "block",
        /// The proxy wants other credentials.
        ProxyAuth = "proxy_auth",
        /// The proxy's account is used up or not paid.
        ProxyQuota = "proxy_quota",
        /// The proxy does not do this by its rules.
        Policy = "policy",
        /// The proxy is asked too often or has too much to do.
        ProxyLimit = "proxy_limit",
        /// The proxy cannot be reached.
        ProxyDown = "proxy_down",
        /// The proxy closes, resets or says something that is no answer.
        ProxyBroken = "proxy_broken",
        /// The proxy's provider has no exit for this request, or lost it.
        ProxyNoExit = "proxy_no_exit",
        /// Our own machine or network fails.
        OwnNetwork = "own_network",
        /// It cannot be told.
        Unknown = "unknown",
    }
}

words! {
    /// What is to be done about it.
    Action {
        /// Take the answer as what it is.
        Accept = "accept",
        /// Lower the host's limit and ask again later; the proxy is not blamed.
        SlowHost = "slow_host",
        /// Ask nothing more of the host but a probe now and then.
        HoldHost = "hold_host",
        /// Ask again later for this page; neither host nor proxy is slowed.
        RetryPage = "retry_page",
        /// Ask once more by another way, and keep what comes with a mark.
        RetryElsewhere = "retry_elsewhere",
        /// Slow the host, then ask through the next pool of proxies, or park the host.
        Escalate = "escalate",
        /// Use the proxy less; the page is asked for again through another at once.
        EaseProxy = "ease_proxy",
        /// Leave the proxy alone for a while; the page is asked for again through another at once.
        QuarantineProxy = "quarantine_proxy",
        /// Use nothing of the pool until its credentials are right, and say so.
        StopPool = "stop_pool",
        /// Pause everything until our own network is back.
        PauseAll = "pause_all",
        /// Blame nobody yet: ask again by another way and let the comparison tell.
        Compare = "compare",
    }
}

/// Who made an answer, whose fault it was and what to do about it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Attribution {
    /// Who wrote the answer.
    pub producer: Producer,
    /// Whose fault it was.
    pub fault: Fault,
    /// What went wrong.
    pub cause: Cause,
    /// How sure the fault is, 0 to 1: the share of such verdicts that should be right.
    pub confidence: f64,
    /// What is to be done about it.
    pub action: Action,
    /// How long asking again is known to be useless: the rest of an error's life in a cache.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "seconds")]
    pub not_before: Option<Duration>,
    /// What the verdict rests on, most telling first; at most [`Attribution::MAX_REASONS`], of at most
    /// [`Attribution::MAX_REASON`] bytes each, printable.
    #[serde(rename = "evidence")]
    pub reasons: Vec<String>,
}

impl Attribution {
    /// Most reasons that a verdict gives.
    pub const MAX_REASONS: usize = 8;
    /// Longest reason, in bytes.
    pub const MAX_REASON: usize = 240;

    /// Adds what it rests on, as the last reason; in place of the last one if there are too many.
    pub fn add_reason(&mut self, mut reason: String) {
        reason.truncate(reason.floor_char_boundary(Attribution::MAX_REASON));
        self.reasons.truncate(Attribution::MAX_REASONS - 1);
        self.reasons.push(reason);
    }

    /// Whether the verdict alone is enough to act against somebody; else it is only one observation among others.
    pub fn is_certain(&self) -> bool {
        self.confidence >= 0.9
    }
}

fn seconds<S: Serializer>(wait: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    match wait {
        Some(wait) => serializer.serialize_f64(wait.as_secs_f64()),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_reads_back_as_what_it_stands_for() {
        for &cause in Cause::ALL {
            assert_eq!(Cause::parse(cause.as_str()), Some(cause));
        }
        for &action in Action::ALL {
            assert_eq!(Action::parse(action.as_str()), Some(action));
        }
        let producers: Vec<&str> = Producer::ALL.iter().map(|word| word.as_str()).collect();
        let words = "origin_app origin_gateway edge forward_proxy none unknown";
        assert_eq!(producers.join(" "), words);
        let faults: Vec<&str> = Fault::ALL.iter().map(|word| word.as_str()).collect();
        let words = "host proxy own_credentials own_network nobody unknown";
        assert_eq!(faults.join(" "), words);
    }
}
