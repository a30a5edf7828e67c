//! Does a run keep its promises, whatever hosts and store do?

mod domains;
mod ending;
mod failing;
mod fairness;
mod limits;
mod pages;
mod proxies;
mod retries;
mod robots;
#[path = "../support/mod.rs"]
mod support;
mod waiting;

use support::Spec;

fn pages(host: i64, count: usize) -> Vec<Spec> {
    vec![Spec::page(host); count]
}
