//! How many instructions does the limiter spend on a request?
//!
//! ```text
//! cargo build --release -p neap-core --example limiter_cost
//! valgrind --tool=callgrind --callgrind-out-file=/dev/null \
//!   --toggle-collect='*load::start*' --toggle-collect='*load::report*' \
//!   target/release/examples/limiter_cost 100000 500000
//! ```
//!
//! Only what the limiter does is counted, by the two functions that are named. What valgrind says was
//! collected, divided by the requests that this says were reported, is the answer; it repeats exactly.
//! The arguments are hosts and steps; in each step at most one request starts and one ends.

#[path = "../benches/load/mod.rs"]
mod load;

fn main() {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse::<usize>());
    let (Some(Ok(hosts)), Some(Ok(steps))) = (numbers.next(), numbers.next()) else {
        eprintln!("usage: limiter_cost HOSTS STEPS");
        std::process::exit(2);
    };
    let mut load = load::Load::new(hosts.max(1));
    let mut reported = 0u64;
    for _ in 0..steps {
        reported += u64::from(load.step());
    }
    println!("{reported} requests reported");
}
