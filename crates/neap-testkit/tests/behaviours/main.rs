//! Does a site behave, and misbehave, as its script says?

// clippy.toml allows it in tests; their helpers need it as well.
#![allow(clippy::unwrap_used)]

mod client;
mod evidence;
mod hostile;
mod hosts;
mod replies;
mod running;
mod scripts;
mod system;
mod tls;
