//! Which pages does the origin serve?
//!
//! HTML of some 10 KB with 32 links, in words that compress about as well as prose. A page is named by
//! its number; its links are a tree, by which every page is reached, and others from all over the site.

use std::fmt::Write;

/// Bytes of a page's body, about.
const BODY_BYTES: usize = 10_000;

/// Links of a page: its children in the tree, two to other sites, and any pages for the rest.
const LINKS: u64 = 32;
const CHILDREN: u64 = 4;

/// Texts that the pages take turns with.
const TEXTS: usize = 61;

/// What is served.
#[derive(Debug)]
pub(crate) struct Site {
    pages: u64,
    texts: Vec<String>,
}

impl Site {
    /// A site whose links lead to `pages` pages; any page beyond them can be asked for as well.
    pub(crate) fn new(pages: u64) -> Site {
        let words = words();
        let texts = (0..TEXTS).map(|text| prose(&words, text as u64)).collect();
        Site { pages, texts }
    }

    /// The path of a page.
    pub(crate) fn path(page: u64) -> String {
        format!("/catalogue/section-{}/item-{page:08}", page % 97)
    }

    /// The page that a path names.
    pub(crate) fn page_of(path: &str) -> Option<u64> {
        if path == "/" {
            return Some(0);
        }
        path.rsplit_once("/item-")?.1.parse().ok()
    }

    /// Writes the body of a page behind what is there.
    pub(crate) fn write(&self, page: u64, body: &mut String) {
        let text = &self.texts[page as usize % TEXTS];
        let _ = write!(
            body,
            "<!doctype html><html><head><meta charset=utf-8><title>Item {page}</title></head><body><nav>"
        );
        let mut dice = Dice::new(page);
        for link in 0..LINKS {
            let child = page * CHILDREN + 1 + link;
            let target = if link < CHILDREN && child < self.pages {
                child
            } else {
                dice.next() % self.pages
            };
            let _ = if link >= LINKS - 2 {
                write!(body, "<a href=\"https://elsewhere.example/{}\">", link)
            } else {
                write!(body, "<a href=\"{}\">", Site::path(target))
            };
            let _ = write!(body, "Item {target}</a> ");
        }
        body.push_str("</nav><main>");
        let end = "</main></body></html>";
        let left = BODY_BYTES.saturating_sub(body.len() + end.len());
        body.push_str(&text[..text.floor_char_boundary(left)]);
        body.push_str(end);
    }
}

/// 2,000 made-up words.
fn words() -> Vec<String> {
    const SYLLABLES: [&str; 16] = [
        "ba", "con", "di", "fer", "gal", "ho", "in", "ka", "lu", "mon", "ne", "pro", "ri", "su",
        "ter", "vo",
    ];
    let mut dice = Dice::new(7);
    let word = |_| {
        let syllables = 1 + dice.next() % 4;
        (0..syllables)
            .map(|_| SYLLABLES[dice.next() as usize % SYLLABLES.len()])
            .collect()
    };
    (0..2000).map(word).collect()
}

/// Paragraphs in which few words are frequent and many are rare.
fn prose(words: &[String], seed: u64) -> String {
    let mut dice = Dice::new(seed + 1000);
    let mut text = String::with_capacity(BODY_BYTES + 200);
    while text.len() < BODY_BYTES {
        text.push_str("<p class=\"text\">");
        for _ in 0..60 {
            let share = (dice.next() % 10_000) as f64 / 10_000.0;
            let word = (share.powi(3) * words.len() as f64) as usize;
            text.push_str(&words[word]);
            text.push(' ');
        }
        text.push_str("</p>\n");
    }
    text
}

/// Dice that fall the same way each time (xorshift64*).
#[derive(Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_page_is_reached_and_is_about_as_large_as_said() {
        let site = Site::new(500);
        let mut seen = BTreeSet::from([0]);
        let mut queue = vec![0];
        while let Some(page) = queue.pop() {
            let mut body = String::new();
            site.write(page, &mut body);
            assert_eq!(body.len(), BODY_BYTES, "page {page}");
            for link in body.split("href=\"/").skip(1) {
                let path = format!("/{}", link.split('"').next().unwrap_or_default());
                let target = Site::page_of(&path).expect("the site's own path");
                if seen.insert(target) {
                    queue.push(target);
                }
            }
        }
        assert_eq!(seen, (0..500).collect());
    }
}
