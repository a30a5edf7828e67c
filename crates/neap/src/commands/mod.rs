//! What does each command do?

mod body;
mod cancel;
mod check;
mod classify;
mod crawl;
mod db;
mod demo;
mod errors;
mod explain;
mod export;
mod fetch;
mod gc;
mod help;
mod hosts;
mod pause;
mod place;
mod proxies;
mod resume;
mod retry;
mod robots;
mod run;
mod skip;
mod status;
mod submit;
mod tables;
mod which;
mod why;

use crate::cli::{Cli, Command};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::signals::survive_file_size_limit;

/// Does what the command line says.
///
/// # Errors
/// Why it could not be done.
pub(crate) async fn run(cli: Cli) -> Result<Exit, Failure> {
    survive_file_size_limit()?;
    let global = cli.global;
    match cli.command {
        Command::Check {
            files,
            host,
            overrides,
        } => check::check(&global, &files, host.as_deref(), &overrides.set),
        Command::Submit {
            file,
            overrides,
            fresh,
        } => submit::submit(&global, &file, &overrides.set, fresh).await,
        Command::Run {
            job,
            overrides,
            fresh,
            bounds,
        } => run::run(&global, &job, &overrides.set, fresh, &bounds).await,
        Command::Resume { job, bounds } => resume::resume(&global, job.as_deref(), &bounds).await,
        Command::Pause { job } => pause::pause(&global, &job).await,
        Command::Continue { job } => pause::continue_job(&global, &job).await,
        Command::Cancel { job } => cancel::cancel(&global, &job).await,
        Command::Retry { job, failed } => retry::retry(&global, &job, &failed).await,
        Command::Skip { job, open } => skip::skip(&global, &job, &open).await,
        Command::Status { job, output } => {
            status::status(&global, job.as_deref(), output.format).await
        }
        Command::Query {
            sql,
            time_limit,
            output,
        } => tables::query(&global, &sql, time_limit, output.format).await,
        Command::Body { url, raw, head } => body::body(&global, &url, raw, head).await,
        Command::Fetch(options) => fetch::fetch(&global, &options).await,
        Command::Hosts {
            sort,
            history,
            svg,
            output,
        } => match history {
            Some(host) => hosts::history(&global, &host, svg.as_deref(), output.format).await,
            None => hosts::hosts(&global, sort, output.format).await,
        },
        Command::Proxies { job, sort, output } => {
            proxies::proxies(&global, job.as_deref(), sort, output.format).await
        }
        Command::Errors { job, by, output } => {
            errors::errors(&global, job.as_deref(), by, output.format).await
        }
        Command::Why { host } => why::why(&global, &host).await,
        Command::Explain { url } => explain::explain(&global, &url).await,
        Command::Robots {
            urls,
            agent,
            file,
            output,
        } => {
            let (agent, file) = (agent.as_deref(), file.as_deref());
            robots::robots(&global, &urls, agent, file, output.format).await
        }
        Command::Classify { without } => classify::classify(without.as_deref()),
        Command::Export(export) => export::export(&global, &export).await,
        Command::Db(db) => db::db(&global, &db).await,
        Command::Gc(gc) => gc::gc(&global, &gc).await,
        Command::Demo { bounds } => demo::demo(&global, &bounds).await,
        Command::Help { topic } => help::help(topic.as_deref()),
    }
}
