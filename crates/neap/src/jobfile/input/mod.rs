//! Which URLs does a job start from, and what stands beside them?
//!
//! First those of `input.sitemaps` and of `input.urls`, then those of each file of `input.files`, in their order. The files are
//! streamed, so their length does not matter. A line that is no URL stops nothing: it is counted and the
//! first are kept, to be told as warnings.
//!
//! | file | its question |
//! | --- | --- |
//! | `unpack` | what does a file hold, unpacked? |
//! | `lines`, `table` | where does a line or a record of a table end? |
//! | `row` | what does a line, a record or an object say? |

mod lines;
mod row;
mod table;
mod unpack;

use std::fs::{File, Metadata};
use std::io::{self, BufRead};
use std::os::unix::fs::FileTypeExt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use neap_core::job::{InputFormat, ListFile};
use neap_store::{InputFile, InputRow};

use self::lines::Lines;
use self::row::{Columns, Wanted};
use self::table::Table;
use super::JobFile;
use super::problem::{Complaint, JobFileError};
use super::source::Spot;
use crate::print::escape::{for_terminal, quoted};

/// The file name that means standard input.
pub(super) const STDIN: &str = "-";

/// Malformed lines that are kept; further ones are only counted.
pub(crate) const MAX_MALFORMED_KEPT: usize = 20;
/// Those that are kept for who wants to see more.
pub(crate) const MANY_MALFORMED_KEPT: usize = 1_000;

/// A file that was changed less than so long before it is read may change again without a new time.
const SETTLED: Duration = Duration::from_secs(2);

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

/// What of the input is known, so that it need not be read.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// The URLs in the job file itself, those of sitemaps included.
    pub(crate) urls: bool,
    /// Files as they were when they were read.
    pub(crate) files: Vec<InputFile>,
}

/// The URLs of a job, one after another; ends after the first error.
#[derive(Debug)]
pub(crate) struct InputRows {
    listed: std::vec::IntoIter<InputRow>,
    files: std::vec::IntoIter<NamedFile>,
    open: Option<OpenFile>,
    known: Vec<InputFile>,
    read: Vec<InputFile>,
    rows: u64,
    unread: u64,
    malformed: u64,
    kept: Vec<Malformed>,
    most_kept: usize,
    notes: Vec<String>,
}

/// One of `input.files`.
#[derive(Debug, Clone)]
struct NamedFile {
    name: String,
    path: PathBuf,
    spot: Spot,
    format: InputFormat,
    wanted: Wanted,
}

/// A file that is being read.
#[derive(Debug)]
struct OpenFile {
    file: NamedFile,
    /// As it was when it was opened; `None` if that says nothing about its content.
    stamp: Option<InputFile>,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Text(Lines<Source>),
    /// With the name of what holds the URL.
    Objects(Lines<Source>, Wanted),
    Table(Box<Table<Source>>, Columns),
}

type Source = Box<dyn BufReadDebug>;

/// What can be read, sent to another thread, and shown in a debugger.
trait BufReadDebug: BufRead + Send + std::fmt::Debug {}
impl<R: BufRead + Send + std::fmt::Debug> BufReadDebug for R {}

impl JobFile {
    /// Starts to read what the job starts from, except what is known. With `many`, more of the malformed
    /// lines are kept.
    ///
    /// # Errors
    /// A file that the job names is not there; all are looked for before the first is read.
    pub(crate) fn input_rows(&self, known: Known, many: bool) -> Result<InputRows, JobFileError> {
        let input = &self.job.input;
        let files: Vec<NamedFile> = std::iter::zip(&input.files, &self.file_spots)
            .map(|(file, spot)| NamedFile {
                name: file.path.clone(),
                path: self.dir.join(&file.path),
                spot: spot.clone(),
                format: format_of_file(file, input.format),
                wanted: Wanted::of(file, &input.url_column),
            })
            .collect();
        for file in files.iter().filter(|file| file.name != STDIN) {
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
        let listed = if known.urls {
            Vec::new()
        } else {
            // A URL that is both is read for what it lists.
            let sitemaps = input.sitemaps.iter().map(|url| InputRow {
                is_sitemap: true,
                ..url.clone().into()
            });
            let pages = input.urls.iter().map(|url| url.clone().into());
            sitemaps.chain(pages).collect()
        };
        Ok(InputRows {
            listed: listed.into_iter(),
            files: files.into_iter(),
            open: None,
            known: known.files,
            read: Vec::new(),
            rows: 0,
            unread: 0,
            malformed: 0,
            kept: Vec::new(),
            notes: Vec::new(),
            most_kept: if many {
                MANY_MALFORMED_KEPT
            } else {
                MAX_MALFORMED_KEPT
            },
        })
    }
}

impl InputRows {
    /// URLs that were handed out so far, those that occur again included.
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// Files that were not read, since they are known.
    pub(crate) fn unread(&self) -> u64 {
        self.unread
    }

    /// Files that were read to their end and did not change meanwhile.
    pub(crate) fn read(&self) -> &[InputFile] {
        &self.read
    }

    /// Malformed lines so far.
    pub(crate) fn malformed(&self) -> u64 {
        self.malformed
    }

    /// The first of them.
    pub(crate) fn kept(&self) -> &[Malformed] {
        &self.kept
    }

    /// What is odd about the files so far, and stops nothing.
    pub(crate) fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The next row of the open file; `None` at its end.
    fn next_of_file(&mut self) -> Option<Result<InputRow, JobFileError>> {
        let open = self.open.as_mut()?;
        loop {
            let (line, row) = match open.content.next() {
                Ok(Some(found)) => found,
                Ok(None) => return None,
                Err(error) => return Some(Err(open.file.io_error(&error))),
            };
            match row {
                Ok(Some(row)) => return Some(Ok(row)),
                Ok(None) => {}
                Err(reason) => {
                    self.malformed += 1;
                    if self.kept.len() < self.most_kept {
                        let file = for_terminal(&open.file.name).into_owned();
                        self.kept.push(Malformed { file, line, reason });
                    }
                }
            }
        }
    }

    /// Opens the next file that has to be read; `None` if there is none.
    fn open_next(&mut self) -> Option<Result<OpenFile, JobFileError>> {
        loop {
            let file = self.files.next()?;
            let (raw, stamp): (Box<dyn io::Read + Send>, _) = if file.name == STDIN {
                (Box::new(io::stdin()), None)
            } else {
                match File::open(&file.path).and_then(|open| Ok((open.metadata()?, open))) {
                    Ok((found, open)) => (Box::new(open), stamp(&file, &found)),
                    Err(error) => return Some(Err(file.io_error(&error))),
                }
            };
            if stamp
                .as_ref()
                .is_some_and(|stamp| self.known.contains(stamp))
            {
                self.unread += 1;
                continue;
            }
            let (source, is_packed) = match unpack::unpacked(raw) {
                Ok(unpacked) => unpacked,
                Err(error) => return Some(Err(file.io_error(&error))),
            };
            if !is_packed && unpacked_name(&file.name).is_some() {
                let name = for_terminal(&file.name);
                self.notes.push(format!(
                    "{name} is not packed, whatever its name says: it is read as it is"
                ));
            }
            let content = content(source, &file);
            return Some(content.map(|content| OpenFile {
                file,
                stamp,
                content,
            }));
        }
    }

    /// Notes that the open file was read to its end.
    fn close(&mut self) {
        let Some(OpenFile { file, stamp, .. }) = self.open.take() else {
            return;
        };
        let now = std::fs::metadata(&file.path).ok();
        let now = now.and_then(|found| self::stamp(&file, &found));
        self.read
            .extend(stamp.filter(|stamp| now.as_ref() == Some(stamp)));
    }
}

impl Iterator for InputRows {
    type Item = Result<InputRow, JobFileError>;

    fn next(&mut self) -> Option<Result<InputRow, JobFileError>> {
        if let Some(row) = self.listed.next() {
            self.rows += 1;
            return Some(Ok(row));
        }
        loop {
            let found = match self.next_of_file() {
                Some(found) => found,
                None => {
                    self.close();
                    match self.open_next()? {
                        Ok(open) => {
                            self.open = Some(open);
                            continue;
                        }
                        Err(error) => Err(error),
                    }
                }
            };
            match found {
                Ok(_) => self.rows += 1,
                Err(_) => (self.open, self.files) = (None, Vec::new().into_iter()),
            }
            return Some(found);
        }
    }
}

impl Content {
    /// The next line or record: where it begins, and what it says.
    #[allow(clippy::type_complexity)]
    fn next(&mut self) -> io::Result<Option<(u64, Result<Option<InputRow>, String>)>> {
        match self {
            Content::Text(lines) => Ok(lines.next()?.map(|(at, line)| (at, row::of_text(line)))),
            Content::Objects(lines, wanted) => Ok(lines
                .next()?
                .map(|(at, line)| (at, row::of_object(line, wanted)))),
            Content::Table(table, columns) => Ok(table
                .next()?
                .map(|(at, record)| (at, row::of_record(record, columns)))),
        }
    }
}

/// Reads what stands before the first row.
fn content(source: Source, file: &NamedFile) -> Result<Content, JobFileError> {
    let delimiter = match file.format {
        InputFormat::Text => return Ok(Content::Text(Lines::new(source, lines::MAX_LINE_BYTES))),
        InputFormat::Jsonl => {
            let lines = Lines::new(source, table::MAX_RECORD_BYTES);
            return Ok(Content::Objects(lines, file.wanted.clone()));
        }
        InputFormat::Csv => b',',
        InputFormat::Tsv => b'\t',
    };
    let mut table = Table::new(source, delimiter);
    let header = table.next().map_err(|error| file.io_error(&error))?;
    let columns = match header {
        Some((_, header)) => Columns::of(header, &file.wanted),
        None => Err("is empty: its first line must name the columns".to_owned()),
    };
    let columns = columns.map_err(|what| file.error(&what))?;
    Ok(Content::Table(Box::new(table), columns))
}

/// The name that a file has unpacked, if its name says that it is packed.
fn unpacked_name(name: &str) -> Option<&str> {
    let packed = [".gz", ".zst", ".zstd"];
    packed.iter().find_map(|end| name.strip_suffix(end))
}

/// The format of a file: what is said of it, else of all files, else what its name says.
pub(super) fn format_of_file(file: &ListFile, of_all: Option<InputFormat>) -> InputFormat {
    let said = file.format.or(of_all);
    said.unwrap_or_else(|| format_of(&file.path))
}

/// The format that the name of a file says.
fn format_of(name: &str) -> InputFormat {
    let name = name.to_ascii_lowercase();
    let name = unpacked_name(&name).unwrap_or(&name);
    match name.rsplit_once('.') {
        Some((_, "csv")) => InputFormat::Csv,
        Some((_, "tsv")) => InputFormat::Tsv,
        Some((_, "jsonl" | "ndjson")) => InputFormat::Jsonl,
        Some(_) | None => InputFormat::Text,
    }
}

/// By what it is told whether a file changed; `None` if that cannot be told.
fn stamp(file: &NamedFile, found: &Metadata) -> Option<InputFile> {
    let modified = found.modified().ok().filter(|_| found.is_file())?;
    let is_settled = SystemTime::now().duration_since(modified).ok()? >= SETTLED;
    let since_1970 = modified.duration_since(UNIX_EPOCH).ok()?;
    is_settled.then_some(InputFile {
        name: file.name.clone(),
        bytes: found.len(),
        modified_ns: i64::try_from(since_1970.as_nanos()).ok()?,
    })
}

impl NamedFile {
    fn io_error(&self, error: &io::Error) -> JobFileError {
        match error.kind() == io::ErrorKind::NotFound {
            true => self.error("is not there"),
            false => self.error(&format!("cannot be read: {error}")),
        }
    }

    fn error(&self, what: &str) -> JobFileError {
        let message = format!("the file `{}` {what}", quoted(&self.name));
        let help = if self.name == STDIN {
            "it means standard input".to_owned()
        } else {
            format!(
                "looked for {}; a path is relative to the job file",
                for_terminal(&self.path.display().to_string())
            )
        };
        JobFileError::one(self.spot.clone(), Complaint::new(message).help(help))
    }
}

#[cfg(test)]
mod tests;
