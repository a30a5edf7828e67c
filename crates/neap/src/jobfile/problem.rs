//! How does neap say what is wrong with a job file?
//!
//! Each [`Problem`] shows the line, marks the part, and says what to write instead. All problems of a
//! file are reported together, in the order in which they stand in it. A secret that should not have
//! been written down is masked in what is shown, since errors end up in logs.

use std::sync::Arc;

use miette::{Diagnostic, NamedSource, SourceSpan};

use super::source::{MAX_JOB_FILE_BYTES, Source, Spot};

/// Problems of one file that are reported; further ones are only counted.
pub(crate) const MAX_PROBLEMS: usize = 20;

/// Why a job file (with its overrides) makes no job. Always exit code 2.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub(crate) enum JobFileError {
    /// The file system did not give it.
    #[error("cannot read the job file {path}")]
    #[diagnostic(help("name a job file, such as `site.toml`, or a job that `neap status` lists"))]
    Unreadable {
        /// The file.
        path: String,
        /// What it said.
        #[source]
        source: std::io::Error,
    },
    /// More than [`MAX_JOB_FILE_BYTES`].
    #[error("{path} is larger than {} MiB", MAX_JOB_FILE_BYTES >> 20)]
    #[diagnostic(
        code(neap::job),
        help("put the URLs into a text file, one a line, and name it in `input.files`")
    )]
    TooLarge {
        /// The file.
        path: String,
    },
    /// Nothing but white space.
    #[error("{path} is empty")]
    #[diagnostic(
        code(neap::job),
        help("the smallest job is:\nneap = 1\n[input]\nurls = [\"https://example.org/\"]")
    )]
    Empty {
        /// The file.
        path: String,
    },
    /// It begins with U+FEFF in some encoding.
    #[error("{path} starts with a byte order mark ({encoding})")]
    #[diagnostic(code(neap::job), help("save it as UTF-8 without byte order mark"))]
    ByteOrderMark {
        /// The file.
        path: String,
        /// The encoding that the mark belongs to.
        encoding: &'static str,
    },
    /// Bytes that are no text.
    #[error("{path} is not UTF-8 (line {line})")]
    #[diagnostic(code(neap::job), help("save it as UTF-8"))]
    NotUtf8 {
        /// The file.
        path: String,
        /// The first line that is not, counted from 1.
        line: usize,
    },
    /// A control character or a direction mark, as it is and not as an escape.
    #[error("{path}:{line}:{column}: character {character} is not allowed")]
    #[diagnostic(
        code(neap::job),
        help("it cannot be seen and could hide what the job does; remove it")
    )]
    HiddenCharacter {
        /// The file.
        path: String,
        /// Counted from 1.
        line: usize,
        /// In characters, counted from 1.
        column: usize,
        /// Its code point.
        character: String,
    },
    /// One thing is wrong.
    #[error(transparent)]
    #[diagnostic(transparent)]
    One(Box<Problem>),
    /// Several things are wrong.
    #[error("{count} problems in {path}{first}")]
    #[diagnostic(code(neap::job))]
    Several {
        /// The file.
        path: String,
        /// All of them.
        count: usize,
        /// Says so if not all are shown.
        first: String,
        /// The first [`MAX_PROBLEMS`].
        #[related]
        problems: Vec<Problem>,
    },
}

impl JobFileError {
    /// The error for one thing that is wrong with a value.
    pub(super) fn one(spot: Spot, complaint: Complaint) -> JobFileError {
        JobFileError::One(Box::new(problem(&spot, "here", &complaint, &[])))
    }
}

/// One thing that is wrong, and where.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{message}")]
#[diagnostic(code(neap::job))]
pub(crate) struct Problem {
    message: String,
    #[source_code]
    source_code: NamedSource<Arc<str>>,
    #[label("{label}")]
    span: SourceSpan,
    label: String,
    #[help]
    help: Option<String>,
}

/// What is wrong with a value, before it is known where the value stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Complaint {
    /// What is wrong; any text of the file in it is escaped.
    pub(super) message: String,
    /// What to write instead.
    pub(super) help: Option<String>,
    /// Whether the value is a secret, so that it must not be shown.
    pub(super) is_secret: bool,
}

impl Complaint {
    /// A complaint that says enough.
    pub(super) fn new(message: impl Into<String>) -> Complaint {
        Complaint {
            message: message.into(),
            help: None,
            is_secret: false,
        }
    }

    /// With advice.
    pub(super) fn help(mut self, help: impl Into<String>) -> Complaint {
        self.help = Some(help.into());
        self
    }

    /// About a value that must not be shown.
    pub(super) fn secret(mut self) -> Complaint {
        self.is_secret = true;
        self
    }
}

/// Collects what is wrong.
#[derive(Debug, Default)]
pub(super) struct Problems {
    held: Vec<(Spot, &'static str, Complaint)>,
    count: usize,
}

/// Problems that are held for being put in order; further ones are only counted, since a file may hold
/// millions.
const MAX_HELD: usize = 10_000;

impl Problems {
    /// Adds a complaint about a value.
    pub(super) fn value(&mut self, spot: Spot, complaint: Complaint) {
        self.add(spot, "here", complaint);
    }

    /// Adds a complaint about a key.
    pub(super) fn key(&mut self, spot: Spot, complaint: Complaint) {
        self.add(spot, "not a key of this section", complaint);
    }

    fn add(&mut self, spot: Spot, label: &'static str, complaint: Complaint) {
        self.count += 1;
        // A secret is held in any case, because what is held is masked.
        if self.held.len() < MAX_HELD || complaint.is_secret {
            self.held.push((spot, label, complaint));
        }
    }

    /// Whether there are none so far.
    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The error that reports them; `None` if there are none. `path` is the job file.
    pub(super) fn into_error(mut self, path: &str) -> Option<JobFileError> {
        // The overrides come after the file, and each source in its own order.
        self.held
            .sort_by_key(|(spot, ..)| (&*spot.source.name != path, spot.span.start));
        let mut problems = self.shown();
        match self.count {
            0 => None,
            1 => problems
                .pop()
                .map(|problem| JobFileError::One(Box::new(problem))),
            count => {
                let first = match count > MAX_PROBLEMS {
                    true => format!(", the first {MAX_PROBLEMS} of them"),
                    false => String::new(),
                };
                let path = path.to_owned();
                Some(JobFileError::Several {
                    path,
                    count,
                    first,
                    problems,
                })
            }
        }
    }

    fn shown(&self) -> Vec<Problem> {
        let secrets = self
            .held
            .iter()
            .filter(|(.., complaint)| complaint.is_secret);
        let secrets: Vec<&Spot> = secrets.map(|(spot, ..)| spot).collect();
        let first = self.held.iter().take(MAX_PROBLEMS);
        first
            .map(|(spot, label, complaint)| problem(spot, label, complaint, &secrets))
            .collect()
    }
}

fn problem(spot: &Spot, label: &str, complaint: &Complaint, secrets: &[&Spot]) -> Problem {
    let text = match secrets {
        [] => spot.source.text.clone(),
        _ => masked(&spot.source, secrets),
    };
    Problem {
        message: complaint.message.clone(),
        source_code: NamedSource::new(&spot.source.name, text),
        span: spot.span.clone().into(),
        label: label.to_owned(),
        help: complaint.help.clone(),
    }
}

/// The text of a source with every byte of its secrets as `*`; line breaks stay, and so does every
/// offset.
fn masked(source: &Source, secrets: &[&Spot]) -> Arc<str> {
    let of_source = |secret: &&&Spot| Arc::ptr_eq(&secret.source.text, &source.text);
    let mut bytes = source.text.as_bytes().to_vec();
    for secret in secrets.iter().filter(of_source) {
        for byte in &mut bytes[secret.span.clone()] {
            *byte = if *byte == b'\n' { b'\n' } else { b'*' };
        }
    }
    String::from_utf8_lossy(&bytes).into()
}
