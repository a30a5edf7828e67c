//! What happened to one URL, and what does it wait for?

use neap_core::CanonicalUrl;
use neap_core::scope::{Pattern, ScopeKind};
use neap_parse::Robots;
use neap_parse::robots::product_token;
use neap_store::{HostSummary, JobRow, JobState, Meanwhile, SkippedLink, Story};

use super::attempt::attempt;
use super::causes::cause;
use super::host::{in_flight, own_state, waits};
use super::time::{ahead, at, span};
use super::{Now, limit};
use crate::print::escape::for_terminal;
use crate::screen::{bytes, grouped, number};

/// Roots of a scope that are named.
const ROOTS_TOLD: usize = 3;

/// All that is known of a request.
#[derive(Debug)]
pub(crate) struct RequestStory {
    /// What happened to it.
    pub(crate) story: Story,
    /// Its URL.
    pub(crate) url: CanonicalUrl,
    /// Its host.
    pub(crate) host: HostSummary,
    /// Its job.
    pub(crate) job: Option<JobRow>,
    /// The robots file of its host.
    pub(crate) robots: Option<Vec<u8>>,
}

/// What happened to a request, what it is now, and what it waits for.
pub(crate) fn explain(request: &RequestStory, now: &Now) -> Vec<String> {
    let story = &request.story;
    let mut told = vec![for_terminal(&story.url).into_owned()];
    told.push(format!("  {}", origin(story)));
    told.extend(story.attempts.iter().flat_map(|tried| attempt(tried, now)));
    told.extend(meanwhile(request, now));
    for hop in &story.chain {
        let status = match hop.status {
            Some(status) => status.to_string(),
            None => hop.state.clone(),
        };
        told.push(format!(
            "  Redirected to {} ({status}).",
            for_terminal(&hop.url)
        ));
    }
    told.extend(body(story));
    told
}

/// Where the request comes from.
fn origin(story: &Story) -> String {
    let job = format!(
        "Of the job {}, round {}",
        for_terminal(&story.job_name),
        story.round
    );
    if let Some(source) = &story.redirect_of {
        return format!("{job}: the redirect of {} led here.", for_terminal(source));
    }
    match &story.found_on {
        Some(page) => format!(
            "{job}: found on {}, {} from the input.",
            for_terminal(page),
            number(u64::from(story.depth), "link")
        ),
        // Links have a page; what else is not of the input is a sitemap.
        None if story.depth > 0 => format!("{job}: a sitemap that a robots.txt names."),
        None => format!("{job}: a URL of its input."),
    }
}

/// What the request is now, and what it waits for.
fn meanwhile(request: &RequestStory, now: &Now) -> Vec<String> {
    let RequestStory { story, host, .. } = request;
    if let Some((since, epoch)) = story.in_flight_since {
        return vec![in_flight_since(since, now.is_live(epoch), now)];
    }
    match &story.now {
        Meanwhile::Done => vec![match story.page {
            Some((status, fetched, size)) => format!(
                "  Done: {} at {}, {}.",
                cause(&format!("http_{status}")),
                at(fetched, now.at),
                bytes(size)
            ),
            None => "  Done.".to_owned(),
        }],
        Meanwhile::Failed(why) => {
            let why = why
                .as_deref()
                .map_or_else(String::new, |word| format!(": {}", cause(word)));
            vec![format!("  Given up{why}.")]
        }
        Meanwhile::Skipped(reason) => {
            vec![format!("  Not asked for: {}.", skipped(request, reason))]
        }
        Meanwhile::Waiting { until } => {
            let own = match until.since(now.at).is_zero() {
                true => format!("its own backoff is over since {}", at(*until, now.at)),
                false => format!(
                    "for the end of its own backoff, at {} ({})",
                    at(*until, now.at),
                    ahead(*until, now.at)
                ),
            };
            let mut told = vec![format!("  It waits: {own}.")];
            told.extend(of_host(host, now));
            told.extend(paused(request).or_else(|| without_run(now)));
            told
        }
        Meanwhile::Ready => {
            let mut told = of_host(host, now);
            match paused(request).or_else(|| without_run(now)) {
                Some(nobody) => told.push(nobody),
                None if told.is_empty() => told.push(its_turn(host, now)),
                None => {}
            }
            told
        }
    }
}

fn in_flight_since(since: neap_core::UnixMs, is_live: bool, now: &Now) -> String {
    let since_when = at(since, now.at);
    if is_live {
        let long = span(now.at.since(since));
        format!("  It is in flight since {since_when}, for {long}.")
    } else {
        format!(
            "  It was sent at {since_when}, and the run died without a word: the next one asks it again."
        )
    }
}

/// What the request's host makes it wait for.
fn of_host(host: &HostSummary, now: &Now) -> Vec<String> {
    if host.standing.is_none() || own_state(host, now) == "steady" {
        return Vec::new();
    }
    let Some(waits) = waits(host, now) else {
        return Vec::new();
    };
    vec![format!("  Its host {} holds it back.", host.name), waits]
}

fn paused(request: &RequestStory) -> Option<String> {
    let job = request.job.as_ref()?;
    let name = for_terminal(&job.name);
    (job.state == JobState::Paused).then(|| {
        format!("  Its job is paused, so nobody asks for it: `neap continue {name}` lets it go on.")
    })
}

fn without_run(now: &Now) -> Option<String> {
    (!now.live.is_running).then(|| "  No run is at work: `neap resume` goes on with it.".to_owned())
}

fn its_turn(host: &HostSummary, now: &Now) -> String {
    let sent = in_flight(host, now);
    let others = host.ready.saturating_sub(u64::from(sent) + 1);
    let may = host
        .standing
        .as_ref()
        .map_or_else(String::new, |(standing, ..)| {
            format!(
                "; its host has {sent} in flight and may have {}",
                limit(standing.limit)
            )
        });
    format!(
        "  It is ready and waits for its turn among {} of its host{may}.",
        number(others, "other")
    )
}

fn body(story: &Story) -> Option<String> {
    let (file, offset, size) = story.body.as_ref()?;
    Some(format!(
        "  Its body is in the segment {}, {} from byte {} on: `neap body` writes it out.",
        for_terminal(file),
        number(*size, "byte"),
        grouped(*offset),
    ))
}

/// What is known of a URL that is only a link that was not asked for.
pub(crate) fn explain_skipped(
    url: &CanonicalUrl,
    link: &SkippedLink,
    job: Option<&JobRow>,
    robots: Option<&[u8]>,
) -> Vec<String> {
    let found = match (&link.found_on, job) {
        (Some(page), Some(job)) => format!(
            "  Found by the job {}, round {}, on {}.",
            for_terminal(&job.name),
            job.round,
            for_terminal(page)
        ),
        (Some(page), None) => format!("  Found on {}.", for_terminal(page)),
        (None, _) => "  Found as a link.".to_owned(),
    };
    let why = reason(url, &link.reason, link.depth, job, robots);
    vec![
        for_terminal(url.as_str()).into_owned(),
        found,
        format!("  Not asked for: {why}."),
    ]
}

fn skipped(request: &RequestStory, word: &str) -> String {
    let (story, robots) = (&request.story, request.robots.as_deref());
    reason(
        &request.url,
        word,
        story.depth,
        request.job.as_ref(),
        robots,
    )
}

/// Why a URL is not asked for, down to the pattern or the line that says so.
fn reason(
    url: &CanonicalUrl,
    word: &str,
    depth: u32,
    job: Option<&JobRow>,
    robots: Option<&[u8]>,
) -> String {
    let Some(job) = job else {
        return for_terminal(word).into_owned();
    };
    let crawl = &job.spec.crawl;
    match word {
        "scope" => out_of_scope(job),
        "not_included" => format!(
            "no pattern of `crawl.include` matches it ({})",
            list(&crawl.include)
        ),
        "excluded" => match crawl.exclude.iter().find(|p| p.matches(url.url())) {
            Some(pattern) => format!("`crawl.exclude` has the pattern `{}`", shown(pattern)),
            None => "a pattern that `crawl.exclude` had then matched it".to_owned(),
        },
        "too_deep" => match crawl.max_depth {
            Some(most) => format!(
                "it is {} from the input, and `crawl.max_depth` is {most}",
                number(u64::from(depth), "link")
            ),
            None => "it was deeper than `crawl.max_depth` was then".to_owned(),
        },
        "max_pages" => match crawl.max_pages {
            Some(most) => format!(
                "`crawl.max_pages` = {} was reached before its turn came",
                grouped(most)
            ),
            None => "`crawl.max_pages` was reached before its turn came".to_owned(),
        },
        "robots" => forbidden(url, job, robots),
        "nofollow" => {
            "the page or the link asks crawlers not to follow it, and `crawl.nofollow` heeds that"
                .to_owned()
        }
        "nested_sitemap" => format!(
            "more than {} sitemap indexes lie above it",
            neap_core::order::MAX_INDEXES
        ),
        "long_url" => format!(
            "it has {} bytes, and `crawl.traps.max_url_length` is {}",
            grouped(url.as_str().len() as u64),
            grouped(crawl.traps.max_url_length.into())
        ),
        "repeating_path" => format!(
            "a segment of its path comes more than {} times (`crawl.traps.max_repeated_segments`)",
            crawl.traps.max_repeated_segments
        ),
        "far_date" => format!(
            "it is a page of a calendar more than {} ahead (`crawl.traps.max_years_ahead`)",
            number(crawl.traps.max_years_ahead.into(), "year")
        ),
        "query_variants" => format!(
            "its path has {} queries already that are combinations of few values (`crawl.traps.max_query_variants`)",
            grouped(crawl.traps.max_query_variants.into())
        ),
        "near_duplicates" => format!(
            "more than {} pages of its part of the site said what others had said (`crawl.traps.max_near_duplicates`)",
            grouped(crawl.traps.max_near_duplicates.into())
        ),
        "private_address" => {
            "its host is not on the public internet; only `request.private_addresses = true`, or naming \
             that host in the input, opens it"
                .to_owned()
        }
        "foreign_sitemap" => {
            "a sitemap of another site lists it, which no robots.txt or job file names".to_owned()
        }
        other => for_terminal(other).into_owned(),
    }
}

fn out_of_scope(job: &JobRow) -> String {
    let kind = match job.spec.crawl.scope {
        ScopeKind::Page => {
            return "`crawl.scope = \"page\"` asks for the input URLs alone".to_owned();
        }
        ScopeKind::Path => "path",
        ScopeKind::Host => "host",
        ScopeKind::Domain => "domain",
        ScopeKind::Any => "any",
    };
    let roots: Vec<_> = job.scope_roots.iter().take(ROOTS_TOLD).collect();
    let roots: Vec<_> = roots.iter().map(|root| for_terminal(root)).collect();
    let more = match job.scope_roots.len().saturating_sub(ROOTS_TOLD) {
        0 => String::new(),
        more => format!(" and {}", number(more as u64, "other")),
    };
    format!(
        "it leads further than `crawl.scope = \"{kind}\"` allows ({}{more})",
        roots.join(", ")
    )
}

fn forbidden(url: &CanonicalUrl, job: &JobRow, robots: Option<&[u8]>) -> String {
    let token = product_token(&job.spec.identity.user_agent);
    let rules = robots.map(|body| Robots::parse(body, token));
    let target = &url.url()[url::Position::BeforePath..url::Position::AfterQuery];
    let rule = rules.as_ref().and_then(|rules| {
        let verdict = rules.verdict(target);
        verdict.rule.filter(|_| !verdict.allowed)
    });
    match rule {
        Some(rule) => format!("robots.txt forbids it: {rule}"),
        None => "robots.txt forbade it when its turn came".to_owned(),
    }
}

fn list(patterns: &[Pattern]) -> String {
    let shown: Vec<_> = patterns.iter().map(|p| format!("`{}`", shown(p))).collect();
    shown.join(", ")
}

fn shown(pattern: &Pattern) -> String {
    for_terminal(&pattern.to_string()).into_owned()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use neap_core::{HostId, JobId, RequestId, UnixMs};
    use neap_store::{Counts, Hop, Standing, Tried};

    use super::super::host::tests::{NOON, after_noon, host, now, probed};
    use super::*;

    fn story(meanwhile: Meanwhile) -> Story {
        Story {
            request: RequestId(1),
            job: JobId(1),
            job_name: "shop".to_owned(),
            round: 2,
            url: "http://a.example/p/1".to_owned(),
            host: HostId(1),
            depth: 2,
            found_on: Some("http://a.example/".to_owned()),
            redirect_of: None,
            chain: Vec::new(),
            attempts: Vec::new(),
            now: meanwhile,
            in_flight_since: None,
            body: None,
            page: None,
        }
    }

    fn job(crawl: &str) -> JobRow {
        let text = format!(
            "neap = 1\nname = \"shop\"\n[input]\nurls = [\"http://a.example/\"]\n[crawl]\n{crawl}"
        );
        let file = crate::jobfile::read_text("test.toml", &text, &[]).unwrap();
        JobRow {
            job_id: JobId(1),
            name: "shop".to_owned(),
            round: 2,
            spec: file.job,
            scope_roots: ["a.example".to_owned()].into(),
            state: JobState::Unfinished,
            submitted: NOON,
            finished: None,
            counts: Counts::default(),
        }
    }

    fn request(story: Story, standing: Standing) -> RequestStory {
        RequestStory {
            url: CanonicalUrl::parse(&story.url).unwrap(),
            story,
            host: host(standing),
            job: Some(job("scope = \"host\"")),
            robots: None,
        }
    }

    fn steady() -> Standing {
        Standing {
            limit: 4.0,
            in_flight: 4,
            ..Standing::default()
        }
    }

    fn told(story: Story, standing: Standing, is_running: bool) -> String {
        explain(&request(story, standing), &now(is_running)).join("\n")
    }

    #[test]
    fn a_page_of_a_failing_host_tells_its_attempts_and_what_it_waits_for() {
        let mut story = story(Meanwhile::Waiting {
            until: after_noon(4),
        });
        story.attempts = vec![Tried {
            number: 1,
            at: after_noon(-2),
            took: Some(Duration::from_millis(12)),
            status: Some(502),
            cause: Some("http_502".to_owned()),
            fault: Some("host".to_owned()),
            error: None,
            is_charged: false,
            backoff: Some(Duration::from_secs(6)),
            egress: None,
            connect_status: None,
            verdict: None,
        }];
        assert_eq!(
            told(story, probed(), true),
            "\
http://a.example/p/1
  Of the job shop, round 2: found on http://a.example/, 2 links from the input.
  Attempt 1 at 11:59:58Z: answered 502 (Bad Gateway) after 12 ms; the host's fault; not charged to the page; to be asked again after 6.0 s.
  It waits: for the end of its own backoff, at 12:00:04Z (in 4.0 s).
  Its host http://a.example holds it back.
  It has done nothing but fail since 11:56:50Z (3 min 10 s ago), so it is only probed, one request at a time; the next probe goes in 3.0 s, and its other requests wait until it answers."
        );
    }

    #[test]
    fn a_request_of_a_paused_job_waits_for_a_person() {
        let until = after_noon(4);
        for meanwhile in [Meanwhile::Ready, Meanwhile::Waiting { until }] {
            for is_running in [true, false] {
                let mut request = request(story(meanwhile.clone()), steady());
                request.job.as_mut().unwrap().state = JobState::Paused;
                let told = explain(&request, &now(is_running)).join("\n");
                assert!(
                    told.contains("`neap continue shop` lets it go on"),
                    "{told}"
                );
                assert!(!told.contains("turn") && !told.contains("resume"), "{told}");
            }
        }
    }

    #[test]
    fn what_a_request_is_now() {
        let mut sent = story(Meanwhile::Ready);
        sent.in_flight_since = Some((after_noon(-5), 3));
        let mut done = story(Meanwhile::Done);
        done.page = Some((200, after_noon(-60), 2048));
        done.body = Some(("neap-1.warc.gz".to_owned(), 1234, 800));
        let mut moved = done.clone();
        moved.page = Some((301, UnixMs(0), 0));
        moved.chain = vec![Hop {
            url: "http://a.example/new".to_owned(),
            status: Some(404),
            state: "done".to_owned(),
        }];
        for (story, is_running, part) in [
            (
                story(Meanwhile::Ready),
                true,
                "It is ready and waits for its turn among 895 others of its host; its host has 4 \
                 in flight and may have 4.",
            ),
            (
                story(Meanwhile::Ready),
                false,
                "No run is at work: `neap resume`",
            ),
            (
                sent.clone(),
                true,
                "It is in flight since 11:59:55Z, for 5.0 s.",
            ),
            (sent, false, "the next one asks it again"),
            (
                done.clone(),
                false,
                "Done: answered 200 (OK) at 11:59:00Z, 2.0 KiB.",
            ),
            (
                done,
                false,
                "in the segment neap-1.warc.gz, 800 bytes from byte 1,234 on",
            ),
            (moved, false, "Redirected to http://a.example/new (404)."),
            (
                story(Meanwhile::Failed(Some("timeout_header".to_owned()))),
                false,
                "Given up: no answer in time.",
            ),
        ] {
            let told = told(story, steady(), is_running);
            assert!(told.contains(part), "{part:?} is not in\n{told}");
        }
    }

    #[test]
    fn a_skip_names_the_pattern_or_the_line() {
        let robots = b"User-agent: *\nDisallow: /p/\n".as_slice();
        for (word, crawl, robots, part) in [
            (
                "scope",
                "scope = \"host\"",
                None,
                "crawl.scope = \"host\"` allows (a.example)",
            ),
            (
                "scope",
                "scope = \"page\"",
                None,
                "asks for the input URLs alone",
            ),
            (
                "excluded",
                "scope = \"host\"\nexclude = [\"/x*\", \"/p/*\"]",
                None,
                "`crawl.exclude` has the pattern `/p/*`",
            ),
            (
                "not_included",
                "scope = \"host\"\ninclude = [\"/x*\"]",
                None,
                "no pattern of `crawl.include` matches it (`/x*`)",
            ),
            (
                "too_deep",
                "scope = \"host\"\nmax_depth = 1",
                None,
                "2 links from the input, and `crawl.max_depth` is 1",
            ),
            (
                "max_pages",
                "scope = \"host\"\nmax_pages = 1000",
                None,
                "`crawl.max_pages` = 1,000 was reached",
            ),
            (
                "robots",
                "scope = \"host\"",
                Some(robots),
                "robots.txt forbids it: disallow: /p/ (line 2)",
            ),
            ("robots", "scope = \"host\"", None, "robots.txt forbade it"),
        ] {
            let mut request = request(story(Meanwhile::Skipped(word.to_owned())), steady());
            request.job = Some(job(crawl));
            request.robots = robots.map(<[u8]>::to_vec);
            let told = explain(&request, &now(false)).join("\n");
            assert!(told.contains(part), "{part:?} is not in\n{told}");
        }
    }

    #[test]
    fn what_strangers_wrote_does_not_act_on_the_terminal() {
        let mut story = story(Meanwhile::Done);
        story.attempts = vec![Tried {
            number: 1,
            at: NOON,
            took: None,
            status: None,
            cause: Some("protocol".to_owned()),
            fault: None,
            error: Some("\u{1b}[2J".to_owned()),
            is_charged: true,
            backoff: None,
            egress: None,
            connect_status: None,
            verdict: None,
        }];
        let told = told(story, steady(), false);
        assert!(told.contains("\"\\u{1b}[2J\""), "{told}");
    }
}
