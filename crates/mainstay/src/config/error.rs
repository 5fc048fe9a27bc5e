//! Errors of the configuration: where they are, shown as a compiler would.

use std::error::Error as StdError;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Longest file that is read.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Lines longer than this are not shown.
const SHOWN_LINE_CHARS_MAX: usize = 200;

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The file cannot be read.
    #[error("cannot read the configuration {}: {source}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// No configuration is so long.
    #[error("the configuration {} has more than {FILE_BYTES_MAX} bytes", path.display())]
    TooLong {
        /// Which.
        path: PathBuf,
    },
    /// Something in the file is wrong.
    #[error(transparent)]
    File(#[from] Box<Located>),
    /// Something on the command line is wrong.
    #[error(transparent)]
    Flag(#[from] super::address::Error),
}

/// A message, and the place in the file that it is about.
#[derive(Debug)]
pub(crate) struct Located {
    path: PathBuf,
    line: usize,
    column: usize,
    message: String,
    /// The line's text, and how many of its characters are meant.
    shown: Option<(String, usize)>,
}

/// A file's text and name, to find places in.
#[derive(Debug)]
pub(crate) struct Source {
    path: PathBuf,
    text: String,
}

impl Source {
    /// No file: everything has its default.
    pub(crate) fn none() -> Source {
        Source { path: PathBuf::new(), text: String::new() }
    }

    #[cfg(test)]
    pub(crate) fn new(path: &Path, text: &str) -> Source {
        Source { path: path.to_owned(), text: text.to_owned() }
    }

    /// Reads the file, which may also be a pipe.
    pub(crate) fn read(path: &Path) -> Result<Source, Error> {
        let mut bytes = Vec::new();
        let read =
            File::open(path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes));
        match read {
            Err(source) => Err(Error::Unreadable { path: path.to_owned(), source }),
            Ok(length) if length as u64 > FILE_BYTES_MAX => {
                Err(Error::TooLong { path: path.to_owned() })
            }
            Ok(_) => Source::decode(path, bytes),
        }
    }

    fn decode(path: &Path, bytes: Vec<u8>) -> Result<Source, Error> {
        let path = path.to_owned();
        String::from_utf8(bytes).map(|text| Source { path: path.clone(), text }).map_err(|error| {
            // Up to the first wrong byte the lossy text is the same.
            let at = error.utf8_error().valid_up_to();
            let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
            Source { path, text }.at(at..at + 1, "this is not UTF-8")
        })
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The error `message` at a range of bytes.
    pub(crate) fn at(&self, span: Range<usize>, message: impl fmt::Display) -> Error {
        let start = self.text.floor_char_boundary(span.start);
        let line_start = self.text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line_text = self.text[line_start..].lines().next().unwrap_or_default();
        let line_end = line_start + line_text.len();
        let end = self.text.floor_char_boundary(span.end.min(line_end)).max(start);
        let width = self.text[start..end].chars().count().max(1);
        let fits = line_text.chars().count() <= SHOWN_LINE_CHARS_MAX;
        Error::File(Box::new(Located {
            path: self.path.clone(),
            line: self.text[..line_start].matches('\n').count() + 1,
            column: self.text[line_start..start].chars().count() + 1,
            message: message.to_string(),
            shown: fits.then(|| (line_text.to_owned(), width)),
        }))
    }

    /// What the TOML reader says.
    pub(crate) fn syntax(&self, error: &toml::de::Error) -> Error {
        let span = error.span().unwrap_or(0..0);
        self.at(span, error.message())
    }
}

impl StdError for Located {}

impl fmt::Display for Located {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Located { path, line, column, message, .. } = self;
        write!(f, "{}:{line}:{column}: {message}", path.display())?;
        let Some((text, width)) = &self.shown else { return Ok(()) };
        let number = line.to_string();
        // Tabs stay tabs, so that the caret stands where the reader's terminal puts the text.
        let indent = |c: char| if c == '\t' { '\t' } else { ' ' };
        let before: String = text.chars().take(column - 1).map(indent).collect();
        let (margin, carets) = (" ".repeat(number.len()), "^".repeat(*width));
        write!(f, "\n{margin} |\n{number} | {text}\n{margin} | {before}{carets}")
    }
}
