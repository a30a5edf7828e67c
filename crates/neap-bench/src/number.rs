//! Which number does `10M` mean?

/// Reads a count that may end in `k` or `M`.
pub(crate) fn parse(text: &str) -> Result<u64, String> {
    let (digits, times) = match text.as_bytes().last() {
        Some(b'k') => (&text[..text.len() - 1], 1_000),
        Some(b'M') => (&text[..text.len() - 1], 1_000_000),
        Some(_) | None => (text, 1),
    };
    let number: u64 = digits
        .parse()
        .map_err(|_| format!("{text:?} is no count such as 50k or 10M"))?;
    number
        .checked_mul(times)
        .ok_or_else(|| format!("{text} is too much"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_may_be_written_short() {
        for (text, number) in [
            ("0", Some(0)),
            ("50k", Some(50_000)),
            ("10M", Some(10_000_000)),
            ("M", None),
            ("1G", None),
        ] {
            assert_eq!(parse(text).ok(), number, "{text}");
        }
    }
}
