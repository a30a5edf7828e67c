//! `neap fetch URL`: what does one URL answer, and who is to blame if it does not?
//!
//! One URL goes through what a crawl does with each of its requests: proxies, classifier, attribution, retries and redirects.
//! No store is read or written. A person who asks for one URL is no robot, so the robots file is looked at only
//! for a job whose file says that it obeys it.
//!
//! | file | its question |
//! | --- | --- |
//! | `asker` | how is one URL asked for until it answers? |
//! | `ways` | by which way does an attempt go out? |
//! | `next` | what follows from an attempt? |
//! | `robots` | may it be asked for? |
//! | `answer` | how is the answer written? |
//! | `trace` | how is an attempt shown? |

mod answer;
mod asker;
mod next;
mod robots;
mod trace;
mod ways;

use neap_core::attribution::{Attribution, Fault};
use neap_core::job::{Job, Template};
use neap_core::{CanonicalUrl, classify::Outcome};
use neap_fetch::{BodyLimit, Egress};
use neap_runner::{AllTerms, Shared};

use self::asker::{Asker, Last, What};
use self::robots::Rules;
use self::trace::{Detail, Trace};
use self::ways::Ways;
use crate::cli::{Fetch, FetchFormat, Global};
use crate::exit::{self, Exit};
use crate::failure::Failure;
use crate::jobfile;
use crate::print::escape::{for_terminal, quoted};
use crate::tell::{cause, fault};

/// The job that is meant without `--job`. Its input is never read.
const PLAIN_JOB: &str = "neap = 1\nname = \"fetch\"\n[input]\nurls = [\"http://unused.invalid/\"]\n[robots]\nmode = \"off\"\n";

/// Most proxies on the command line.
const MOST_PROXIES: usize = 1_000;

/// Sockets at once: one for the request, and one for a second address of its host while the first is silent.
const SOCKETS: u32 = 2;

/// Fetches one URL.
///
/// # Errors
/// URL, job file or proxy is none; no page came; standard output failed.
pub(crate) async fn fetch(global: &Global, options: &Fetch) -> Result<Exit, Failure> {
    if options.format == FetchFormat::Json && (options.head || options.raw) {
        return Err(Failure::usage(
            "`--format json` writes attempts and no body",
            "leave out `--head` and `--raw`, or `--format json`; the objects have the header",
        ));
    }
    let url = url(&options.url)?;
    let job = match &options.job {
        Some(path) => jobfile::read(path, &options.overrides.set)?.job,
        None => jobfile::read_text("neap fetch", PLAIN_JOB, &options.overrides.set)?.job,
    };
    let mut asker = asker(global, options, &job, &url)?;
    let mut rules = (!options.ignore_robots).then(Rules::default);
    let ended = follow(&mut asker, rules.as_mut(), url).await?;
    if let Some(last) = ended
        .last
        .as_ref()
        .filter(|_| options.format == FetchFormat::Body)
    {
        answer::write(&last.fetched.exchange, options.head, options.raw)?;
    }
    match ended.last {
        Some(last) if last.is_wanted() && ended.why.is_none() => Ok(exit::DONE),
        last => Err(no_page(&ended.url, last.as_ref(), ended.why, options.trace)),
    }
}

/// Where it ended.
struct Ended {
    url: CanonicalUrl,
    /// The last exchange; `None` if there was no way out.
    last: Option<Last>,
    /// Why an answer that was wanted is not the end, if so.
    why: Option<String>,
}

/// Asks for a URL and for where it leads.
async fn follow(
    asker: &mut Asker,
    mut rules: Option<&mut Rules>,
    mut url: CanonicalUrl,
) -> Result<Ended, Failure> {
    let mut followed = 0;
    loop {
        if let Some(rules) = rules.as_deref_mut() {
            rules.check(asker, &url).await?;
        }
        let last = asker.ask(What::Page, &url, BodyLimit::MaxBody).await?;
        let Some(location) = last.as_ref().and_then(location) else {
            return Ok(Ended {
                url,
                last,
                why: None,
            });
        };
        let redirects = asker.terms_of(&url).request.redirects;
        let why = match CanonicalUrl::join(url.url(), &location) {
            Err(error) => format!(
                "it leads to {}, which cannot be asked for: {error}",
                quoted(&location)
            ),
            Ok(_) if followed == redirects => {
                format!("there were more redirects than `request.redirects` = {redirects}")
            }
            Ok(target) => {
                url = target;
                followed += 1;
                continue;
            }
        };
        return Ok(Ended {
            url,
            last,
            why: Some(why),
        });
    }
}

/// Where an answer leads, if it is a redirect.
fn location(last: &Last) -> Option<String> {
    if last.judgement.outcome != Outcome::Redirect {
        return None;
    }
    let answer = last.fetched.exchange.result.as_ref().ok()?;
    let location = answer.headers.get(http::header::LOCATION)?;
    Some(String::from_utf8_lossy(location.as_bytes()).into_owned())
}

fn url(text: &str) -> Result<CanonicalUrl, Failure> {
    let bad = |why: String, help: String| {
        Failure::usage(format!("{} cannot be asked for: {why}", quoted(text)), help)
    };
    let help = || "write the whole URL, such as `https://shop.example/page`".to_owned();
    let parsed = url::Url::parse(text.trim());
    if parsed.is_ok_and(|url| !url.username().is_empty() || url.password().is_some()) {
        return Err(Failure::usage(
            "a user name or password in a URL is not sent",
            "give it to its host in a job file, the password from the environment: `[[identity.auth]]` with \
             `origin`, `user` and `password = \"${env:PASSWORD}\"`",
        ));
    }
    CanonicalUrl::parse(text).map_err(|error| bad(error.to_string(), help()))
}

fn asker(
    global: &Global,
    options: &Fetch,
    job: &Job,
    url: &CanonicalUrl,
) -> Result<Asker, Failure> {
    let lookup = |name: &str| std::env::var(name).ok();
    let home = [url.host()].into();
    let terms = AllTerms::new(job, &home, &Shared::new(SOCKETS), lookup)?;
    let detail = match (options.trace, global.verbose) {
        (true, _) => Detail::Story,
        (false, 0) => Detail::Nothing,
        (false, _) => Detail::Lines,
    };
    let trace = Trace {
        detail,
        is_json: options.format == FetchFormat::Json,
    };
    let ways = match options.proxy.is_empty() {
        true => Ways::of_job(job, &neap_runner::proxies(job, lookup)?),
        false => Ways::through(given(&options.proxy, lookup)?, job.retry.swap_proxy_after),
    };
    let session = neap_runner::session(job, asker::unix_now())?;
    Ok(Asker::new(
        job.clone(),
        terms,
        session,
        ways,
        trace,
        global.quiet > 0,
    ))
}

/// The proxies of the command line.
fn given(
    texts: &[String],
    lookup: impl Fn(&str) -> Option<String>,
) -> Result<Vec<Egress>, Failure> {
    if texts.len() > MOST_PROXIES {
        return Err(Failure::usage(
            format!("more than {MOST_PROXIES} times --proxy"),
            "put proxies into the pool of a job file",
        ));
    }
    let mut given = Vec::with_capacity(texts.len());
    for (number, text) in (1..).zip(texts) {
        let which = match texts.len() {
            1 => "--proxy".to_owned(),
            _ => format!("--proxy number {number}"),
        };
        let egress = Egress::resolve(&Template(text.clone()), &lookup).map_err(|error| {
            Failure::usage(
                format!("{which}: {}", for_terminal(&error.to_string())),
                "a proxy is `http://host:port`, `https://..`, `socks5://..`, `socks5h://..`, or `direct`",
            )
        })?;
        given.push(egress);
    }
    Ok(given)
}

/// Why there is no page, in a sentence or two.
fn no_page(
    url: &CanonicalUrl,
    last: Option<&Last>,
    why: Option<String>,
    is_traced: bool,
) -> Failure {
    let url = for_terminal(url.as_str()).into_owned();
    let help = match is_traced {
        true => "`neap help exit-codes` says what the exit code means",
        false => "`--trace` says of each attempt who answered, and why",
    };
    let Some(last) = last else {
        let message = format!("no page of {url}: no way out is left");
        return Failure::with_help(exit::EXPECTATION, message, help);
    };
    let attribution = &last.attribution;
    let what = why.unwrap_or_else(|| match last.judgement.cause {
        Some(word) => cause(&word.to_string()),
        None => crate::tell::diagnosis(attribution.cause).to_owned(),
    });
    let whose = whose(attribution);
    let times = match last.attempts {
        1 => String::new(),
        attempts => format!(", after {attempts} attempts"),
    };
    let exit = exit_of(attribution.fault);
    Failure::with_help(
        exit,
        format!("no page of {url}: {what}{times}{whose}"),
        help,
    )
}

/// Whose fault it was, as the end of a sentence.
fn whose(attribution: &Attribution) -> String {
    match attribution.fault {
        Fault::Nobody => String::new(),
        Fault::Unknown => "; it cannot be told whose fault it is".to_owned(),
        Fault::Host | Fault::Proxy | Fault::OwnCredentials | Fault::OwnNetwork => {
            let sure = attribution.confidence * 100.0;
            format!("; {} ({sure:.0} % sure)", fault(attribution.fault.as_str()))
        }
    }
}

fn exit_of(fault: Fault) -> Exit {
    match fault {
        Fault::OwnNetwork => exit::ERROR,
        Fault::OwnCredentials => exit::PROXIES_STOPPED,
        Fault::Host | Fault::Proxy | Fault::Nobody | Fault::Unknown => exit::EXPECTATION,
    }
}
