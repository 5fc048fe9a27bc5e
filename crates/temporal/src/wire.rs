//! The little of protobuf's wire form that is needed to cut a history, and to look at a request,
//! without decoding it.
//!
//! A `History` is nothing but its events, one after the other: field 1, length-delimited. So the
//! bytes of two histories, one after the other, are the history with the events of both, and the
//! n-th event of a batch is found by walking over lengths.

/// Key of the field `events` of `History`: number 1, length-delimited.
const EVENT_KEY: u8 = 0x0a;

/// Reads a varint; gives it and what comes after it.
pub(crate) fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0u64;
    for (index, byte) in bytes.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, bytes.get(index + 1..)?));
        }
    }
    None
}

/// Reads a field: its number, its bytes if it is length-delimited, and what comes after it. `None`
/// at the end, and where the bytes are no fields.
pub(crate) fn field(bytes: &[u8]) -> Option<(u64, &[u8], &[u8])> {
    let (key, rest) = varint(bytes)?;
    let (value, rest): (&[u8], &[u8]) = match key & 7 {
        0 => (&[], varint(rest)?.1),
        1 => (&[], rest.get(8..)?),
        2 => {
            let (length, rest) = varint(rest)?;
            rest.split_at_checked(usize::try_from(length).ok()?)?
        }
        5 => (&[], rest.get(4..)?),
        // Groups have been out of use for long, but the decoder steps over them.
        3 | 4 => (&[], rest),
        _ => return None,
    };
    Some((key >> 3, value, rest))
}

/// The end positions of the events in the bytes of a `History`, in order. `None` if the bytes are
/// not a history.
pub(crate) fn event_ends(history: &[u8]) -> Option<Vec<usize>> {
    let mut ends = Vec::new();
    let mut rest = history;
    while let Some((&key, after_key)) = rest.split_first() {
        if key != EVENT_KEY {
            return None;
        }
        let (length, body) = varint(after_key)?;
        rest = body.get(usize::try_from(length).ok()?..)?;
        ends.push(history.len() - rest.len());
    }
    Some(ends)
}
