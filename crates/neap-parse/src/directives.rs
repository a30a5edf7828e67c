//! What does a page ask of the crawlers that have read it?
//!
//! `<meta name=robots>` and the header `X-Robots-Tag`, as
//! <https://developers.google.com/search/docs/crawling-indexing/robots-meta-tag> describes them: words
//! separated by commas, in any case, of which `none` is both of those that matter here. Of several the
//! stricter holds.

/// What a page asks of crawlers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Directives {
    /// Not to be shown among results (`noindex`).
    pub no_index: bool,
    /// Not to have its links followed (`nofollow`).
    pub no_follow: bool,
}

impl Directives {
    /// Takes in one value of `X-Robots-Tag`, which may be addressed to one crawler alone:
    /// `otherbot: noindex, nofollow`.
    pub fn add_header(&mut self, value: &str, product_token: &str) {
        let (name, words) = match value.split_once(':') {
            // `unavailable_after: 25 Jun 2010` and the like are words with values.
            Some((name, words)) if is_name(name) => (Some(name.trim()), words),
            Some(_) | None => (None, value),
        };
        if name.is_none_or(|name| name.eq_ignore_ascii_case(product_token)) {
            self.add_words(words);
        }
    }

    /// Takes in the words of a `<meta>`.
    pub fn add_words(&mut self, words: &str) {
        for word in words.split(',').map(str::trim) {
            let is = |name: &str| word.eq_ignore_ascii_case(name);
            self.no_index |= is("noindex") || is("none");
            self.no_follow |= is("nofollow") || is("none");
        }
    }

    /// Takes in what was asked elsewhere.
    pub fn add(&mut self, other: Directives) {
        self.no_index |= other.no_index;
        self.no_follow |= other.no_follow;
    }
}

/// Whether what stands before the first colon is the name of a crawler.
fn is_name(text: &str) -> bool {
    let text = text.trim();
    let takes_value = [
        "unavailable_after",
        "max-snippet",
        "max-image-preview",
        "max-video-preview",
    ];
    !text.contains([',', ' '])
        && !takes_value
            .iter()
            .any(|word| text.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_as_they_are_addressed() {
        for (value, no_index, no_follow) in [
            ("noindex", true, false),
            ("NoFollow", false, true),
            ("noarchive, nofollow ,noindex", true, true),
            ("none", true, true),
            ("all", false, false),
            ("neap: noindex", true, false),
            ("NEAP: none", true, true),
            ("otherbot: noindex, nofollow", false, false),
            ("unavailable_after: 25 Jun 2010 15:00:00 PST", false, false),
            ("noindex, max-snippet:20, nofollow", true, true),
            ("max-snippet:20, nofollow", false, true),
            ("nofollows", false, false),
            ("", false, false),
        ] {
            let mut found = Directives::default();
            found.add_header(value, "neap");
            assert_eq!(
                found,
                Directives {
                    no_index,
                    no_follow
                },
                "{value}"
            );
        }
    }
}
