//! How is the log of requests written for other programs?

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Mutex;

use serde_json::json;

use crate::asked::{Asked, End};
use crate::script::lock;

/// A file of JSON Lines, one for each request that has ended.
pub(super) struct Journal(Mutex<File>);

impl Journal {
    pub(super) fn create(file: &Path) -> io::Result<Journal> {
        Ok(Journal(Mutex::new(File::create(file)?)))
    }

    /// Writes one request, as one write, so that who reads along finds whole lines.
    pub(super) fn note(&self, asked: &Asked) {
        let (how, ended) = match asked.end {
            End::Pending => ("pending", None),
            End::Answered(at) => ("answered", Some(at)),
            End::ClientLeft(at) => ("client_left", Some(at)),
            End::Abandoned => ("abandoned", None),
        };
        let line = json!({
            "order": asked.order, "micros": asked.micros, "connection": asked.connection, "turn": asked.turn,
            "local": asked.local.to_string(), "peer": asked.peer.to_string(), "method": asked.method,
            "target": asked.target, "headers": asked.headers, "in_flight": asked.in_flight, "status": asked.status,
            "sent": asked.sent, "end": how, "end_micros": ended,
        });
        if let Err(error) = lock(&self.0).write_all(format!("{line}\n").as_bytes()) {
            eprintln!("the log cannot be written: {error}");
        }
    }
}
