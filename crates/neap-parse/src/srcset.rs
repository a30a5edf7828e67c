//! Which images does a `srcset` offer?
//!
//! The addresses of its candidates as browsers find them (WHATWG HTML, section 4.8.4.2.2, "parse a srcset
//! attribute"): a comma ends a candidate only where no address and no pair of parentheses is open.

/// The addresses of all candidates, in order.
pub(crate) fn addresses(srcset: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = srcset;
    std::iter::from_fn(move || {
        let is_between = |byte: &u8| byte.is_ascii_whitespace() || *byte == b',';
        let start = rest.iter().position(|byte| !is_between(byte))?;
        rest = &rest[start..];
        let end = rest.iter().position(u8::is_ascii_whitespace);
        let (word, behind) = rest.split_at(end.unwrap_or(rest.len()));
        let commas = word.iter().rev().take_while(|byte| **byte == b',').count();
        rest = match commas {
            0 => after_descriptors(behind),
            // The comma ends the candidate: it has no descriptors.
            1.. => behind,
        };
        Some(&word[..word.len() - commas])
    })
}

/// What follows the descriptors of a candidate and their comma.
fn after_descriptors(text: &[u8]) -> &[u8] {
    let mut depth = 0_usize;
    let end = text.iter().position(|byte| {
        match byte {
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0 && *byte == b','
    });
    end.map_or(&[], |end| &text[end + 1..])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn candidates_are_found_as_a_browser_finds_them() {
        for (srcset, expected) in [
            ("a.png", vec!["a.png"]),
            ("a.png 1x, b.png 2x", vec!["a.png", "b.png"]),
            ("  a.png 100w ,\n\tb.png 200w,", vec!["a.png", "b.png"]),
            ("a.png, b.png", vec!["a.png", "b.png"]),
            ("a.png,,, b.png", vec!["a.png", "b.png"]),
            ("a,b.png 1x", vec!["a,b.png"]),
            ("a.png,b.png", vec!["a.png,b.png"]),
            (
                "data:image/png;base64,AA 1x, b 2x",
                vec!["data:image/png;base64,AA", "b"],
            ),
            ("a (1, 2) 1x, b", vec!["a", "b"]),
            ("a (1, 2", vec!["a"]),
            ("", vec![]),
            (" , ,", vec![]),
        ] {
            let found: Vec<&[u8]> = addresses(srcset.as_bytes()).collect();
            let expected: Vec<&[u8]> = expected.iter().map(|text| text.as_bytes()).collect();
            assert_eq!(found, expected, "{srcset:?}");
        }
    }

    proptest! {
        #[test]
        fn no_srcset_makes_it_panic_or_gives_an_empty_address(srcset in "[a, ()\n]{0,40}") {
            for address in addresses(srcset.as_bytes()) {
                prop_assert!(!address.is_empty());
                prop_assert!(!address.starts_with(b",") && !address.ends_with(b","));
            }
        }
    }
}
