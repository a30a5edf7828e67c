//! How are more lines sorted than the memory holds?
//!
//! Sorted by pieces into nameless files and merged: an external merge sort. Lines are compared byte by byte, as
//! `LC_ALL=C sort` and pywb do.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Seek, Write};
use std::path::{Path, PathBuf};

/// Bytes of lines that are sorted in memory.
const PIECE_BYTES: usize = 32 << 20;

/// Takes lines in any order.
pub(super) struct Sorter {
    scratch: PathBuf,
    piece_bytes: usize,
    lines: Vec<String>,
    bytes: usize,
    pieces: Vec<File>,
}

impl Sorter {
    /// A sorter whose files are in the directory `scratch`; they have no names and go with the process.
    pub(super) fn new(scratch: &Path) -> Sorter {
        Sorter {
            scratch: scratch.to_owned(),
            piece_bytes: PIECE_BYTES,
            lines: Vec::new(),
            bytes: 0,
            pieces: Vec::new(),
        }
    }

    /// Takes a line, which must not hold a line break.
    pub(super) fn push(&mut self, line: String) -> io::Result<()> {
        self.bytes += line.len() + size_of::<String>();
        self.lines.push(line);
        if self.bytes >= self.piece_bytes {
            self.spill()?;
        }
        Ok(())
    }

    fn spill(&mut self) -> io::Result<()> {
        self.lines.sort_unstable();
        let mut file = BufWriter::new(tempfile::tempfile_in(&self.scratch)?);
        for line in self.lines.drain(..) {
            writeln!(file, "{line}")?;
        }
        let mut file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.rewind()?;
        self.pieces.push(file);
        self.bytes = 0;
        Ok(())
    }

    /// Writes all lines in order.
    pub(super) fn write(mut self, mut out: impl Write) -> io::Result<()> {
        if self.pieces.is_empty() {
            self.lines.sort_unstable();
            for line in &self.lines {
                writeln!(out, "{line}")?;
            }
            return Ok(());
        }
        self.spill()?;
        let mut pieces: Vec<_> = self.pieces.into_iter().map(BufReader::new).collect();
        let mut heads = BinaryHeap::new();
        for (number, piece) in pieces.iter_mut().enumerate() {
            heads.extend(next(piece)?.map(|line| Reverse((line, number))));
        }
        while let Some(Reverse((line, number))) = heads.pop() {
            out.write_all(line.as_bytes())?;
            heads.extend(next(&mut pieces[number])?.map(|line| Reverse((line, number))));
        }
        Ok(())
    }
}

fn next(piece: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = String::new();
    Ok((piece.read_line(&mut line)? > 0).then_some(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_out_in_the_order_of_their_bytes_whatever_fits_the_memory() {
        let scratch = tempfile::tempdir().unwrap();
        let lines: Vec<String> = (0u32..5000)
            .map(|n| format!("{:x} é{n}", n.wrapping_mul(2_654_435_761)))
            .collect();
        let mut expected = lines.clone();
        expected.sort();
        for piece_bytes in [1, 1000, 100_000, PIECE_BYTES] {
            let mut sorter = Sorter::new(scratch.path());
            // One file a line would be too many files.
            sorter.piece_bytes = piece_bytes.max(1000);
            for line in &lines {
                sorter.push(line.clone()).unwrap();
            }
            let mut out = Vec::new();
            sorter.write(&mut out).unwrap();
            let out = String::from_utf8(out).unwrap();
            assert!(out.lines().eq(&expected), "{piece_bytes}");
        }
        assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);
    }
}
