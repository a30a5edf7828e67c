//! How does neap speak to people? On standard error, and going on if nobody listens any more.

/// Says a line on standard error. A terminal that was closed is no reason to end a crawl, or to panic.
macro_rules! say {
    ($($words:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), $($words)*);
    }};
}
