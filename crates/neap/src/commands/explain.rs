//! `neap explain URL`: what happened to a URL, what does it wait for, and until when?

use std::io::Write;

use neap_core::{CanonicalUrl, JobId};
use neap_store::{JobRow, Reader};

use super::hosts::now;
use super::place::reader;
use super::which::unknown_url;
use crate::cli::Global;
use crate::exit::{self, Exit};
use crate::failure::Failure;
use crate::print::escape::quoted;
use crate::print::until_closed;
use crate::tell::{RequestStory, explain as told, explain_skipped};

/// Rounds that are told of, the newest.
const ROUNDS_TOLD: usize = 3;

/// Tells of one URL, in the newest rounds that know it.
///
/// # Errors
/// There is no store, it is no URL, or nothing is known of it.
pub(crate) async fn explain(global: &Global, text: &str) -> Result<Exit, Failure> {
    let url = CanonicalUrl::parse(text).map_err(|error| {
        Failure::usage(
            format!("{} cannot be asked for: {error}", quoted(text)),
            "write the whole URL, such as `https://shop.example/page`",
        )
    })?;
    let reader = reader(global).await?;
    let mut lines = requests(&reader, &url).await?;
    if lines.is_empty() {
        lines = skipped_link(&reader, &url).await?;
    }
    if lines.is_empty() {
        return Err(unknown_url(&reader, &url).await?);
    }
    until_closed(writeln!(std::io::stdout(), "{}", lines.join("\n")))?;
    Ok(exit::DONE)
}

async fn requests(reader: &Reader, url: &CanonicalUrl) -> Result<Vec<String>, Failure> {
    let stories = reader.stories(url).await?;
    let Some(host) = reader.host(url.host().as_str()).await? else {
        return Ok(Vec::new());
    };
    let robots = reader.robots_body(host.host).await?;
    let now = now(reader).await?;
    let older = stories.len().saturating_sub(ROUNDS_TOLD);
    let mut lines = Vec::new();
    for story in stories.into_iter().take(ROUNDS_TOLD) {
        let request = RequestStory {
            job: job(reader, story.job).await?,
            url: url.clone(),
            host: host.clone(),
            robots: robots.clone(),
            story,
        };
        lines.extend(told(&request, &now));
    }
    if older > 0 {
        lines.push(format!("{older} older are in the table `requests`"));
    }
    Ok(lines)
}

async fn skipped_link(reader: &Reader, url: &CanonicalUrl) -> Result<Vec<String>, Failure> {
    let links = reader.skipped_links(url).await?;
    let Some(link) = links.first() else {
        return Ok(Vec::new());
    };
    let host = reader.host(url.host().as_str()).await?;
    let robots = match host {
        Some(host) => reader.robots_body(host.host).await?,
        None => None,
    };
    let job = job(reader, link.job).await?;
    Ok(explain_skipped(url, link, job.as_ref(), robots.as_deref()))
}

async fn job(reader: &Reader, id: JobId) -> Result<Option<JobRow>, Failure> {
    let jobs = reader.jobs().await?;
    Ok(jobs.into_iter().find(|row| row.job_id == id))
}
