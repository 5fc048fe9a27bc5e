//! The format on disk, byte by byte. All integers are little endian.
//!
//! # Directory
//!
//! ```text
//! LOCK                  locked by the process that has the journal open
//! VERSION               "unstable 1\n"; another content is refused. Written last at birth, after
//!                       the first boot frame is synced: where it is, there is a segment 1
//! 0000000001.segment    segments, numbered from 1 without a gap
//! 0000000002.segment    the next one, prepared ahead: its header, then zeros
//! 0000000003.preparing  being made; removed at the next start
//! ```
//!
//! A segment gets its name by a rename after its header is synced, and the directory is synced
//! before a frame is written to it. So a `.segment` file without a valid header is damage.
//! A file of any other name is refused, but for hidden ones and `lost+found`.
//!
//! # Segment
//!
//! ```text
//!    0  header, padded with zeros
//! 4096  frame, frame, ... each padded with zeros to a multiple of 8
//!       zeros, as far as the file is filled ahead of need; then the end of the file
//! ```
//!
//! ```text
//! segment header, 32 bytes
//!  0  8  "MAINSTAY"
//!  8  4  format, 1
//! 12  4  segment number
//! 16  4  capacity: no frame ends behind this byte
//! 20  8  salt: drawn at random when the journal is born, the same in all its segments
//! 28  4  CRC-32C of bytes 0..28
//! ```
//!
//! # Frame
//!
//! ```text
//! frame header, 80 bytes
//!  0  4  header CRC: CRC-32C of bytes 4..80, continued from the seed
//!  4  4  length of the payload
//!  8  4  payload CRC: CRC-32C of table and meta, continued from the seed
//! 12  1  kind: 1 entry, 2 seal, 3 boot, 4 close
//! 13  1  cause: 0 request, 1 record, 2 entry
//! 14  2  zero
//! 16  8  LSN; in a frame that is no entry, the LSN of the last entry before it
//! 24  8  durable LSN: the highest one known to be synced when this frame was written
//! 32  4  boot epoch: one more at every start
//! 36  4  generation: the history generation, 0 at birth
//! 40  4  synced: all before this byte of the segment was synced when this frame was written
//! 44  4  length of the meta bytes
//! 48  4  number of blobs
//! 52 28  cause record: topic id 16, partition 4, offset 8; cause entry: LSN 8; then zeros
//!
//! payload, of entries only
//!        table: for each blob, length 4, CRC-32C 4
//!        meta bytes
//!        blobs, one after the other
//! ```
//!
//! seed = CRC-32C of (salt 8, segment number 4, generation 4, position of the frame 4)
//!
//! The seed ties a frame to its journal, segment, generation and place. Bytes of a recycled
//! segment, of another journal, or moved within a file can never look alive; nor can a client
//! forge a frame inside a record, because it does not know the salt.
//!
//! A blob's CRC is the one its [`base::Blob`] brought along and its [`base::BlobAddr`] carries on.
//! The table that holds it is under the seeded payload CRC, so the chain covers every byte and no
//! blob is hashed twice.
//!
//! # Frames that are no entries
//!
//! * **boot**: written and synced at every start, before anything is served. It raises the boot
//!   epoch.
//! * **seal**: written when the journal has been idle for a moment, so that the last group, too,
//!   has a later frame that proves it durable.
//! * **close**: the last frame of a segment. The next segment exists before this is written, and
//!   no frame is written there before this is synced. Without it nothing may follow in later
//!   segments.
//!
//! The last 160 bytes of a segment are kept for one seal and the close frame.
//!
//! # The tail
//!
//! Reading goes frame by frame until there is no valid one, at x. If a later valid header says
//! `synced > x`, or names a durable LSN or a boot epoch that reading has not met, or lies in a
//! later segment, then what was at x had been durable: this is damage, and is refused. Otherwise x
//! is where a power cut tore the last, unacknowledged group: the rest of the segment is
//! overwritten with zeros and synced, before the boot frame goes to x.
//!
//! # What is proven, and what is not
//!
//! Once a frame is on disk that was written after an entry had been durable, damage to that entry is
//! told apart from a torn tail: it is refused by file and offset, and never cut. Such a frame is the
//! next group, or the seal that follows `idle_seal` after the last one, or the next boot or close
//! frame. What this leaves out, and what therefore looks like a torn tail and is cut with a warning in
//! the log:
//!
//! * damage to the last group before its seal is written. (The power cut itself is no such damage:
//!   what was acknowledged was synced.)
//! * damage to an entry **and** to every frame behind it, for example one bad sector that holds
//!   both the last group and its seal, or a segment that lost its end and all later segments'
//!   frames.
//! * a device that tears a sector of 512 bytes, or that forgets or exchanges what it said it had
//!   synced, at the very end of the journal. Elsewhere this is refused like any damage.
//! * files of two copies of the same journal that lived on separately, mixed in one directory
//!   so that LSNs and boot epochs fit together: a copy has the salt of its original.
//!
//! A disk whose sync has failed is another matter: the process ends, and what was not acknowledged
//! may or may not be there afterwards. If the power goes later, frames of a torn group that was cut
//! in vain may come to light behind newer ones. Their boot epoch tells them: they count as torn.
//!
//! The last group read has no proof that its sync ever succeeded: after a failed fsync Linux may
//! keep serving pages that never reached the disk. So its bytes are written once more and synced.

pub(crate) use crate::frame::{FRAME_ALIGN, HEADER_BYTES};

/// Where the frames of a segment begin: a page of its own for the header, which is then never
/// rewritten.
pub(crate) const FRAMES_START: u32 = 4096;

/// Kept at the end of a segment for one seal and the close frame.
pub(crate) const END_BYTES: u32 = 2 * HEADER_BYTES;

/// `bytes`, rounded up to where the next frame may begin.
pub(crate) fn padded(bytes: u64) -> u64 {
    bytes.next_multiple_of(u64::from(FRAME_ALIGN))
}
