//! Which URLs does a job start from?
//!
//! First those of `input.urls`, then those of each file of `input.files`: text, one URL a line, blank
//! lines and lines that begin with `#` skipped. The files are streamed, so their length does not matter.
//! A line that is no URL stops nothing: it is counted and the first are kept, to be told as warnings.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::PathBuf;

use neap_core::canonical::{CanonicalUrl, MAX_URL_BYTES};

use super::problem::{Complaint, JobFileError};
use super::source::Spot;
use super::{JobFile, values};
use crate::print::escape::{for_terminal, quoted};

/// Longest line that is looked at, in bytes: what [`CanonicalUrl::parse`] reads before it shortens.
const MAX_LINE_BYTES: usize = 4 * MAX_URL_BYTES;

/// Malformed lines that are kept; further ones are only counted.
pub(crate) const MAX_MALFORMED_KEPT: usize = 20;

/// A line that is no URL to start from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Malformed {
    /// The file as the job file names it, escaped for the terminal.
    pub(crate) file: String,
    /// Counted from 1.
    pub(crate) line: u64,
    /// Why, in words. The line itself is not repeated: it may hold a password.
    pub(crate) reason: String,
}

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.reason)
    }
}

/// The URLs of a job, one after another; ends after the first error.
#[derive(Debug)]
pub(crate) struct InputUrls {
    listed: std::vec::IntoIter<CanonicalUrl>,
    files: std::vec::IntoIter<UrlFile>,
    open: Option<(UrlFile, Lines<BufReader<File>>)>,
    urls: u64,
    malformed: u64,
    kept: Vec<Malformed>,
}

/// One of `input.files`.
#[derive(Debug)]
struct UrlFile {
    name: String,
    path: PathBuf,
    spot: Spot,
}

impl JobFile {
    /// Starts to read the URLs of the job.
    ///
    /// # Errors
    /// A file that the job names is not there; all are looked for before the first is read.
    pub(crate) fn input_urls(&self) -> Result<InputUrls, JobFileError> {
        let files: Vec<UrlFile> = std::iter::zip(&self.job.input.files, &self.file_spots)
            .map(|(name, spot)| UrlFile {
                name: name.clone(),
                path: self.dir.join(name),
                spot: spot.clone(),
            })
            .collect();
        for file in &files {
            match std::fs::metadata(&file.path) {
                Ok(found) if found.is_dir() => return Err(file.error("is a directory")),
                // Some of them never end.
                Ok(found) if found.file_type().is_char_device() => {
                    return Err(file.error("is a device"));
                }
                Ok(_) => {}
                Err(error) => return Err(file.io_error(&error)),
            }
        }
        Ok(InputUrls {
            listed: self.job.input.urls.clone().into_iter(),
            files: files.into_iter(),
            open: None,
            urls: 0,
            malformed: 0,
            kept: Vec::new(),
        })
    }
}

impl InputUrls {
    /// URLs that were handed out so far, those that occur again included.
    pub(crate) fn urls(&self) -> u64 {
        self.urls
    }

    /// Malformed lines so far.
    pub(crate) fn malformed(&self) -> u64 {
        self.malformed
    }

    /// The first [`MAX_MALFORMED_KEPT`] of them.
    pub(crate) fn kept(&self) -> &[Malformed] {
        &self.kept
    }

    /// The next URL of the open file; `None` at its end.
    fn next_of_file(&mut self) -> Option<Result<CanonicalUrl, JobFileError>> {
        let (file, lines) = self.open.as_mut()?;
        loop {
            let line = match lines.next_line() {
                Ok(Some(line)) => line,
                Ok(None) => return None,
                Err(error) => return Some(Err(file.io_error(&error))),
            };
            match url_of(line) {
                Ok(Some(url)) => return Some(Ok(url)),
                Ok(None) => {}
                Err(reason) => {
                    self.malformed += 1;
                    if self.kept.len() < MAX_MALFORMED_KEPT {
                        let file = for_terminal(&file.name).into_owned();
                        self.kept.push(Malformed {
                            file,
                            line: lines.number,
                            reason,
                        });
                    }
                }
            }
        }
    }
}

impl Iterator for InputUrls {
    type Item = Result<CanonicalUrl, JobFileError>;

    fn next(&mut self) -> Option<Result<CanonicalUrl, JobFileError>> {
        if let Some(url) = self.listed.next() {
            self.urls += 1;
            return Some(Ok(url));
        }
        loop {
            match self.next_of_file() {
                Some(Ok(url)) => {
                    self.urls += 1;
                    return Some(Ok(url));
                }
                Some(Err(error)) => {
                    (self.open, self.files) = (None, Vec::new().into_iter());
                    return Some(Err(error));
                }
                None => {}
            }
            let file = self.files.next()?;
            match File::open(&file.path) {
                Ok(opened) => self.open = Some((file, Lines::new(BufReader::new(opened)))),
                Err(error) => {
                    self.files = Vec::new().into_iter();
                    self.open = None;
                    return Some(Err(file.io_error(&error)));
                }
            }
        }
    }
}

impl UrlFile {
    fn io_error(&self, error: &io::Error) -> JobFileError {
        match error.kind() == io::ErrorKind::NotFound {
            true => self.error("is not there"),
            false => self.error(&format!("cannot be read: {error}")),
        }
    }

    fn error(&self, what: &str) -> JobFileError {
        let message = format!("the file `{}` {what}", quoted(&self.name));
        let help = format!(
            "looked for {}; a path is relative to the job file",
            for_terminal(&self.path.display().to_string())
        );
        JobFileError::one(self.spot.clone(), Complaint::new(message).help(help))
    }
}

/// The URL in a line, `None` in one without; or why it holds none.
fn url_of(line: Line<'_>) -> Result<Option<CanonicalUrl>, String> {
    let bytes = match line {
        Line::Whole(bytes) => bytes,
        Line::TooLong => return Err(format!("longer than {MAX_LINE_BYTES} bytes")),
    };
    let text = std::str::from_utf8(bytes).map_err(|_| "not UTF-8".to_owned())?;
    let text = text.trim();
    if text.is_empty() || text.starts_with('#') {
        return Ok(None);
    }
    if values::has_credentials(text) {
        return Err("a user name or password in a URL; use [identity] headers".to_owned());
    }
    CanonicalUrl::parse(text)
        .map(Some)
        .map_err(|error| error.to_string())
}

/// Lines of a file in bounded memory.
#[derive(Debug)]
struct Lines<R> {
    reader: R,
    buffer: Vec<u8>,
    /// Of the line that was read last, counted from 1.
    number: u64,
}

/// A line without the byte order mark that the first may begin with.
enum Line<'a> {
    Whole(&'a [u8]),
    TooLong,
}

impl<R: BufRead> Lines<R> {
    fn new(reader: R) -> Lines<R> {
        Lines {
            reader,
            buffer: Vec::new(),
            number: 0,
        }
    }

    fn next_line(&mut self) -> io::Result<Option<Line<'_>>> {
        self.buffer.clear();
        let most = MAX_LINE_BYTES as u64 + 1;
        if self
            .reader
            .by_ref()
            .take(most)
            .read_until(b'\n', &mut self.buffer)?
            == 0
        {
            return Ok(None);
        }
        self.number += 1;
        if self.buffer.len() > MAX_LINE_BYTES && !self.buffer.ends_with(b"\n") {
            self.skip_rest_of_line()?;
            return Ok(Some(Line::TooLong));
        }
        let mark: &[u8] = if self.number == 1 {
            b"\xef\xbb\xbf"
        } else {
            b""
        };
        Ok(Some(Line::Whole(
            self.buffer.strip_prefix(mark).unwrap_or(&self.buffer),
        )))
    }

    fn skip_rest_of_line(&mut self) -> io::Result<()> {
        loop {
            let buffered = self.reader.fill_buf()?;
            let (taken, is_end) = match buffered.iter().position(|byte| *byte == b'\n') {
                Some(at) => (at + 1, true),
                None => (buffered.len(), buffered.is_empty()),
            };
            self.reader.consume(taken);
            if is_end {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::tests::shown;
    use super::*;

    /// A job in a directory of its own with these files of URLs.
    fn job(urls: &str, files: &[(&str, &[u8])]) -> (tempfile::TempDir, JobFile) {
        let dir = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            fs::write(dir.path().join(name), bytes).unwrap();
        }
        let names: Vec<&str> = files.iter().map(|(name, _)| *name).collect();
        let path = dir.path().join("job.toml");
        fs::write(
            &path,
            format!("neap = 1\n[input]\nurls = {urls}\nfiles = {names:?}\n"),
        )
        .unwrap();
        let job = super::super::read(&path, &[]).unwrap();
        (dir, job)
    }

    fn urls(input: &mut InputUrls) -> Vec<String> {
        input.map(|url| url.unwrap().to_string()).collect()
    }

    #[test]
    fn listed_urls_come_first_then_each_file_in_order() {
        let one =
            b"\xef\xbb\xbfhttp://a.example/1\r\n\r\n  # comment\r\n\thttp://a.example/2  \r\n";
        let (_dir, job) = job(
            r#"["http://z.example/"]"#,
            &[
                ("one.txt", one),
                ("empty.txt", b""),
                ("two.txt", b"http://b.example/1#x"),
            ],
        );
        let mut input = job.input_urls().unwrap();
        assert_eq!(
            urls(&mut input),
            [
                "http://z.example/",
                "http://a.example/1",
                "http://a.example/2",
                "http://b.example/1"
            ]
        );
        assert_eq!((input.urls(), input.malformed()), (4, 0));
    }

    #[test]
    fn malformed_lines_are_counted_and_do_not_stop_the_rest() {
        let mut text =
            b"nonsense\nftp://a.example/\nhttp://me:hunter2@a.example/\n\xff\xfe\n".to_vec();
        text.extend(
            b"http://a.example/"
                .iter()
                .chain(&vec![b'x'; 3 * MAX_LINE_BYTES])
                .chain(b"\n"),
        );
        text.extend(format!("http://a.example/{}\n", "y".repeat(MAX_URL_BYTES)).as_bytes());
        text.extend(b"http://a.example/good\n");
        let (_dir, job) = job("[]", &[("list.txt", &text)]);
        let mut input = job.input_urls().unwrap();
        assert_eq!(urls(&mut input), ["http://a.example/good"]);
        let told: Vec<String> = input.kept().iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "list.txt:1: not a URL",
                "list.txt:2: only http and https can be fetched",
                "list.txt:3: a user name or password in a URL; use [identity] headers",
                "list.txt:4: not UTF-8",
                "list.txt:5: longer than 16384 bytes",
                "list.txt:6: longer than 4096 bytes",
            ]
        );
        assert_eq!(input.malformed(), 6);
    }

    #[test]
    fn of_many_malformed_lines_only_the_first_are_kept() {
        let (_dir, job) = job("[]", &[("list.txt", "x\n".repeat(1000).as_bytes())]);
        let mut input = job.input_urls().unwrap();
        assert_eq!(urls(&mut input), Vec::<String>::new());
        assert_eq!(
            (input.malformed(), input.kept().len()),
            (1000, MAX_MALFORMED_KEPT)
        );
    }

    #[test]
    fn a_line_of_the_greatest_length_is_read_whole() {
        let blanks = " ".repeat(MAX_LINE_BYTES - "http://a.example/".len());
        let text =
            format!("http://a.example/{blanks}\nhttp://a.example/2{blanks}\nhttp://a.example/3");
        let (_dir, job) = job("[]", &[("list.txt", text.as_bytes())]);
        let mut input = job.input_urls().unwrap();
        assert_eq!(
            urls(&mut input),
            ["http://a.example/", "http://a.example/3"]
        );
        assert_eq!(input.kept()[0].line, 2);
    }

    #[test]
    fn a_missing_file_is_shown_in_the_line_that_names_it() {
        let (dir, job) = job("[]", &[("list.txt", b""), ("gone.txt", b"")]);
        fs::remove_file(dir.path().join("gone.txt")).unwrap();
        let told = shown(&job.input_urls().unwrap_err());
        assert!(told.contains("the file `gone.txt` is not there"), "{told}");
        assert!(told.contains("job.toml:4:22]"), "{told}");
        assert!(told.contains("relative to the job file"), "{told}");
        fs::create_dir(dir.path().join("gone.txt")).unwrap();
        let told = shown(&job.input_urls().unwrap_err());
        assert!(told.contains("is a directory"), "{told}");
    }

    #[test]
    fn a_file_that_vanishes_while_others_are_read_ends_the_input() {
        let (dir, job) = job("[]", &[("one.txt", b"http://a.example/"), ("two.txt", b"")]);
        let mut input = job.input_urls().unwrap();
        fs::remove_file(dir.path().join("two.txt")).unwrap();
        assert!(input.next().unwrap().is_ok());
        assert!(shown(&input.next().unwrap().unwrap_err()).contains("is not there"));
        assert!(input.next().is_none());
    }
}
