//! What do the words of an attribution mean: who answered, what went wrong, what is done about it?

use neap_core::attribution::{Action, Cause, Producer};

/// Who wrote an answer, in a word for a column.
pub(crate) fn producer_short(producer: Producer) -> &'static str {
    match producer {
        Producer::OriginApp => "host",
        Producer::OriginGateway => "gateway",
        Producer::Edge => "edge",
        Producer::ForwardProxy => "proxy",
        Producer::Nobody => "nobody",
        Producer::Unknown => "unknown",
    }
}

/// What went wrong, as a clause.
pub(crate) fn diagnosis(cause: Cause) -> &'static str {
    match cause {
        Cause::Ok => "nothing went wrong",
        Cause::DnsFailure => "the host's name could not be resolved",
        Cause::ConnectRefused => "nobody listens at the host's port",
        Cause::ConnectTimeout => "no connection to the host came about in time",
        Cause::Unreachable => "there is no way to the host's address",
        Cause::TlsFailure => "TLS with the host failed",
        Cause::UpstreamClosed => "the host closed the connection without a whole answer",
        Cause::UpstreamReset => "the host reset the connection",
        Cause::ReadTimeout => "the host did not answer in time",
        Cause::InvalidResponse => "what the host sent is no HTTP",
        Cause::Truncated => "the answer ends before its end",
        Cause::Corrupt => "the answer claims success and is damaged",
        Cause::Empty => "the answer claims success and is empty",
        Cause::Overload => "a gateway has no working server behind it, or too much to do",
        Cause::NoHealthyUpstream => "a gateway takes no server behind it for healthy",
        Cause::GatewayError => "a gateway got no answer and does not say why",
        Cause::TooLarge => "the answer is larger than the job takes",
        Cause::AppError => "the application failed",
        Cause::RateLimit => "too many requests in a time",
        Cause::Forbidden => "the host does not serve this to us",
        Cause::NotFound => "there is no such page",
        Cause::BadRequest => "the request is not to the host's liking",
        Cause::Challenge => "a test for robots stands before the page",
        Cause::Block => "this address or client is banned",
        Cause::ProxyAuth => "the proxy wants other credentials",
        Cause::ProxyQuota => "the proxy's account is used up or not paid",
        Cause::Policy => "the proxy does not do this by its rules",
        Cause::ProxyLimit => "the proxy is asked too often or has too much to do",
        Cause::ProxyDown => "the proxy cannot be reached",
        Cause::ProxyBroken => "what the proxy does is no answer",
        Cause::ProxyNoExit => "the proxy's provider has no way out for this, or lost it",
        Cause::OwnNetwork => "our own machine or network fails",
        Cause::Unknown => "it cannot be told what",
    }
}

/// What a crawl does about it, as a sentence without its full stop.
pub(crate) fn action(action: Action) -> &'static str {
    match action {
        Action::Accept => "A crawl takes it as it is",
        Action::SlowHost => "A crawl sends the host less at once and asks again later",
        Action::HoldHost => "A crawl only probes the host until it is back",
        Action::RetryPage => "A crawl asks again later, and slows nobody down",
        Action::RetryElsewhere => "A crawl asks once more by another way",
        Action::Escalate => "A crawl slows the host down and asks through its next pool of proxies",
        Action::EaseProxy => "A crawl uses this proxy less and asks by another one at once",
        Action::QuarantineProxy => {
            "A crawl leaves this proxy alone if it goes on so, and asks by another one at once"
        }
        Action::StopPool => "A crawl uses nothing of this pool until its credentials are right",
        Action::PauseAll => "A crawl pauses until our own network is back",
        Action::Compare => "A crawl blames nobody yet and asks by another way, which will tell",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_has_a_telling_of_its_own() {
        let causes: std::collections::BTreeSet<_> =
            Cause::ALL.iter().map(|cause| diagnosis(*cause)).collect();
        assert_eq!(causes.len(), Cause::ALL.len());
        let actions: std::collections::BTreeSet<_> =
            Action::ALL.iter().map(|word| action(*word)).collect();
        assert_eq!(actions.len(), Action::ALL.len());
        assert!(
            causes
                .iter()
                .chain(&actions)
                .all(|told| !told.ends_with('.'))
        );
        for &who in Producer::ALL {
            assert!(producer_short(who).len() <= 7, "{who}");
        }
    }
}
