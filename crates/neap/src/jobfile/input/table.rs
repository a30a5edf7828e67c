//! Where does a record of a table end? In bounded memory, even if a quote is never closed.
//!
//! RFC 4180 with what is found in the wild: `\n`, `\r\n` or `\r` end a record, blank lines and a byte order
//! mark are skipped. A record that is too long is given up at the next end of line, from where on the
//! table is read as if nothing had been open.

use std::io::{self, BufRead};

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};

/// Longest record, in bytes without its quotes: a URL and what may be kept beside it, several times.
pub(super) const MAX_RECORD_BYTES: usize = 64 << 10;
/// Most columns.
pub(super) const MAX_COLUMNS: usize = 256;

/// Records of a file.
pub(super) struct Table<R> {
    reader: R,
    core: Reader,
    text: Vec<u8>,
    ends: Vec<usize>,
    has_ended: bool,
    /// A quote is open at the end; and by how many the lines that were counted are too many.
    unclosed: Option<u64>,
}

impl<R> std::fmt::Debug for Table<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table").finish_non_exhaustive()
    }
}

/// One record.
pub(super) enum Record<'a> {
    /// Its fields: their text one after another, and where each ends.
    Whole(&'a [u8], &'a [usize]),
    /// It is given up, with so many lines.
    TooLong(u64),
    /// A quote is open at the end of the file, so many lines after it was opened.
    Unclosed(u64),
}

impl<R: BufRead> Table<R> {
    pub(super) fn new(reader: R, delimiter: u8) -> Table<R> {
        Table {
            reader,
            core: ReaderBuilder::new().delimiter(delimiter).build(),
            text: vec![0; MAX_RECORD_BYTES],
            ends: vec![0; MAX_COLUMNS],
            has_ended: false,
            unclosed: None,
        }
    }

    /// The next record, with the number of the line on which what leads to it begins.
    pub(super) fn next(&mut self) -> io::Result<Option<(u64, Record<'_>)>> {
        let line = self.core.line();
        let (mut text, mut fields) = (0, 0);
        loop {
            let mut input = self.reader.fill_buf()?;
            // The end of the file is shown as the end of a line first: where that is text, a quote is open.
            let is_end =
                input.is_empty() && !std::mem::replace(&mut self.has_ended, input.is_empty());
            if is_end {
                input = b"\n";
            }
            let (result, read, written, ended) =
                self.core
                    .read_record(input, &mut self.text[text..], &mut self.ends[fields..]);
            if is_end {
                let ended_a_line = self.text[..text].last() == Some(&b'\n');
                self.unclosed = (written > 0).then_some(u64::from(ended_a_line));
            } else {
                self.reader.consume(read);
            }
            text += written;
            fields += ended;
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => {
                    skip_line(&mut self.reader)?;
                    let line_after = self.core.line() + 1;
                    self.core.reset();
                    self.core.set_line(line_after);
                    return Ok(Some((line, Record::TooLong(line_after - line))));
                }
                ReadRecordResult::Record => {
                    if let Some(shown_twice) = self.unclosed.take() {
                        let lines = self.core.line() - line - shown_twice;
                        return Ok(Some((line, Record::Unclosed(lines))));
                    }
                    let record = Record::Whole(&self.text[..text], &self.ends[..fields]);
                    return Ok(Some((line, record)));
                }
                ReadRecordResult::End => return Ok(None),
            }
        }
    }
}

/// Reads on to the end of the line: `\n`, `\r\n` or `\r`.
fn skip_line(reader: &mut impl BufRead) -> io::Result<()> {
    let is_end = |byte: &u8| matches!(byte, b'\n' | b'\r');
    loop {
        let buffered = reader.fill_buf()?;
        let Some(at) = buffered.iter().position(is_end) else {
            let all = buffered.len();
            reader.consume(all);
            if all == 0 {
                return Ok(());
            }
            continue;
        };
        let has_return = buffered[at] == b'\r';
        reader.consume(at + 1);
        if has_return && reader.fill_buf()?.first() == Some(&b'\n') {
            reader.consume(1);
        }
        return Ok(());
    }
}

/// The fields of a record.
pub(super) fn fields<'a>(text: &'a [u8], ends: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
    let mut start = 0;
    ends.iter().map(move |end| {
        let field = &text[start..*end];
        start = *end;
        field
    })
}
