//! `neap proxies`: how does each proxy do, and which are left out?

use neap_store::{ProxyColumn, ProxySummary};

use super::hosts::now;
use super::place::of_job;
use super::tables::{print_rows, rounded};
use crate::cli::Global;
use crate::exit::{self, Exit};
use crate::failure::Failure;
use crate::print::{Format, Value};
use crate::tell::{self, Now};

/// Prints the proxies of a job, or of all.
///
/// # Errors
/// There is no store, or no such job in it.
pub(crate) async fn proxies(
    global: &Global,
    job: Option<&str>,
    sort: ProxyColumn,
    format: Format,
) -> Result<Exit, Failure> {
    let (reader, job) = of_job(global, job).await?;
    let now = now(&reader).await?;
    let proxies = reader.proxies(job.as_deref(), sort).await?;
    if proxies.is_empty() {
        let whose = match &job {
            Some(job) => format!("the job {job}"),
            None => format!("no job in {}", reader.path().display()),
        };
        let went = if job.is_some() {
            "has not gone"
        } else {
            "has gone"
        };
        say!("{whose} {went} through proxies; the section [proxy] of a job file names them");
    }
    let columns = ProxyColumn::ALL.map(ProxyColumn::as_str);
    let row = |proxy: &ProxySummary| {
        let row = ProxyColumn::ALL.map(|column| value(proxy, column, &now));
        row.to_vec()
    };
    print_rows(format, &columns, proxies.iter().map(row))?;
    Ok(exit::DONE)
}

fn value(proxy: &ProxySummary, column: ProxyColumn, now: &Now) -> Value {
    let count = |n: u64| Value::Integer(i64::try_from(n).unwrap_or(i64::MAX));
    let stands = proxy.stands.as_ref().map(|(stands, ..)| stands);
    match column {
        ProxyColumn::Job => Value::Text(proxy.job.clone()),
        ProxyColumn::Pool => Value::Text(proxy.name.pool.to_string()),
        ProxyColumn::Proxy => Value::Text(proxy.name.proxy.to_string()),
        ProxyColumn::Limit => stands.map_or(Value::Null, |stands| rounded(stands.limit, 100.0)),
        ProxyColumn::InFlight => count(u64::from(tell::proxy_in_flight(proxy, now))),
        ProxyColumn::Attempts => count(proxy.attempts),
        ProxyColumn::OkShare if proxy.attempts == 0 => Value::Null,
        ProxyColumn::OkShare => rounded(proxy.ok as f64 / proxy.attempts as f64, 1e4),
        ProxyColumn::Failures => count(proxy.failures),
        ProxyColumn::FailedFor => Value::Text(tell::failed_for(&proxy.causes)),
        ProxyColumn::State => Value::Text(tell::proxy_state(proxy, now)),
    }
}
