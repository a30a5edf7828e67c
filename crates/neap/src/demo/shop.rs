//! What does a fragile shop look like from outside?
//!
//! About 300 pages on loopback behind an imagined gateway. The server behind it handles six requests at
//! once; the gateway answers 502 to any further one. Some way into the crawl the server is down for ten
//! seconds, and the gateway answers 502 to everything.

use std::convert::Infallible;
use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::time::Instant;

/// Categories of the shop.
const CATEGORIES: u32 = 14;
/// Products in each category.
const PRODUCTS: u32 = 20;
/// Pages of the shop: the entrance, its categories, their products.
pub(crate) const PAGES: u32 = 1 + CATEGORIES + CATEGORIES * PRODUCTS;
/// Requests that the server behind the gateway handles at once.
pub(crate) const CAPACITY: u32 = 6;
/// How long the server takes for a page.
const SERVICE_TIME: Duration = Duration::from_millis(120);
/// Pages served before the outage begins.
const PAGES_TO_OUTAGE: u64 = 120;
/// How long the outage lasts.
pub(crate) const OUTAGE: Duration = Duration::from_secs(10);

/// The shop, as it stands.
#[derive(Debug, Default)]
pub(crate) struct Shop {
    at_work: AtomicU32,
    served: AtomicU64,
    refused: AtomicU64,
    outage_began: std::sync::OnceLock<Instant>,
}

impl Shop {
    /// Opens the shop on a free loopback port; it stays open as long as the runtime lives.
    ///
    /// # Errors
    /// No port can be had.
    pub(crate) async fn open() -> std::io::Result<(Arc<Shop>, SocketAddr)> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let shop = Arc::new(Shop::default());
        tokio::spawn(Arc::clone(&shop).keep_open(listener));
        Ok((shop, address))
    }

    /// Requests that the gateway answered with 502.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    async fn keep_open(self: Arc<Shop>, listener: TcpListener) {
        while let Ok((stream, _)) = listener.accept().await {
            let shop = Arc::clone(&self);
            tokio::spawn(async move {
                let service = service_fn(move |request| Arc::clone(&shop).gateway(request));
                let connection = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service);
                // A client that hangs up is no concern of the shop.
                let _ = connection.await;
            });
        }
    }

    async fn gateway(
        self: Arc<Shop>,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, Infallible> {
        let at_work = self.at_work.fetch_add(1, Ordering::SeqCst);
        let response = if at_work >= CAPACITY || self.is_down() {
            self.refused.fetch_add(1, Ordering::Relaxed);
            answer(
                StatusCode::BAD_GATEWAY,
                "<h1>502 Bad Gateway</h1>".to_owned(),
            )
        } else {
            tokio::time::sleep(SERVICE_TIME).await;
            self.serve(request.uri().path())
        };
        self.at_work.fetch_sub(1, Ordering::SeqCst);
        Ok(response)
    }

    fn is_down(&self) -> bool {
        if self.served.load(Ordering::Relaxed) < PAGES_TO_OUTAGE {
            return false;
        }
        self.outage_began.get_or_init(Instant::now).elapsed() < OUTAGE
    }

    fn serve(&self, path: &str) -> Response<Full<Bytes>> {
        match page(path) {
            Some(html) => {
                self.served.fetch_add(1, Ordering::Relaxed);
                answer(StatusCode::OK, html)
            }
            None => answer(StatusCode::NOT_FOUND, "<h1>404</h1>".to_owned()),
        }
    }
}

fn answer(status: StatusCode, html: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(html)));
    *response.status_mut() = status;
    let html = hyper::header::HeaderValue::from_static("text/html; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, html);
    response
}

/// The page at a path, if the shop has it.
fn page(path: &str) -> Option<String> {
    let mut html = String::from("<!doctype html><title>The Flaky Shop</title>");
    let numbers: Vec<u32> = path
        .split('/')
        .filter_map(|part| part.parse().ok())
        .collect();
    match (path, numbers.as_slice()) {
        ("/", []) => {
            html.push_str("<h1>The Flaky Shop</h1>");
            for category in 1..=CATEGORIES {
                link(&mut html, &format!("/category/{category}"));
            }
        }
        (path, &[category]) if path == format!("/category/{category}") => {
            is_within(category, CATEGORIES)?;
            for product in 1..=PRODUCTS {
                link(
                    &mut html,
                    &format!("/category/{category}/product/{product}"),
                );
            }
        }
        (path, &[category, product])
            if path == format!("/category/{category}/product/{product}") =>
        {
            is_within(category, CATEGORIES)?;
            is_within(product, PRODUCTS)?;
            let price = 10 + (category * 31 + product * 7) % 90;
            // Writing to a string cannot fail.
            let _ = write!(
                html,
                "<h1>Product {category}-{product}</h1><p>{price}.99</p>"
            );
            link(
                &mut html,
                &format!("/category/{category}/product/{}", product % PRODUCTS + 1),
            );
        }
        _ => return None,
    }
    link(&mut html, "/");
    Some(html)
}

fn is_within(number: u32, most: u32) -> Option<()> {
    (1..=most).contains(&number).then_some(())
}

fn link(html: &mut String, path: &str) {
    // Writing to a string cannot fail.
    let _ = write!(html, "<p><a href=\"{path}\">{path}</a></p>");
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_page_is_reached_from_the_entrance() {
        let (mut seen, mut open) = (BTreeSet::from(["/".to_owned()]), vec!["/".to_owned()]);
        while let Some(path) = open.pop() {
            let html = page(&path).unwrap_or_else(|| panic!("{path} is linked and missing"));
            for href in html
                .split("href=\"")
                .skip(1)
                .filter_map(|rest| rest.split('"').next())
            {
                if seen.insert(href.to_owned()) {
                    open.push(href.to_owned());
                }
            }
        }
        assert_eq!(seen.len(), PAGES as usize);
    }

    #[test]
    fn what_is_not_there_is_not_found() {
        for path in [
            "/category/0",
            "/category/15",
            "/category/1/product/21",
            "/x",
            "/category/1/",
        ] {
            assert_eq!(page(path), None, "{path}");
        }
    }
}
