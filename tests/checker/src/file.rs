//! Histories in files: JSON lines, each written with one system call before its writer goes on, so
//! that a writer killed at any moment leaves whole lines and at most one torn one, the last.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use crate::{Line, OpId, recorder::Sink};

/// Why a history cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file system says no.
    #[error("{path}: {error}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A line that is not the last one cannot be read.
    #[error("{path}:{line}: {error}")]
    Line {
        /// The file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// Why.
        error: serde_json::Error,
    },
}

/// Appends one process's lines to a file.
#[derive(Debug)]
pub struct Writer {
    path: PathBuf,
    file: File,
    buffer: Vec<u8>,
    process: u32,
    number: u32,
}

impl Writer {
    /// Creates the file of a process. It must not exist: a process started again has a new number.
    pub fn create(path: impl AsRef<Path>, process: u32) -> Result<Writer, Error> {
        let path = path.as_ref().to_owned();
        let file = OpenOptions::new().append(true).create_new(true).open(&path);
        let file = file.map_err(|error| Error::File { path: path.clone(), error })?;
        Ok(Writer { path, file, buffer: Vec::new(), process, number: 0 })
    }
}

impl Sink for Writer {
    type Error = Error;

    fn put(&mut self, line: Line) -> Result<(), Error> {
        self.buffer.clear();
        let encoded = serde_json::to_writer(&mut self.buffer, &line).map_err(io::Error::from);
        self.buffer.push(b'\n');
        let written = encoded.and_then(|()| self.file.write_all(&self.buffer));
        written.map_err(|error| Error::File { path: self.path.clone(), error })
    }

    fn next_op(&mut self) -> OpId {
        self.number += 1;
        OpId(self.process, self.number)
    }
}

/// Reads the file of one process. A torn last line is left out; any other damage is refused,
/// because a judge that skips lines acquits.
pub fn read(path: impl AsRef<Path>) -> Result<Vec<Line>, Error> {
    let path = path.as_ref().to_owned();
    let failed = |error| Error::File { path: path.clone(), error };
    let mut reader = BufReader::with_capacity(1 << 20, File::open(&path).map_err(failed)?);
    let (mut lines, mut text) = (Vec::new(), Vec::new());
    loop {
        text.clear();
        let size = reader.read_until(b'\n', &mut text).map_err(failed)?;
        if size == 0 || text.last() != Some(&b'\n') {
            return Ok(lines);
        }
        let line = serde_json::from_slice(&text);
        let number = lines.len() + 1;
        lines.push(line.map_err(|error| Error::Line {
            path: path.clone(),
            line: number,
            error,
        })?);
    }
}
