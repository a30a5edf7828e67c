//! `neap body`: what was stored of a URL?

use std::io::Write;

use neap_core::CanonicalUrl;

use super::place::reader;
use crate::cli::Global;
use crate::exit::{self, Exit};
use crate::failure::Failure;
use crate::print::until_closed;

/// Largest decoded body that is written; the largest that a job can store.
const MAX_BODY: u64 = neap_core::job::MAX_BODY_CEILING;

/// Writes the newest stored body of a URL to standard output.
///
/// # Errors
/// The URL was never fetched, its job kept no bodies, or the segment file is damaged.
pub(crate) async fn body(
    global: &Global,
    url: &str,
    is_raw: bool,
    with_head: bool,
) -> Result<Exit, Failure> {
    let parsed = CanonicalUrl::parse(url).map_err(|error| {
        Failure::usage(
            format!("`{url}` cannot be asked for: {error}"),
            "write the whole URL",
        )
    })?;
    let stored = reader(global).await?.body(&parsed, None).await?;
    let stored = stored.ok_or_else(|| {
        Failure::usage(
            format!("no body of {parsed} is stored"),
            "`neap query \"SELECT url, status FROM results\"` lists what is; \
             a job with `[store] bodies = \"none\"` keeps none",
        )
    })?;
    let coding = stored.content_encoding.as_deref().unwrap_or_default();
    let decoded;
    let payload = if is_raw {
        &stored.payload[..]
    } else {
        decoded = neap_fetch::decode(coding, &stored.payload, MAX_BODY).map_err(|error| {
            Failure::error(format!("the body of {parsed} cannot be decoded: {error}"))
        })?;
        &decoded[..]
    };
    let write = || {
        let mut out = std::io::stdout().lock();
        if with_head {
            write!(out, "{}\r\n\r\n", stored.head)?;
        }
        out.write_all(payload)?;
        out.flush()
    };
    until_closed(write())?;
    Ok(exit::DONE)
}
