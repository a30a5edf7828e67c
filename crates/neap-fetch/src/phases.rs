//! How long did names, connecting and waiting take, in this exchange?
//!
//! Who makes a connection notes what it learns in the record of the exchange that it is made for. What
//! lies deeper, as the check of a certificate within TLS, finds that record in a task-local.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::HeaderMap;
use neap_core::exchange::Timings;
use neap_core::route::{Certificate, Route};
use tokio::time::Instant;

use crate::failure;
use crate::incoming::ClientError;

tokio::task_local! {
    static CURRENT: Arc<Phases>;
}

/// What one exchange has gone through so far.
#[derive(Debug)]
pub(crate) struct Phases {
    started: Instant,
    /// Whether the host may have an address that is not of the public internet.
    may_be_private: bool,
    noted: Mutex<Noted>,
}

#[derive(Debug, Default)]
struct Noted {
    dns: Option<Duration>,
    connecting_since: Option<Instant>,
    connected_at: Option<Instant>,
    first_byte: Option<Duration>,
    /// The certificate that was last shown, trusted or not.
    certificate: Option<Certificate>,
    /// The way through a proxy, as far as a connection that was begun had come.
    route: Option<Route>,
    /// How the connection through a proxy was made that the request was sent on.
    used: Option<Arc<Route>>,
    tls_alert: Option<String>,
    was_reset: bool,
    /// The header of an answer whose body failed.
    begun: Option<HeaderMap>,
    reason: Option<String>,
    /// Time spent waiting for memory or a socket, which is not the host's.
    waited: Duration,
}

impl Phases {
    pub(crate) fn start(may_be_private: bool) -> Arc<Phases> {
        Arc::new(Phases {
            started: Instant::now(),
            may_be_private,
            noted: Mutex::default(),
        })
    }

    /// Runs `work` with this as the record that resolver and connector write to.
    pub(crate) async fn note<F: Future>(self: &Arc<Phases>, work: F) -> F::Output {
        CURRENT.scope(Arc::clone(self), work).await
    }

    /// The moment at which the server has been silent for too long, if its header has not come yet.
    /// While a connection is made, that has its own timeout, and silence is counted after it.
    pub(crate) fn header_deadline(&self, connect_timeout: Duration, silence: Duration) -> Instant {
        let noted = self.lock();
        match (noted.connected_at, noted.connecting_since) {
            (Some(at), _) => at + silence,
            (None, Some(since)) => since + connect_timeout + silence,
            (None, None) => self.started + noted.waited + silence,
        }
    }

    /// The moment at which the whole exchange has taken too long.
    pub(crate) fn total_deadline(&self, total: Duration) -> Instant {
        self.started + total + self.lock().waited
    }

    pub(crate) fn header_came(&self) {
        let mut noted = self.lock();
        noted.first_byte = Some(self.started.elapsed().saturating_sub(noted.waited));
    }

    /// Takes time out of what the exchange took.
    pub(crate) fn waited(&self, wait: Duration) {
        self.lock().waited += wait;
    }

    pub(crate) fn begin_to_connect(&self) {
        self.lock().connecting_since = Some(Instant::now());
    }

    pub(crate) fn has_been_connected(&self) {
        self.lock().connected_at = Some(Instant::now());
    }

    /// Whether a connection was made for this exchange, rather than a kept one used.
    pub(crate) fn has_connected(&self) -> bool {
        self.lock().connected_at.is_some()
    }

    /// Forgets the connection, since another one is going to be made for the same exchange.
    pub(crate) fn connect_again(&self) {
        let mut noted = self.lock();
        noted.dns = None;
        noted.connecting_since = None;
        noted.connected_at = None;
        noted.certificate = None;
        noted.route = None;
        noted.used = None;
        noted.tls_alert = None;
        noted.was_reset = false;
    }

    /// Whether a connection was begun for this exchange.
    pub(crate) fn has_begun_to_connect(&self) -> bool {
        self.lock().connecting_since.is_some()
    }

    /// The certificate that was shown, if a connection was made.
    pub(crate) fn certificate(&self) -> Option<Certificate> {
        self.lock().certificate.clone()
    }

    /// The way through a proxy, as far as a connection that was begun had come.
    pub(crate) fn begun_route(&self) -> Option<Route> {
        self.lock().route.clone()
    }

    /// How the connection through a proxy was made that the request was sent on.
    pub(crate) fn used_route(&self) -> Option<Arc<Route>> {
        self.lock().used.clone()
    }

    /// The request is sent on a connection that was made so.
    pub(crate) fn use_route(&self, route: Option<Arc<Route>>) {
        self.lock().used = route;
    }

    /// Notes what an error tells beyond its kind.
    pub(crate) fn saw(&self, error: &ClientError) {
        let error = error.as_error();
        let mut noted = self.lock();
        noted.tls_alert = failure::alert(error);
        noted.was_reset = failure::was_reset(error);
        if let Some(broken) = failure::broken(error) {
            noted.route = Some((*broken.route).clone());
        }
    }

    pub(crate) fn tls_alert(&self) -> Option<String> {
        self.lock().tls_alert.clone()
    }

    /// Whether the last error was a reset by the other side.
    pub(crate) fn was_reset(&self) -> bool {
        self.lock().was_reset
    }

    /// Notes the header of an answer whose body failed.
    pub(crate) fn note_begun(&self, headers: HeaderMap) {
        self.lock().begun = Some(headers);
    }

    /// Takes that header.
    pub(crate) fn take_begun(&self) -> Option<HeaderMap> {
        self.lock().begun.take()
    }

    /// Notes the reason phrase of the answer.
    pub(crate) fn note_reason(&self, reason: Option<String>) {
        self.lock().reason = reason;
    }

    pub(crate) fn reason(&self) -> Option<String> {
        self.lock().reason.clone()
    }

    /// The timings up to now.
    pub(crate) fn timings(&self) -> Timings {
        let noted = self.lock();
        let connect = match (noted.connecting_since, noted.connected_at) {
            (Some(since), Some(at)) => Some(
                at.duration_since(since)
                    .saturating_sub(noted.dns.unwrap_or_default()),
            ),
            (Some(_) | None, Some(_) | None) => None,
        };
        // With a header but without a connection of its own, a kept connection was used after all,
        // and a name that was looked up meanwhile was not needed.
        let dns_was_needed = connect.is_some() || noted.first_byte.is_none();
        Timings {
            dns: noted.dns.filter(|_| dns_was_needed),
            connect,
            first_byte: noted.first_byte,
            total: self.started.elapsed().saturating_sub(noted.waited),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Noted> {
        // A panic elsewhere cannot leave plain numbers half written.
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the exchange that polls may connect to an address that is not of the public internet. Outside of an
/// exchange nothing may.
pub(crate) fn may_be_private() -> bool {
    CURRENT
        .try_with(|phases| phases.may_be_private)
        .unwrap_or(false)
}

/// Notes how long a name took to resolve.
pub(crate) fn note_dns(took: Duration) {
    note(|noted| noted.dns = Some(took));
}

/// Notes a certificate that was shown, or that the last one is not the host's.
pub(crate) fn note_certificate(certificate: Option<Certificate>) {
    note(|noted| noted.certificate = certificate);
}

/// The certificate that this exchange was shown last.
pub(crate) fn noted_certificate() -> Option<Certificate> {
    CURRENT.try_with(|phases| phases.certificate()).ok()?
}

/// Notes how far a connection through a proxy has come.
pub(crate) fn note_route(route: &Route) {
    note(|noted| noted.route = Some(route.clone()));
}

fn note(write: impl FnOnce(&mut Noted)) {
    // Outside of an exchange there is nothing to note, see above.
    let _ = CURRENT.try_with(|phases| write(&mut phases.lock()));
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn silence_is_counted_from_the_end_of_connecting() {
        let phases = Phases::start(false);
        let begin = phases.started;
        assert_eq!(
            phases.header_deadline(5 * SECOND, 3 * SECOND),
            begin + 3 * SECOND
        );
        phases.begin_to_connect();
        assert_eq!(
            phases.header_deadline(5 * SECOND, 3 * SECOND),
            begin + 8 * SECOND
        );
        let resolving = async {
            tokio::time::sleep(SECOND).await;
            note_dns(SECOND / 4);
        };
        phases.note(resolving).await;
        phases.has_been_connected();
        assert_eq!(
            phases.header_deadline(5 * SECOND, 3 * SECOND),
            begin + 4 * SECOND
        );
        let timings = phases.timings();
        assert_eq!(timings.dns, Some(SECOND / 4));
        assert_eq!(timings.connect, Some(SECOND * 3 / 4));
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_for_what_we_lack_is_not_the_hosts_time() {
        let phases = Phases::start(false);
        tokio::time::sleep(3 * SECOND).await;
        phases.waited(2 * SECOND);
        assert_eq!(phases.timings().total, SECOND);
        assert_eq!(
            phases.total_deadline(10 * SECOND),
            phases.started + 12 * SECOND
        );
    }
}
