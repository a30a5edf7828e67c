//! Which header fields does only a proxy provider write, and what does it say in them?
//!
//! A provider may use statuses that mean something else in front of a site (Oxylabs' 522 and 525 are Cloudflare's, Zyte's
//! 520 too), but its own fields are proof.

use super::evidence::Reply;
use super::phrases::Seen;
use super::words::Cause;

/// One provider's error fields.
pub(super) struct Provider {
    /// Its name.
    pub(super) name: &'static str,
    /// Fields that only its own errors have.
    pub(super) fields: &'static [&'static str],
    /// What codes in them mean; the first that is found counts.
    pub(super) says: &'static [(&'static str, Cause)],
    /// What it means when no code is known: `Unknown` leaves it to the words of all.
    pub(super) otherwise: Cause,
    /// Where this is known from.
    pub(super) source: &'static str,
}

/// Providers with error fields of their own.
pub(super) const PROVIDERS: &[Provider] = &[
    Provider {
        name: "Bright Data",
        fields: &[
            "x-brd-err-code",
            "x-brd-error-code",
            "x-brd-err-msg",
            "x-brd-error",
        ],
        says: &[
            ("client_10000", Cause::ProxyAuth),
            ("client-10000", Cause::ProxyAuth),
            ("auth failed", Cause::ProxyAuth),
            ("policy_", Cause::Policy),
            ("no_peer", Cause::ProxyNoExit),
            ("peer_", Cause::ProxyNoExit),
        ],
        otherwise: Cause::Unknown,
        source: "docs.brightdata.com/proxy-networks/errorCatalog",
    },
    Provider {
        name: "Bright Data's proxy manager",
        fields: &["x-lpm-error", "x-luminati-error", "x-luminati-error-code"],
        says: &[
            ("auth failed", Cause::ProxyAuth),
            ("no_peer", Cause::ProxyNoExit),
        ],
        otherwise: Cause::ProxyBroken,
        source: "luminati-proxy #119: it names its own super proxy",
    },
    Provider {
        name: "Oxylabs",
        fields: &["x-error-description"],
        says: &[],
        otherwise: Cause::Unknown,
        source: "developers.oxylabs.io response codes: not on errors of the target",
    },
    Provider {
        name: "Zyte",
        fields: &["zyte-error-type"],
        says: &[
            ("/auth/", Cause::ProxyAuth),
            ("/limits/", Cause::ProxyLimit),
            ("/block/", Cause::Block),
            ("/download/temporary-error", Cause::Block),
        ],
        otherwise: Cause::Unknown,
        source: "docs.zyte.com errors",
    },
    Provider {
        name: "Zyte Smart Proxy Manager",
        fields: &["x-crawlera-error"],
        says: &[
            ("bad_proxy_auth", Cause::ProxyAuth),
            ("bad_auth", Cause::ProxyAuth),
            ("user_session_limit", Cause::ProxyLimit),
            ("too_many_conns", Cause::ProxyLimit),
            ("serverbusy", Cause::ProxyLimit),
            ("noslaves", Cause::ProxyNoExit),
            ("slavebanned", Cause::Block),
            ("banned", Cause::Block),
            ("nxdomain", Cause::DnsFailure),
            ("econnrefused", Cause::ConnectRefused),
            ("econnreset", Cause::UpstreamReset),
            ("timeout", Cause::ReadTimeout),
        ],
        otherwise: Cause::Unknown,
        source: "scrapy-zyte-smartproxy middleware.py",
    },
];

/// What a provider says in its own fields.
pub(super) struct Says {
    /// Who.
    pub(super) provider: &'static Provider,
    /// The field.
    pub(super) field: &'static str,
    /// What it means.
    pub(super) cause: Cause,
}

/// What a provider says of a reply in fields of its own.
pub(super) fn says(reply: &Reply) -> Option<Says> {
    let headers = reply.headers.as_ref()?;
    let is_there = |provider: &'static Provider| {
        let field = provider.fields.iter().find(|field| headers.has(field))?;
        Some((provider, *field))
    };
    let (provider, field) = PROVIDERS.iter().find_map(is_there)?;
    let values: Vec<&str> = provider
        .fields
        .iter()
        .flat_map(|field| headers.all(field))
        .collect();
    let seen = Seen::of(&values.join("\n"));
    let known = provider.says.iter().find(|(code, _)| seen.has(code));
    let cause = known.map(|(_, cause)| *cause);
    let worded = || super::causes::by_words(seen).map(|(cause, _)| cause);
    let cause = if provider.otherwise == Cause::Unknown {
        cause.or_else(worded).unwrap_or(Cause::Unknown)
    } else {
        cause.unwrap_or(provider.otherwise)
    };
    Some(Says {
        provider,
        field,
        cause,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cause(field: &str, value: &str) -> Option<Cause> {
        let reply = Reply {
            headers: Some([(field, value)].into_iter().collect()),
            ..Reply::default()
        };
        says(&reply).map(|says| says.cause)
    }

    #[test]
    fn what_providers_say_in_their_own_fields() {
        for (field, value, expected) in [
            ("x-brd-err-code", "client_10000", Some(Cause::ProxyAuth)),
            ("x-brd-err-code", "policy_20050", Some(Cause::Policy)),
            (
                "x-brd-err-msg",
                "getaddrinfo failed",
                Some(Cause::DnsFailure),
            ),
            (
                "x-lpm-error",
                "connect ECONNREFUSED 192.0.2.1:22225",
                Some(Cause::ProxyBroken),
            ),
            (
                "x-luminati-error-code",
                "expect_element",
                Some(Cause::ProxyBroken),
            ),
            (
                "x-error-description",
                "Unable to serve the request",
                Some(Cause::Unknown),
            ),
            (
                "zyte-error-type",
                "/limits/over-user-limit",
                Some(Cause::ProxyLimit),
            ),
            ("x-crawlera-error", "banned", Some(Cause::Block)),
            ("x-crawlera-error", "nxdomain", Some(Cause::DnsFailure)),
            ("x-crawlera-slave", "192.0.2.1", None),
        ] {
            assert_eq!(cause(field, value), expected, "{field}: {value}");
        }
    }
}
