//! How is a verdict explained?
//!
//! The row's own sentence first, then what it rests on. Text from the wire is cut short and made printable.

use super::facts::Facts;
use super::table::{Row, Why};
use super::words::Attribution;

/// Why a row was chosen, and by which word it knew the cause.
pub(super) fn reasons(row: &Row, facts: &Facts<'_>, word: Option<&str>) -> Vec<String> {
    let mut reasons = vec![format!("{} ({})", row.because, row.source)];
    reasons.extend(particular(row, facts));
    reasons.extend(word.map(|word| format!("it says \"{word}\"")));
    reasons.extend(
        facts
            .page_of
            .map(|product| format!("the page is {}'s", product.name)),
    );
    reasons.extend(facts.reply.status.map(|status| said(status, facts)));
    for (name, shown) in [("server", "Server"), ("via", "Via")] {
        reasons.extend(
            facts
                .field(name)
                .map(|value| format!("{shown}: {}", plain(value))),
        );
    }
    reasons.extend(
        facts
            .elapsed()
            .map(|elapsed| format!("after {} ms", elapsed.as_millis())),
    );
    reasons.truncate(Attribution::MAX_REASONS);
    for reason in &mut reasons {
        let end = reason.floor_char_boundary(Attribution::MAX_REASON);
        reason.truncate(end);
    }
    reasons
}

/// What the row found in a table of its own.
fn particular(row: &Row, facts: &Facts<'_>) -> Option<String> {
    if row.cause == Why::Challenge {
        let wall = super::challenge(facts)?;
        return Some(format!("the mark of {} ({})", wall.vendor, wall.source));
    }
    if row.cause == Why::Provider {
        let says = facts.provider.as_ref()?;
        let value = plain(facts.field(says.field).unwrap_or_default());
        let (name, source) = (says.provider.name, says.provider.source);
        return Some(format!("{name} in {}: {value} ({source})", says.field));
    }
    if row.cause == Why::ProxyStatus {
        let hop = &facts.status_origin.as_ref()?.hop;
        let error = plain(hop.error.as_deref().unwrap_or_default());
        let received = hop
            .received_status
            .map(|status| format!("; received-status={status}"));
        let received = received.unwrap_or_default();
        return Some(format!(
            "Proxy-Status: {}; error={error}{received}",
            plain(&hop.name)
        ));
    }
    None
}

fn said(status: u16, facts: &Facts<'_>) -> String {
    let reason = plain(facts.reply.reason.as_deref().unwrap_or_default());
    let space = if reason.is_empty() { "" } else { " " };
    let to = if facts.is_refusal() {
        " to CONNECT"
    } else {
        ""
    };
    format!("HTTP {status}{space}{reason}{to}")
}

/// Text from the wire, short and printable.
fn plain(text: &str) -> String {
    text.chars()
        .take(80)
        .flat_map(char::escape_default)
        .collect()
}
