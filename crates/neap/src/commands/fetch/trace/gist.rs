//! What does an error page say, in a few words?

use crate::print::escape::for_terminal;

/// Bytes of a page that are looked at.
const LOOKED_AT: usize = 4 << 10;

/// Characters of the gist and of a header's value in a line.
const MOST: usize = 48;

/// The title of a page, or else its first words; `None` if it has none. Escaped for the terminal.
pub(super) fn gist(body: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(&body[..body.len().min(LOOKED_AT)]);
    let title = title(&text).map(str::to_owned);
    let words = title.map_or_else(|| without_markup(&text), |title| without_markup(&title));
    let words: Vec<&str> = words.split_whitespace().take(MOST).collect();
    let words = words.join(" ");
    (!words.is_empty()).then(|| short(&words))
}

/// The first characters of a text, escaped for the terminal.
pub(super) fn short(text: &str) -> String {
    match text.char_indices().nth(MOST) {
        None => for_terminal(text).into_owned(),
        Some((end, _)) => format!("{}…", for_terminal(&text[..end])),
    }
}

fn title(page: &str) -> Option<&str> {
    // Lower case of the same length, so that places in it are places in the page.
    let lower = page.to_ascii_lowercase();
    let open = lower.find("<title")?;
    let start = open + lower[open..].find('>')? + 1;
    let end = start + lower[start..].find("</title")?;
    let title = page[start..end].trim();
    (!title.is_empty()).then_some(title)
}

fn without_markup(page: &str) -> String {
    let mut text = String::new();
    let mut is_markup = false;
    for c in page.chars() {
        match c {
            '<' => is_markup = true,
            '>' if is_markup => {
                is_markup = false;
                text.push(' ');
            }
            c if !is_markup => text.push(c),
            _ => {}
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_in_a_few_words() {
        for (page, words) in [
            ("Bad gateway\n", Some("Bad gateway")),
            (
                "<html><head><title>502 Bad\n Gateway</title></head><h1>x",
                Some("502 Bad Gateway"),
            ),
            (
                "<TITLE ></TITLE><H1>Not  here</H1><hr>nginx",
                Some("Not here nginx"),
            ),
            ("{\"error\": 1}", Some("{\"error\": 1}")),
            ("<style", None),
            ("", None),
            ("\u{1b}[2Jgone", Some("\\u{1b}[2Jgone")),
        ] {
            assert_eq!(gist(page.as_bytes()).as_deref(), words, "{page}");
        }
        assert_eq!(gist(&[0xff, b'x']).as_deref(), Some("\u{fffd}x"));
        let long = gist("é".repeat(9000).as_bytes()).unwrap();
        assert_eq!(long.chars().count(), MOST + 1);
    }
}
