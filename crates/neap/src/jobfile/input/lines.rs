//! Where does a line end? In bounded memory, however long it is.

use std::io::{self, BufRead};

use neap_core::canonical::MAX_URL_BYTES;

/// Longest line of a text file that is looked at, in bytes: what
/// [`CanonicalUrl::parse`](neap_core::CanonicalUrl::parse) reads before it shortens.
pub(super) const MAX_LINE_BYTES: usize = 4 * MAX_URL_BYTES;

/// Lines of a file.
#[derive(Debug)]
pub(super) struct Lines<R> {
    reader: R,
    buffer: Vec<u8>,
    most_bytes: usize,
    /// Of the line that was read last, counted from 1.
    number: u64,
}

/// A line without the byte order mark that the first may begin with.
pub(super) enum Line<'a> {
    Whole(&'a [u8]),
    /// It has more than so many bytes.
    TooLong(usize),
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(reader: R, most_bytes: usize) -> Lines<R> {
        Lines {
            reader,
            buffer: Vec::new(),
            most_bytes,
            number: 0,
        }
    }

    /// The next line, with its number.
    pub(super) fn next(&mut self) -> io::Result<Option<(u64, Line<'_>)>> {
        self.buffer.clear();
        let most = self.most_bytes;
        let mut limited = io::Read::take(&mut self.reader, most as u64 + 1);
        if limited.read_until(b'\n', &mut self.buffer)? == 0 {
            return Ok(None);
        }
        self.number += 1;
        if self.buffer.len() > most && !self.buffer.ends_with(b"\n") {
            skip_line(&mut self.reader)?;
            return Ok(Some((self.number, Line::TooLong(most))));
        }
        let mark: &[u8] = if self.number == 1 {
            b"\xef\xbb\xbf"
        } else {
            b""
        };
        let line = self.buffer.strip_prefix(mark).unwrap_or(&self.buffer);
        Ok(Some((self.number, Line::Whole(line))))
    }
}

/// Reads on to the end of the line.
fn skip_line(reader: &mut impl BufRead) -> io::Result<()> {
    loop {
        let buffered = reader.fill_buf()?;
        let (taken, is_end) = match buffered.iter().position(|byte| *byte == b'\n') {
            Some(at) => (at + 1, true),
            None => (buffered.len(), buffered.is_empty()),
        };
        reader.consume(taken);
        if is_end {
            return Ok(());
        }
    }
}
