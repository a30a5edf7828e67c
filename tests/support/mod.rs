//! What does every system test need? The executable in a directory of its own, and its answers.

pub(crate) mod gate;
pub(crate) mod gateway;
pub(crate) mod load;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Output, Stdio};

use serde_json::Value;

/// A directory in which neap runs.
pub(crate) struct Place {
    directory: tempfile::TempDir,
}

/// What neap said and how it ended.
pub(crate) struct Said {
    /// The exit code; `None` if it was killed.
    pub(crate) code: Option<i32>,
    /// Standard output.
    pub(crate) out: String,
    /// Standard error.
    pub(crate) err: String,
}

impl Said {
    /// Fails the test unless neap ended with this code.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Said {
        assert_eq!(
            self.code,
            Some(code),
            "--- stdout\n{}\n--- stderr\n{}",
            self.out,
            self.err
        );
        self
    }
}

impl From<Output> for Said {
    fn from(output: Output) -> Said {
        Said {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Place {
    /// An empty directory.
    pub(crate) fn new() -> Place {
        Place {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    /// A path in it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a file into it.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// The executable, in this directory and with nothing of the caller's environment that it heeds.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_neap"));
        command.args(arguments).current_dir(self.directory.path());
        for name in [
            "NEAP_DB",
            "NEAP_LOG",
            "NEAP_PROGRESS",
            "NO_COLOR",
            "RUST_LOG",
        ] {
            command.env_remove(name);
        }
        command.stdin(Stdio::null());
        command
    }

    /// Runs neap to its end.
    pub(crate) fn neap(&self, arguments: &[&str]) -> Said {
        self.command(arguments).output().unwrap().into()
    }

    /// Starts neap, to be waited for, stopped or killed.
    pub(crate) fn start(&self, arguments: &[&str]) -> Running {
        let mut command = self.command(arguments);
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let err = BufReader::new(child.stderr.take().unwrap());
        Running {
            child: Some(child),
            err,
            said: String::new(),
        }
    }

    /// Rows of a query, each a JSON object.
    #[track_caller]
    pub(crate) fn query(&self, sql: &str) -> Vec<Value> {
        let said = self.neap(&["query", sql, "--format", "json"]).expect(0);
        serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {}", said.out))
    }

    /// The one number that a query gives.
    #[track_caller]
    pub(crate) fn number(&self, sql: &str) -> i64 {
        let rows = self.query(sql);
        let row = rows[0].as_object().unwrap();
        row.values()
            .next()
            .and_then(Value::as_i64)
            .unwrap_or_else(|| panic!("{sql}: {rows:?}"))
    }

    /// Each URL of `results` with its final status; fails the test if one is there twice.
    #[track_caller]
    pub(crate) fn results(&self) -> BTreeMap<String, i64> {
        let mut results = BTreeMap::new();
        for row in self.query("SELECT url, status FROM results WHERE state = 'done'") {
            let url = row["url"].as_str().unwrap().to_owned();
            let before = results.insert(url.clone(), row["status"].as_i64().unwrap());
            assert_eq!(before, None, "{url} is in results twice");
        }
        results
    }

    /// Checks what must hold of every store, whatever happened to it.
    #[track_caller]
    pub(crate) fn check_invariants(&self) {
        for (what, sql) in [
            ("requests in flight", "SELECT count(*) FROM in_flight"),
            (
                "pages of requests that are open",
                "SELECT count(*) FROM pages p JOIN requests r \
              USING (request_id) WHERE r.state IN (0, 4)",
            ),
            (
                "done requests without a page",
                "SELECT count(*) FROM requests r WHERE r.state = 2 \
              AND NOT EXISTS (SELECT 1 FROM pages p WHERE p.request_id = r.request_id)",
            ),
            (
                "jobs whose counts are wrong",
                "SELECT count(*) FROM jobs j WHERE \
              (ready, waiting, done, failed, skipped) IS NOT (SELECT \
              coalesce(sum(state = 0), 0), coalesce(sum(state = 4), 0), coalesce(sum(state = 2), 0), \
              coalesce(sum(state = 3), 0), coalesce(sum(state = 5), 0) \
              FROM requests r WHERE r.job_id = j.job_id)",
            ),
        ] {
            assert_eq!(self.number(sql), 0, "{what}");
        }
        self.neap(&["db", "check", "--bodies"]).expect(0);
    }
}

/// A neap that runs.
pub(crate) struct Running {
    child: Option<Child>,
    err: BufReader<ChildStderr>,
    /// What it said on standard error so far.
    said: String,
}

impl Running {
    /// Kills it at once: SIGKILL.
    pub(crate) fn kill(mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// The number of its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// The most memory that its process had so far, in KiB (`VmHWM`, see proc_pid_status(5)).
    pub(crate) fn peak_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let number = line.and_then(|line| line.split_whitespace().next());
        number
            .and_then(|number| number.parse().ok())
            .expect("a peak")
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.as_mut().unwrap().try_wait().unwrap().is_some()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: nix::sys::signal::Signal) {
        let id = self.child.as_ref().unwrap().id();
        let pid = nix::unistd::Pid::from_raw(id.cast_signed());
        nix::sys::signal::kill(pid, signal).unwrap();
    }

    /// Waits until it says something on standard error that holds this text.
    #[track_caller]
    pub(crate) fn hear(&mut self, text: &str) {
        loop {
            let before = self.said.len();
            let read = self.err.read_line(&mut self.said).unwrap();
            assert!(read > 0, "it ended without saying {text:?}: {}", self.said);
            if self.said[before..].contains(text) {
                return;
            }
        }
    }

    /// Waits for its end.
    pub(crate) fn wait(mut self) -> Said {
        self.err.read_to_string(&mut self.said).unwrap();
        let mut said = Said::from(self.child.take().unwrap().wait_with_output().unwrap());
        said.err = std::mem::take(&mut self.said);
        said
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // A test failed while it ran; it may have ended by itself meanwhile.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A job file that crawls everything below a URL.
pub(crate) fn site_job(url: &str, more: &str) -> String {
    format!(
        "neap = 1\nname = \"site\"\n[input]\nurls = [\"{url}\"]\n[crawl]\nscope = \"host\"\n{more}\n"
    )
}

/// Writes `job.toml`: a list of URLs through one pool, with these proxies.
pub(crate) fn list_job(place: &Place, list: &str, proxies: &[String], more: &str) {
    place.write("urls.txt", list);
    place.write("proxies.txt", &proxies.join("\n"));
    place.write(
        "job.toml",
        &format!(
            "neap = 1\nname = \"job\"\n[input]\nfiles = [\"urls.txt\"]\n[robots]\nmode = \"off\"\n\
             [store]\nbodies = \"none\"\n{more}\n[[proxy.pool]]\nname = \"pool\"\nfile = \"proxies.txt\"\n"
        ),
    );
}

/// Whether a proxy is left out in the end, by the summary.
pub(crate) fn is_left_out(said: &Said, proxy: SocketAddr) -> bool {
    let name = proxy.to_string();
    let mut lines = said.err.lines();
    lines.any(|line| line.contains("left out") && line.contains(&name))
}

/// The top of the source tree.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The URLs that have this status.
pub(crate) fn with_status(results: &BTreeMap<String, i64>, status: i64) -> BTreeSet<String> {
    results
        .iter()
        .filter(|(_, s)| **s == status)
        .map(|(url, _)| url.clone())
        .collect()
}
