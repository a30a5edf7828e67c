//! `neap demo`: a flaky shop on this machine, crawled before your eyes.

use neap_store::SqliteStore;

use super::crawl::{Jobs, crawl, now};
use super::place::{created, store_of};
use super::submit::take_in;
use crate::cli::{Bounds, Global};
use crate::demo::{JOB_FILE, shop};
use crate::exit::{self, Exit};
use crate::failure::Failure;
use crate::jobfile;
use crate::screen::program;
use crate::signals::Signals;

/// Opens the shop and crawls it.
///
/// # Errors
/// There is no port for the shop, or the store cannot be written.
pub(crate) async fn demo(global: &Global, bounds: &Bounds) -> Result<Exit, Failure> {
    let (shop, address) = shop::Shop::open().await?;
    say!(
        "The Flaky Shop is open at http://{address}/: {} pages, 502 above {} requests at once,\n\
         and down for {:?} in the middle of the crawl.\n",
        shop::PAGES,
        shop::CAPACITY,
        shop::OUTAGE,
    );
    let input = format!("input.urls=[\"http://{address}/\"]");
    let file = jobfile::read_text("demo.toml", JOB_FILE, &[input])?;
    let store = created(&store_of(global, Some(&file))).await?;
    let mut signals = Signals::listen()?;
    let lock = store.lock(now()).await?;
    // Always a new round: the shop of the last demo is closed.
    let row = take_in(global, &store, &file, true, true, &mut signals).await?;
    let exit = crawl(global, &store, lock, Jobs::Once(vec![row]), bounds, signals).await?;
    if exit != exit::DONE {
        say!(
            "\nThe shop is closed, so this round stays as it is: `neap demo` opens another shop and begins anew."
        );
    }
    say!(
        "\nThe shop answered 502 to {} requests. Ask the store what happened:\n{}",
        shop.refused(),
        queries(&store),
    );
    Ok(exit)
}

/// Three questions that the store left behind can answer.
fn queries(store: &SqliteStore) -> String {
    let (neap, db) = (program(), store.path().display());
    [
        "SELECT status, count(*) AS pages FROM results GROUP BY status",
        "SELECT * FROM bad_gateways",
        "SELECT strftime('%H:%M:%S', started_ms / 1000, 'unixepoch') AS second, count(*) AS requests, \
         sum(status = 502) AS bad_gateways, round(avg(host_limit), 1) AS host_limit \
         FROM attempts GROUP BY 1",
    ]
    .map(|sql| format!("\n  {neap} --db {db} query \"{sql}\""))
    .join("")
}
