//! How is text from the wire shown without letting it act?
//!
//! A page title may hold escape sequences that rewrite the screen, or direction marks that make a URL
//! read as another one ("Trojan Source", CVE-2021-42574). What people look at shows such characters as
//! `\u{1b}`. Data that goes to a file or another program is not touched by this.

use std::borrow::Cow;

/// Text with every character that acts on a terminal, or on the order of what is read, written as
/// `\u{..}` with its hexadecimal code point. Line breaks and tabs are among them.
pub(crate) fn for_terminal(text: &str) -> Cow<'_, str> {
    if !text.contains(acts) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if acts(c) {
            shown.extend(c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

/// Longest quotation of [`quoted`], in characters.
const MAX_QUOTED: usize = 80;

/// A short quotation for a message: escaped as by [`for_terminal`], cut with `…` after 80 characters.
pub(crate) fn quoted(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(MAX_QUOTED) {
        None => for_terminal(text),
        Some((end, _)) => Cow::Owned(format!("{}…", for_terminal(&text[..end]))),
    }
}

/// Whether a character does something else than to show itself: C0 and C1 controls and DEL, line and
/// paragraph separators, direction marks and overrides (Unicode `Bidi_Control`), the byte order mark,
/// interlinear annotations and the invisible tag characters.
pub(crate) fn acts(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{61c}' | '\u{200e}' | '\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_is_shown_by_its_code_point() {
        for (given, shown) in [
            ("\u{1b}[2Jgone", "\\u{1b}[2Jgone"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("a\nb\r\tc\0", "a\\u{a}b\\u{d}\\u{9}c\\u{0}"),
            ("\u{7f}", "\\u{7f}"),
            ("gpj.\u{202e}exe", "gpj.\\u{202e}exe"),
            ("\u{2066}x\u{2069}", "\\u{2066}x\\u{2069}"),
            ("\u{2028}", "\\u{2028}"),
            ("\u{feff}a", "\\u{feff}a"),
            ("\u{e0041}", "\\u{e0041}"),
        ] {
            assert_eq!(for_terminal(given), shown, "{given:?}");
        }
    }

    #[test]
    fn a_quotation_is_short() {
        assert_eq!(quoted("\u{1b}a"), "\\u{1b}a");
        assert_eq!(quoted(&"é".repeat(80)), "é".repeat(80));
        assert_eq!(quoted(&"é".repeat(81)), format!("{}…", "é".repeat(80)));
    }

    #[test]
    fn plain_text_of_any_script_is_borrowed_as_it_is() {
        for given in ["", "Preis: 5 €", "日本語", "👩‍👩‍👧 नमस्ते", "C:\\dir"]
        {
            assert!(
                matches!(for_terminal(given), Cow::Borrowed(same) if same == given),
                "{given}"
            );
        }
    }
}
