//! Which URLs does a plain list hold, one a line?

use super::{Sitemap, Written};

/// Whether a text is such a list: its first line that is not empty is a URL. Anything else that was
/// answered in place of a list (an error in words, a page) has none there.
pub(super) fn is_list(beginning: &[u8]) -> bool {
    let text = String::from_utf8_lossy(beginning);
    let first = text.lines().map(str::trim).find(|line| !line.is_empty());
    first.is_some_and(|line| {
        let starts_with = |scheme: &str| {
            line.get(..scheme.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(scheme))
        };
        starts_with("http://") || starts_with("https://")
    })
}

/// Takes every line that is not empty.
pub(super) fn read(text: &str, found: &mut Sitemap) {
    let lines = text.split(['\n', '\r']).map(str::trim);
    for line in lines.filter(|line| !line.is_empty()) {
        if !found.take(line, None, &Written::default()) {
            return;
        }
    }
}
