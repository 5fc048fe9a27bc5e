//! An input that has parts: each is a length of two bytes, little-endian, and so many bytes.
//! Nothing is malformed: a length that is too large takes what is left.

/// Reads and writes parts.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a>(pub &'a [u8]);

impl<'a> Fields<'a> {
    /// The next byte; 0 at the end.
    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// The next part; empty at the end.
    pub fn part(&mut self) -> &'a [u8] {
        let Some((length, rest)) = self.0.split_first_chunk::<2>() else {
            self.0 = &[];
            return &[];
        };
        let length = usize::from(u16::from_le_bytes(*length)).min(rest.len());
        let (part, rest) = rest.split_at(length);
        self.0 = rest;
        part
    }

    /// The next part, as text.
    pub fn text(&mut self) -> String {
        String::from_utf8_lossy(self.part()).into_owned()
    }

    /// The next part; `None` if it is empty.
    pub fn optional(&mut self) -> Option<&'a [u8]> {
        Some(self.part()).filter(|part| !part.is_empty())
    }

    /// Whether there is nothing left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Appends a part; what is too long is cut off.
    pub fn push(input: &mut Vec<u8>, part: &[u8]) {
        let length = part.len().min(usize::from(u16::MAX));
        input.extend_from_slice(&(length as u16).to_le_bytes());
        input.extend_from_slice(&part[..length]);
    }
}
