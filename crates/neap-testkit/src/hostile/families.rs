//! Which family answers a request, and what do people need to know of the families?

mod codings;
mod cookies;
mod framing;
mod html;
mod injection;
mod redirects;
mod robots;
mod sitemaps;
mod sizes;
mod statuses;
mod times;
mod traps;
mod urls;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use crate::asked::Asked;
use crate::names::{NameServer, Naming};
use crate::reply::Reply;
use crate::script::lock;

use super::DOMAIN;
use super::call::{Call, Shared, host_of};

/// All cases, for people.
pub const USAGE: &str = "\
A case is asked for as http://ANY.hostile.internal:PORT/family/case?parameter=value. Numbers may end in K, M or G.
  /s  statuses    200 404 .. 999 2 -12 (?body=N&ra=SECONDS|date|past|bad|neg|huge&ps=1)  seq/502,502,200  rate?ok=N  cap?n=N
                  flap?period=SECONDS  edge502/ edge502/protected/  103  1xx?n=N  204body  304
  /r  redirects   301 302 303 307 308  loop  chain?n=N  self-cookie  fan?n=N  to?u=URL  two-locations  no-location  crlf
                  long-location?bytes=N  meta?n=N  refresh
  /t  timing      silent  slow-header?bps=N  slow-body?bps=N&n=N  stall?after=N  rst?after=N  fin?after=N  half-close
                  keepalive-lie  late-408  latency?ms=N&jitter=MS
  /z  sizes       body?n=N  endless  headers?n=N  header?bytes=N  header-endless  status-line?bytes=N  trailers?n=N
                  set-cookie?n=N&bytes=N  empty  zeros?n=N  tiny-chunks?n=N
  /c  codings     gzip-bomb br-bomb zstd-bomb deflate-bomb (?out=N)  zstd-window  deflate-raw  stacked?depth=N
                  truncated  bad-crc  lying  unlabelled  unknown  multi-member  trailing-garbage
  /h  framing     lf-only no-version http09 garbage nul obs-fold space-before-colon cl-te cl-short cl-long two-cl same-cl neg-cl
                  huge-cl chunk-neg chunk-overflow chunk-ext?bytes=N chunk-no-final te-order te-unknown extra tls h2-preface upgrade
                  no-status bad-status no-colon bare-cr long-reason  mutated?n=N
  /m  sitemaps    index?depth=N&fan=N  self  urls?n=N  gz-bomb  laughs  xxe-file  xxe-http  cross-host  bad-dates  truncated  internal
  /p  pages       deep?n=N  attr?bytes=N  links?n=N  base  entities  unclosed  charset?x=NAME  mixed  nul  scripts  title?s=TEXT
                  twin?of=N
  /k  cookies     set?domain=D&path=P&value=V  echo  many?n=N&bytes=N
  /i  injection   csv ansi log html sql bidi  title?bytes=N
  /u  urls        page
  /trap           calendar/YYYY/MM  session  path/..  query?n=N  facets  soft404  tarpit
  /ok             a small page with no links;  /_stats  /_reset  /_scene?plan=0-20:/s/200,20-30:/s/502 (seconds, of this host)
The first label of the host's name chooses what a client asks for by itself: robots-CASE with huge endless bom8 utf16le utf16be
latin1 nul gzip-bomb html empty 401 403 404 410 429 500 503 silent reset r5 r6 loop cross delay-0 delay-86400 delay-neg delay-1e308
delay-nan groups rules stars; and by the name server dns-CASE with missing failure silence nothing many truncated loop six dead-first
rebind.";

/// Ports that cases lead to.
#[derive(Debug, Default, Clone)]
pub(super) struct Ports {
    pub(super) site: u16,
    pub(super) trap: u16,
    pub(super) full: u16,
    pub(super) refusing: u16,
    pub(super) tls: BTreeMap<&'static str, u16>,
}

/// What hosts do for a time instead of what they are asked for, by their names.
pub(super) type Scenes = BTreeMap<String, Scene>;

/// A plan of one host.
pub(super) struct Scene {
    /// When it began, as [`Asked::at`] has it.
    since: Duration,
    /// From when to when after that, and what is then answered to everything.
    acts: Vec<(Duration, Duration, String)>,
}

impl Scene {
    fn target(&self, now: Duration) -> Option<&str> {
        let at = now.saturating_sub(self.since);
        let mut acts = self.acts.iter();
        let act = acts.find(|(from, to, _)| (*from..*to).contains(&at));
        act.map(|(_, _, target)| target.as_str())
    }
}

/// The reply to a request.
pub(super) fn reply(shared: &Shared, asked: &Asked) -> Reply {
    shared.tally().note(asked);
    if let Some(reply) = control(shared, asked) {
        return reply;
    }
    let scenes = lock(&shared.scenes);
    let act = scenes
        .get(&host_of(asked))
        .and_then(|scene| scene.target(asked.at()));
    let target = act.unwrap_or(&asked.target).to_owned();
    drop(scenes);
    let (family, call) = Call::new(shared, asked, &target);
    let reply = match family {
        "robots.txt" => Some(robots::reply(&call)),
        "ok" => Some(Reply::html("ok", [""; 0])),
        "s" => statuses::reply(&call),
        "r" => redirects::reply(&call),
        "t" => times::reply(&call),
        "z" => sizes::reply(&call),
        "c" => codings::reply(&call),
        "h" => framing::reply(&call),
        "m" => sitemaps::reply(&call),
        "p" => html::reply(&call),
        "k" => cookies::reply(&call),
        "i" => injection::reply(&call),
        "u" => urls::reply(&call),
        "trap" => traps::reply(&call),
        _ => None,
    };
    reply.unwrap_or_else(|| Reply::status(404))
}

/// What steers the server itself.
fn control(shared: &Shared, asked: &Asked) -> Option<Reply> {
    let (family, call) = Call::new(shared, asked, &asked.target);
    match family {
        "_reset" => shared.reset(),
        "_scene" => {
            let Some(acts) = call.text("plan").as_deref().and_then(acts) else {
                return Some(Reply::status(400));
            };
            let scene = Scene {
                since: asked.at(),
                acts,
            };
            lock(&shared.scenes).insert(call.host(), scene);
        }
        _ => return None,
    }
    Some(Reply::status(204))
}

/// Reads `0-20:/s/200,20-30:/s/502`.
fn acts(plan: &str) -> Option<Vec<(Duration, Duration, String)>> {
    let act = |text: &str| {
        let (times, target) = text.split_once(':')?;
        let (from, to) = times.split_once('-')?;
        let seconds = |text: &str| Some(Duration::from_secs(text.parse().ok()?));
        Some((seconds(from)?, seconds(to)?, target.to_owned()))
    };
    plan.split(',').map(act).collect()
}

/// A name server for all hosts of the domain, of which some are hard to find.
pub(super) fn names(site: SocketAddr) -> NameServer {
    let ip = site.ip().to_string();
    let good = || Naming::addresses([&ip]);
    let at = |case: &str| format!("dns-{case}.{DOMAIN}");
    NameServer::builder()
        .below(DOMAIN, [good()])
        .name(&at("missing"), [Naming::NoSuchName])
        .name(&at("failure"), [Naming::Failure])
        .name(&at("silence"), [Naming::Silence])
        .name(&at("nothing"), [Naming::addresses([])])
        .name(&at("many"), [Naming::Addresses(vec![site.ip(); 60])])
        .name(&at("truncated"), [Naming::Truncated])
        .name(&at("loop"), [Naming::Circle])
        .name(&at("six"), [Naming::addresses(["::1"])])
        .name(&at("dead-first"), [Naming::addresses(["127.0.0.99", &ip])])
        .name(&at("rebind"), [Naming::addresses(["192.0.2.1"]), good()])
        .start()
}
