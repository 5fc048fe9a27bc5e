//! What a node reads at start: a directory of segments, and the entries in them.

use crate::Fields;
use ::journal::testing::SimDisk;
use ::journal::{Entry, Options, Preparation, fuzzing, open};
use base::Cause;
use bytes::Bytes;
use std::cell::Cell;

/// Flags of a directory.
const RESEAL: u8 = 1;
const PAD: u8 = 2;
/// Segments of one directory.
const SEGMENTS_MAX: u32 = 8;
/// How large the segments are that the journal makes.
const SEGMENT_BYTES: u32 = 64 << 10;

/// Flags, and segments without the padding behind their headers. With a flag their CRCs are put
/// right first, so that a mutation reaches what lies behind them.
///
/// A directory that can be opened can be written to, and opened again with what was written.
pub(crate) fn directory(bytes: &[u8]) -> bool {
    let mut fields = Fields(bytes);
    let flags = fields.byte();
    let disk = SimDisk::new(7);
    for number in 1..=SEGMENTS_MAX {
        let Some(segment) = fields.optional() else { break };
        let mut contents = fuzzing::unpack(segment);
        if flags & RESEAL != 0 {
            fuzzing::reseal(&mut contents);
        }
        if flags & PAD != 0 {
            contents.resize(contents.len().max(SEGMENT_BYTES as usize), 0);
        }
        disk.replace(&format!("{number:010}.segment"), contents);
    }
    let Some(before) = append_one(&disk) else { return false };
    let after = append_one(&disk.restart());
    assert_eq!(after, Some(before + 1), "what was written is there");
    true
}

/// Opens the journal and appends an entry; says how many there were. `None` if it is refused.
fn append_one(disk: &SimDisk) -> Option<u64> {
    let options = Options {
        segment_bytes: SEGMENT_BYTES,
        entry_bytes_max: 32 << 10,
        prepare_ahead_bytes: 4 << 10,
        preparation: Preparation::Inline,
        ..Options::default()
    };
    let count = Cell::new(0);
    let opened = open(disk.clone(), options, &mut |replayed| {
        count.set(count.get() + 1);
        node::fuzzing::entry(replayed.meta, replayed.blobs);
        Ok(())
    });
    let mut opened = opened.ok()?;
    // A directory that claims odd things may leave no room; that is an answer, too.
    opened.appender.reserve(16).ok()?;
    opened.appender.append(Entry { cause: Cause::Request, meta: vec![1; 16], blobs: Vec::new() });
    opened.committer.run_group().ok()?;
    Some(count.get())
}

/// An entry: its meta bytes, and its blobs.
pub(crate) fn entry(bytes: &[u8]) -> bool {
    let mut fields = Fields(bytes);
    let meta = fields.part();
    let mut blobs = Vec::new();
    while !fields.is_empty() {
        blobs.push(Bytes::copy_from_slice(fields.part()));
    }
    node::fuzzing::entry(meta, &blobs).is_some()
}
