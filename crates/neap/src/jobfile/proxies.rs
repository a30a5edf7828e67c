//! Which pools of proxies does a job file describe?
//!
//! `[[proxy.pool]]` may stand there many times, so each value has the place of its pool in its key:
//! `proxy.pool[0].urls`. Which pool comes behind which is [`neap_core::egress::chain`]'s to say.

use std::path::Path;

use neap_core::egress::{ChainError, DIRECT_POOL, chain};
use neap_core::job::{Job, Proxy, ProxyPool, Template};
use neap_fetch::Egress;

use super::fields::Field;
use super::headers::references;
use super::input::STDIN;
use super::keys::{POOLS, nearest};
use super::problem::Complaint;
use super::reader::Reader;
use super::source::{Source, Spot};
use super::values;
use super::words::{self, SELECTS, STICKIES};
use crate::print::escape::quoted;

/// Most proxies of a pool in the job file itself; more belong into its file.
const MAX_URLS: usize = 10_000;

/// Most requests in flight through one proxy, as [`ProxyPool`] has it.
const MAX_PER_PROXY: u32 = 1_024;

/// Reads `[proxy]`; `path` is the job file, which the files of pools are relative to.
pub(super) fn proxy(reader: &mut Reader<'_>, path: &Path) -> Proxy {
    let dir = path.parent().unwrap_or(Path::new(""));
    let places = 0..reader.fields.tables(&POOLS).len();
    Proxy {
        pools: places.map(|place| pool(reader, place, dir)).collect(),
        direct: reader.flag("proxy.direct", Proxy::default().direct),
    }
}

fn pool(reader: &mut Reader<'_>, place: usize, dir: &Path) -> ProxyPool {
    let key = |name| POOLS.key_in(place, name);
    let default = ProxyPool::named(name(reader, place));
    let (urls_key, file_key) = (key("urls"), key("file"));
    let pool = ProxyPool {
        urls: reader.texts(&urls_key, MAX_URLS, url),
        file: reader.text(&file_key, |text| file(text, dir)),
        select: reader
            .text(&key("select"), |text| words::word(text, &SELECTS))
            .unwrap_or(default.select),
        sticky: reader
            .text(&key("sticky"), |text| words::word(text, &STICKIES))
            .unwrap_or(default.sticky),
        max_per_proxy: reader.u32(
            &key("max_per_proxy"),
            1..=MAX_PER_PROXY,
            default.max_per_proxy,
        ),
        fallback: reader.text(&key("fallback"), values::pool_name),
        name: default.name,
    };
    // What is there and wrong was complained about already.
    let is_empty = |field: &Field<'_>| {
        field
            .value
            .get_ref()
            .as_array()
            .is_some_and(|a| a.is_empty())
    };
    let has_urls = reader
        .fields
        .get(&urls_key)
        .is_some_and(|field| !is_empty(field));
    if !has_urls && reader.fields.get(&file_key).is_none() {
        let complaint = Complaint::new("the pool has no proxies").help(
            "add `urls = [\"http://proxy.example:3128\"]` or `file = \"proxies.txt\"`, which lists one a line",
        );
        reader.problems.value(spot(reader, place), complaint);
    }
    pool
}

fn name(reader: &mut Reader<'_>, place: usize) -> String {
    let key = POOLS.key_in(place, "name");
    let Some(field) = reader.fields.get(&key) else {
        let complaint = Complaint::new("the pool has no name")
            .help("add e.g. `name = \"datacentre\"`; messages and SQL call it that");
        reader.problems.value(spot(reader, place), complaint);
        return String::new();
    };
    let spot = field.spot();
    let name = reader.text(&key, values::pool_name).unwrap_or_default();
    if name == DIRECT_POOL {
        let complaint = Complaint::new(format!(
            "`{name}` is what the way without a proxy is called"
        ))
        .help("take another name; `direct = true` in [proxy] lets requests go directly in the end");
        reader.problems.value(spot, complaint);
    } else if (0..place).any(|other| reader.fields.pool_name(other) == Some(&name)) {
        let complaint = Complaint::new(format!("another pool is called `{name}` already"))
            .help("every pool has a name of its own");
        reader.problems.value(spot, complaint);
    }
    name
}

/// Where a pool begins.
fn spot(reader: &Reader<'_>, place: usize) -> Spot {
    reader.fields.tables(&POOLS)[place].clone()
}

/// Reads a proxy, whose user name and password are not written but named.
fn url(text: &str) -> Result<Template, Complaint> {
    let template = Template(text.to_owned());
    if Egress::has_literal_login(&template) {
        return Err(Complaint::new(
            "a user name or password of a proxy is written here, and jobs are stored",
        )
        .help(
            "take them from the environment, \"http://${env:PROXY_USER}:${env:PROXY_PASSWORD}@host:port\", \
             or list the proxy in a file and name that as `file`",
        )
        .secret());
    }
    let hidden = |complaint: Complaint| match is_plain(text) {
        true => complaint,
        false => complaint.secret(),
    };
    references(text, &["env"]).map_err(hidden)?;
    // What a variable holds is known to a run only; a digit may be a name, a password and a port.
    Egress::resolve(&template, |_| Some("1".to_owned()))
        .map_err(|error| hidden(Complaint::new(error.to_string())))?;
    Ok(template)
}

/// Whether a text is a scheme, a name and a port at most, so that no password can stand in it.
fn is_plain(text: &str) -> bool {
    let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
    let (host, port) = rest.split_once(':').unwrap_or((rest, ""));
    let of_scheme = |byte: u8| byte.is_ascii_alphanumeric();
    let of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let is_port = port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit());
    is_port && scheme.bytes().all(of_scheme) && host.bytes().all(of_name)
}

/// Reads the name of a pool's file, and makes it one that means the same wherever neap is started.
fn file(text: &str, dir: &Path) -> Result<String, Complaint> {
    let text = values::path(text)?;
    if text == STDIN {
        return Err(Complaint::new("standard input cannot be read again")
            .help("name a file; it is read when a run starts and whenever it changes"));
    }
    values::absolute(&text, dir)
}

/// Pools that are good alone and not with each other, or not with the rest.
pub(super) fn check_together(reader: &mut Reader<'_>, file: &Source, job: &Job) {
    let pools = &job.proxy.pools;
    if pools.is_empty() && !job.proxy.direct && reader.fields.get("proxy.direct").is_some() {
        let complaint = Complaint::new("the job may not go directly, and has no proxies")
            .help("add a pool, which begins with [[proxy.pool]]; or remove `direct`");
        reader.complain(&["proxy.direct"], file, complaint);
    }
    let Err(error) = chain(pools) else {
        return;
    };
    let complaint = Complaint::new(error.to_string());
    match error {
        ChainError::Unknown { pool, fallback } => {
            let names = || pools.iter().map(|pool| pool.name.as_str());
            let help = match nearest(&fallback, names()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("pools: {}", quoted(&names().collect::<Vec<_>>().join(", "))),
            };
            let key = POOLS.key_in(pool, "fallback");
            reader.complain(&[&key], file, complaint.help(help));
        }
        ChainError::Cycle { pool, .. } => {
            let help = "pools are tried one after the other and none twice; without `fallback` comes the \
                        next one in the file that was not tried";
            let key = POOLS.key_in(pool, "fallback");
            reader.complain(&[&key], file, complaint.help(help));
        }
        ChainError::Unreached { pool } => {
            let name = &pools[pool].name;
            let help = format!(
                "let `fallback = \"{name}\"` of a pool that is used lead to it, or remove it"
            );
            let spot = spot(reader, pool);
            reader.problems.value(spot, complaint.help(help));
        }
    }
}

#[cfg(test)]
mod tests;
