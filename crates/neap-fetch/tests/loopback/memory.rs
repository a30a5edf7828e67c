//! What bodies take of the memory budget.

use std::sync::Arc;

use futures_util::future::join_all;
use neap_fetch::{FREE_BYTES, Fetcher, MemoryBudget, Sockets};
use neap_testkit::{Coding, Reply, Site};

use crate::support::*;

#[tokio::test]
async fn small_bodies_are_free_and_large_ones_count_until_dropped() {
    let small = vec![b'x'; usize::try_from(FREE_BYTES).unwrap() - 1000];
    let large = vec![b'x'; 700 << 10];
    let site = Site::builder()
        .page("/small", Reply::ok(small))
        .page("/large", Reply::ok(large.clone()).chunked())
        .page("/coded", Reply::ok(large.clone()).encoded(Coding::Gzip))
        .start();
    let budget = Arc::new(MemoryBudget::new(8 * MIB));
    let fetcher = Fetcher::new(
        &settings(request()),
        Arc::clone(&budget),
        Sockets::new(SOCKETS),
    )
    .unwrap();

    let fetched = fetch(&fetcher, &site.url("/small")).await;
    assert_eq!((fetched.held.bytes(), budget.free_bytes()), (0, 8 * MIB));

    for path in ["/large", "/coded"] {
        let fetched = fetch(&fetcher, &site.url(path)).await;
        let answer = fetched.exchange.result.as_ref().unwrap();
        let held = fetched.held.bytes();
        let used = match path {
            "/large" => answer.body.len(),
            _ => answer.body.len() + answer.payload.len(),
        };
        assert_eq!(held, (used as u64).next_multiple_of(1024), "{path}");
        assert_eq!(budget.free_bytes(), 8 * MIB - held, "{path}");
        drop(fetched);
        assert_eq!(budget.free_bytes(), 8 * MIB, "{path}");
    }
}

#[tokio::test]
async fn many_large_bodies_share_a_budget_for_one() {
    let body = vec![b'x'; usize::try_from(MIB).unwrap()];
    let site = Site::builder()
        .page("/plain", Reply::ok(body.clone()).chunked())
        .page(
            "/coded",
            Reply::ok(body.clone()).encoded(Coding::Brotli).chunked(),
        )
        .page("/cut", Reply::ok(body.clone()).cut_after(600 << 10))
        .page("/endless", Reply::endless("x"))
        .start();
    let budget = Arc::new(MemoryBudget::new(MIB));
    let fetcher = Fetcher::new(
        &settings(request()),
        Arc::clone(&budget),
        Sockets::new(SOCKETS),
    )
    .unwrap();
    let urls: Vec<String> = ["/plain", "/coded", "/cut", "/endless"]
        .map(|path| site.url(path))
        .into();
    let all = urls.iter().cycle().take(24).map(|at| async {
        // Dropped at once, or those that wait would wait for ever.
        fetch(&fetcher, at).await.exchange.result.is_ok()
    });
    let whole = join_all(all)
        .await
        .into_iter()
        .filter(|is_ok| *is_ok)
        .count();
    assert_eq!((whole, budget.free_bytes()), (12, MIB));
}
