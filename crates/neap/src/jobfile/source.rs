//! What text does a job come from, and where in it does a thing stand?
//!
//! The sources of a job are its file and each `--set` of the command line. A [`Spot`] marks a part of
//! one, so that every complaint can show the line it is about.

use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use super::problem::JobFileError;
use crate::print::escape;

/// Largest job file, in bytes. Lists of URLs that are longer belong into files of `input.files`,
/// which are not held in memory.
pub(crate) const MAX_JOB_FILE_BYTES: u64 = 16 << 20;

/// A text with a name that people know it by.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub(super) name: Arc<str>,
    pub(super) text: Arc<str>,
}

/// A part of a source.
#[derive(Debug, Clone)]
pub(super) struct Spot {
    pub(super) source: Source,
    /// In bytes.
    pub(super) span: Range<usize>,
}

impl Source {
    /// Reads a job file.
    ///
    /// # Errors
    /// It cannot be read, or is no text that a job file could be.
    pub(super) fn read(path: &Path) -> Result<Source, JobFileError> {
        let name = path.display().to_string();
        let unreadable = |source| JobFileError::Unreadable {
            path: escape::for_terminal(&name).into(),
            source,
        };
        let file = File::open(path).map_err(unreadable)?;
        let mut bytes = Vec::new();
        file.take(MAX_JOB_FILE_BYTES + 1)
            .read_to_end(&mut bytes)
            .map_err(unreadable)?;
        Source::of_bytes(&name, bytes)
    }

    /// A job file that is not on the disk.
    ///
    /// # Errors
    /// It is no text that a job file could be.
    pub(super) fn of_text(name: &str, text: &str) -> Result<Source, JobFileError> {
        Source::of_bytes(name, text.as_bytes().to_vec())
    }

    /// The text of one `--set`.
    ///
    /// # Errors
    /// It holds control characters.
    pub(super) fn of_override(text: &str) -> Result<Source, JobFileError> {
        Source::of_text("--set", text)
    }

    fn of_bytes(name: &str, bytes: Vec<u8>) -> Result<Source, JobFileError> {
        let path = escape::for_terminal(name).into_owned();
        if bytes.len() as u64 > MAX_JOB_FILE_BYTES {
            return Err(JobFileError::TooLarge { path });
        }
        let marks: [(&[u8], &'static str); 3] = [
            (b"\xef\xbb\xbf", "UTF-8"),
            (b"\xff\xfe", "UTF-16"),
            (b"\xfe\xff", "UTF-16"),
        ];
        if let Some((_, encoding)) = marks.iter().find(|(mark, _)| bytes.starts_with(mark)) {
            return Err(JobFileError::ByteOrderMark { path, encoding });
        }
        let text = String::from_utf8(bytes).map_err(|error| {
            let valid = error.utf8_error().valid_up_to();
            let line = 1 + error.as_bytes()[..valid]
                .iter()
                .filter(|byte| **byte == b'\n')
                .count();
            JobFileError::NotUtf8 {
                path: path.clone(),
                line,
            }
        })?;
        if text.trim().is_empty() {
            return Err(JobFileError::Empty { path });
        }
        if let Some((at, character)) = text.char_indices().find(|(_, c)| is_hidden(*c)) {
            let before = &text[..at];
            let line = 1 + before.matches('\n').count();
            let column = 1 + before.rsplit('\n').next().unwrap_or(before).chars().count();
            let character = format!("U+{:04X}", u32::from(character));
            return Err(JobFileError::HiddenCharacter {
                path,
                line,
                column,
                character,
            });
        }
        Ok(Source {
            name: path.into(),
            text: text.into(),
        })
    }

    /// The part of it that `span` covers, in bytes.
    pub(super) fn spot(&self, span: Range<usize>) -> Spot {
        Spot {
            source: self.clone(),
            span,
        }
    }
}

/// Characters that no job file needs, and that could show a reader another job than neap reads.
fn is_hidden(c: char) -> bool {
    escape::acts(c) && !matches!(c, '\n' | '\r' | '\t')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_cannot_be_a_job_file_is_refused_by_name() {
        for (bytes, complaint) in [
            (b"".to_vec(), "job.toml is empty"),
            (b" \r\n\t".to_vec(), "job.toml is empty"),
            (
                b"\xef\xbb\xbfneap = 1".to_vec(),
                "job.toml starts with a byte order mark (UTF-8)",
            ),
            (
                b"\xff\xfen\0".to_vec(),
                "job.toml starts with a byte order mark (UTF-16)",
            ),
            (
                b"neap = 1\nname = \"\xe9\"".to_vec(),
                "job.toml is not UTF-8 (line 2)",
            ),
            (
                b"neap = 1\n# \0".to_vec(),
                "job.toml:2:3: character U+0000 is not allowed",
            ),
            (
                "# gpj.\u{202e}exe".into(),
                "job.toml:1:7: character U+202E is not allowed",
            ),
            (
                vec![b'#'; MAX_JOB_FILE_BYTES as usize + 1],
                "job.toml is larger than 16 MiB",
            ),
        ] {
            let error = Source::of_bytes("job.toml", bytes).unwrap_err();
            assert_eq!(error.to_string(), complaint);
        }
        assert!(Source::of_bytes("job.toml", b"neap = 1\r\n\t# ok \xc3\xa9".to_vec()).is_ok());
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = Source::read(Path::new("/nowhere/at-all.toml")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot read the job file /nowhere/at-all.toml"
        );
    }
}
