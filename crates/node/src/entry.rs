//! The meta part of a journal entry: the writer's time, and the ops of several machines.
//!
//! ```text
//! at          i64  microseconds since the Unix epoch
//! then, for each op, to the end:
//!   kind        u16  never reused; says which machine it belongs to
//!   version     u8   of the body's meaning
//!   blob count  u32  how many of the entry's blobs, in order, are this op's
//!   length      u32  of the body
//!   body
//! ```
//! All numbers are little-endian. Large bytes are the entry's blobs and lie beside the meta.
//!
//! Refuses: a kind nobody knows, a body that is cut off, blobs that no op claims.

use base::{Blob, BlobAddr, JournalOp, OpError, OpKind, Timestamp};
use bytes::Bytes;

/// An entry on its way into the journal.
#[derive(Debug, Default)]
pub(crate) struct Encoded {
    /// Time and ops.
    pub(crate) meta: Vec<u8>,
    /// The blobs of all ops, in order.
    pub(crate) blobs: Vec<Blob>,
    /// How many of them belong to each op.
    pub(crate) blob_counts: Vec<usize>,
}

impl Encoded {
    /// Bytes of meta and blobs together.
    pub(crate) fn size_bytes(&self) -> usize {
        self.meta.len() + self.blobs.iter().map(|blob| blob.bytes().len()).sum::<usize>()
    }

    /// The addresses of each op's own blobs.
    pub(crate) fn split<'a>(
        &'a self,
        addresses: &'a [BlobAddr],
    ) -> impl Iterator<Item = &'a [BlobAddr]> {
        let mut rest = addresses;
        self.blob_counts.iter().map(move |&count| {
            let (own, others) = rest.split_at(count.min(rest.len()));
            rest = others;
            own
        })
    }
}

/// An entry as found in the journal.
#[derive(Debug)]
pub(crate) struct Decoded<Op> {
    /// The writer's time.
    pub(crate) at: Timestamp,
    /// The ops, with the number of blobs that belong to each.
    pub(crate) ops: Vec<(Op, usize)>,
}

/// Encodes `ops` as one entry.
pub(crate) fn encode<Op: JournalOp>(at: Timestamp, ops: &[Op]) -> Encoded {
    let mut encoded = Encoded { meta: Vec::with_capacity(META_BYTES_USUAL), ..Encoded::default() };
    encoded.meta.extend_from_slice(&at.0.to_le_bytes());
    for op in ops {
        let head = encoded.meta.len();
        encoded.meta.extend_from_slice(&[0; HEAD_BYTES]);
        let blobs_before = encoded.blobs.len();
        let kind = op.encode(&mut encoded.meta, &mut encoded.blobs);
        let blob_count = encoded.blobs.len() - blobs_before;
        let length = encoded.meta.len() - head - HEAD_BYTES;
        encoded.meta[head..head + HEAD_BYTES].copy_from_slice(&head_of(kind, blob_count, length));
        encoded.blob_counts.push(blob_count);
    }
    encoded
}

/// The reverse of [`encode`].
pub(crate) fn decode<Op: JournalOp>(meta: &[u8], blobs: &[Bytes]) -> Result<Decoded<Op>, OpError> {
    let (at, mut rest) = meta.split_first_chunk::<8>().ok_or_else(|| cut_off("time"))?;
    let mut blobs_left = blobs;
    let mut ops = Vec::new();
    while !rest.is_empty() {
        let (head, after) =
            rest.split_first_chunk::<HEAD_BYTES>().ok_or_else(|| cut_off("op head"))?;
        let (kind, blob_count, length) = parse_head(head);
        let body = after.get(..length).ok_or_else(|| malformed(kind, "body is cut off"))?;
        let own =
            blobs_left.get(..blob_count).ok_or_else(|| malformed(kind, "blobs are missing"))?;
        ops.push((Op::decode(kind, body, own)?, blob_count));
        rest = &after[length..];
        blobs_left = &blobs_left[blob_count..];
    }
    if blobs_left.is_empty() {
        Ok(Decoded { at: Timestamp(i64::from_le_bytes(*at)), ops })
    } else {
        Err(cut_off("op that owns the last blobs"))
    }
}

const HEAD_BYTES: usize = 11;

/// Most entries have no more, and need not grow while they are written.
const META_BYTES_USUAL: usize = 1_024;

/// Lengths fit: an entry is far smaller than 4 GiB, which the journal checks before it writes.
fn head_of(kind: OpKind, blob_count: usize, length: usize) -> [u8; HEAD_BYTES] {
    let mut head = [0; HEAD_BYTES];
    head[..2].copy_from_slice(&kind.kind.to_le_bytes());
    head[2] = kind.version;
    head[3..7].copy_from_slice(&u32::try_from(blob_count).unwrap_or(u32::MAX).to_le_bytes());
    head[7..].copy_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
    head
}

fn parse_head(head: &[u8; HEAD_BYTES]) -> (OpKind, usize, usize) {
    let kind = OpKind { kind: u16::from_le_bytes([head[0], head[1]]), version: head[2] };
    let number = |at: usize| {
        u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]) as usize
    };
    (kind, number(3), number(7))
}

fn malformed(kind: OpKind, reason: &str) -> OpError {
    OpError::Malformed { kind, reason: reason.to_owned() }
}

fn cut_off(what: &str) -> OpError {
    malformed(OpKind { kind: 0, version: 0 }, &format!("the entry has no {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    struct Note(Vec<u8>, Vec<Bytes>);

    impl JournalOp for Note {
        fn encode(&self, body: &mut Vec<u8>, blobs: &mut Vec<Blob>) -> OpKind {
            body.extend_from_slice(&self.0);
            blobs.extend(self.1.iter().cloned().map(Blob::new));
            OpKind { kind: 7, version: 1 }
        }

        fn decode(kind: OpKind, body: &[u8], blobs: &[Bytes]) -> Result<Self, OpError> {
            match kind.kind {
                7 => Ok(Note(body.to_vec(), blobs.to_vec())),
                _ => Err(OpError::UnknownKind(kind)),
            }
        }
    }

    #[test]
    fn ops_come_back_with_their_own_blobs() {
        let ops = [
            Note(b"one".to_vec(), vec![Bytes::from_static(b"a"), Bytes::from_static(b"b")]),
            Note(Vec::new(), Vec::new()),
            Note(b"three".to_vec(), vec![Bytes::from_static(b"c")]),
        ];
        let encoded = encode(Timestamp(-5), &ops);
        assert_eq!(encoded.blob_counts, [2, 0, 1]);
        assert_eq!(encoded.size_bytes(), 8 + 3 * HEAD_BYTES + 8 + 3);
        let blobs: Vec<Bytes> = encoded.blobs.iter().map(|blob| blob.bytes().clone()).collect();
        let decoded = decode::<Note>(&encoded.meta, &blobs).unwrap();
        assert_eq!(decoded.at, Timestamp(-5));
        let (back, counts): (Vec<_>, Vec<_>) = decoded.ops.into_iter().unzip();
        assert_eq!((back.as_slice(), counts), (&ops[..], vec![2, 0, 1]));

        let address = |position| BlobAddr { segment: 1, position, length: 1, crc: 0 };
        let addresses = [address(0), address(1), address(2)];
        let split: Vec<_> = encoded.split(&addresses).collect();
        assert_eq!(split, [&addresses[..2], &[], &addresses[2..]]);
    }

    #[test]
    fn what_cannot_be_understood_is_refused() {
        let blob = Bytes::from_static(b"x");
        let encoded = encode(Timestamp(1), &[Note(b"body".to_vec(), vec![blob.clone()])]);
        for cut in 0..encoded.meta.len() {
            let cut_meta = decode::<Note>(&encoded.meta[..cut], std::slice::from_ref(&blob));
            assert!(cut_meta.is_err(), "cut at {cut}");
        }
        assert!(decode::<Note>(&encoded.meta, &[]).is_err());
        assert!(decode::<Note>(&encoded.meta, &[blob.clone(), blob.clone()]).is_err());
        let mut newer = encoded.meta;
        newer[8] = 99;
        assert!(matches!(decode::<Note>(&newer, &[blob]), Err(OpError::UnknownKind(_))));
    }
}
