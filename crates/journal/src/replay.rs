//! Reads a segment frame by frame and hands its entries on.
//!
//! A frame whose CRCs are right but which is not in its turn (LSN, epochs) can only come from a
//! defect, so it is refused as damage and never cut. The one exception is a frame of an earlier
//! boot epoch: see `is_stale`.

use crate::format::{END_BYTES, FRAMES_START, padded};
use crate::frame::{Epochs, HEADER_BYTES, Header, Kind, Place, TABLE_LINE_BYTES};
use crate::segment::SegmentHeader;
use crate::window::Window;
use crate::{BoxError, DiskFile, Error};
use base::hash::crc32c;
use base::planted::{self, Bug};
use base::{BlobAddr, Cause, Lsn};
use bytes::{Buf, Bytes};

/// One entry of the journal, as it is read at start.
#[derive(Debug)]
pub struct Replayed<'a> {
    /// Its LSN.
    pub lsn: Lsn,
    /// What brought it about.
    pub cause: Cause,
    /// The small part.
    pub meta: &'a [u8],
    /// The large parts. They share the buffer they were read into: copy what is to be kept.
    pub blobs: &'a [Bytes],
    /// Where the large parts are.
    pub addresses: &'a [BlobAddr],
}

/// Takes the replayed entries.
pub(crate) type Replay<'a> = dyn FnMut(Replayed<'_>) -> Result<(), BoxError> + 'a;

/// How far reading has come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Progress {
    /// LSN of the last entry.
    pub(crate) lsn: Lsn,
    /// Of the last frame. No frame has boot epoch 0.
    pub(crate) epochs: Epochs,
    /// Segment and position from which on no frame proves that anything is durable.
    pub(crate) unproven: (u32, u32),
}

/// How a segment ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SegmentEnd {
    /// By a close frame.
    Closed,
    /// At this position there is no valid frame.
    Open(u32),
}

/// One frame.
struct Frame {
    header: Header,
    meta: Bytes,
    blobs: Vec<Bytes>,
    addresses: Vec<BlobAddr>,
}

pub(crate) fn replay_segment<F: DiskFile>(
    window: &mut Window<'_, F>,
    segment: SegmentHeader,
    progress: &mut Progress,
    replay: &mut Replay<'_>,
) -> Result<(SegmentEnd, u32), Error> {
    let mut position = FRAMES_START;
    loop {
        let frame = read_frame(window, segment, position)?;
        let Some(frame) = frame.filter(|frame| !is_stale(&frame.header, progress)) else {
            return Ok((SegmentEnd::Open(position), position));
        };
        // Planted: what nothing proves to have been synced is torn.
        if planted::is(Bug::DropLastGroupOnRecovery) && !is_proven(window, segment, position)? {
            return Ok((SegmentEnd::Open(position), position));
        }
        let header = &frame.header;
        let out_of_turn = |reason| Error::Damaged {
            file: window.path().into(),
            offset: position.into(),
            reason: format!("a frame is out of its turn: {reason}"),
        };
        advance(progress, header, segment.number, position).map_err(out_of_turn)?;
        // No overflow: the frame ends within the segment's capacity.
        let end = position + padded(u64::from(HEADER_BYTES) + u64::from(header.length)) as u32;
        if kept_after(header.kind) > segment.capacity - end {
            return Err(out_of_turn("it leaves no room for the end of its segment".into()));
        }
        if header.kind == Kind::Entry {
            hand_on(&frame, replay).map_err(|source| Error::Replay {
                lsn: header.lsn,
                file: window.path().into(),
                offset: position.into(),
                source,
            })?;
        }
        position = end;
        if header.kind == Kind::Close {
            return Ok((SegmentEnd::Closed, position));
        }
    }
}

/// Planted: whether a later frame of the segment proves that the entry at `start` was synced.
fn is_proven<F: DiskFile>(
    window: &mut Window<'_, F>,
    segment: SegmentHeader,
    start: u32,
) -> Result<bool, Error> {
    let mut place = Place { salt: segment.salt, segment: segment.number, position: start };
    loop {
        let bytes = window.get(place.position.into(), HEADER_BYTES as usize)?;
        let Some(header) = Header::decode(&bytes, place) else { return Ok(false) };
        if header.kind != Kind::Entry || header.synced > start {
            return Ok(true);
        }
        place.position += padded(u64::from(HEADER_BYTES) + u64::from(header.length)) as u32;
    }
}

/// Whether a frame is of an earlier boot epoch than the one before it: the rest of a torn group,
/// which a start has cut, in vain: the sync of its zeros failed, a later start was shown them
/// nevertheless and believed them, wrote behind its boot frame, and the power went. Such a frame was
/// never durable with what is before it now; it counts as no frame.
fn is_stale(header: &Header, progress: &Progress) -> bool {
    header.boot_epoch < progress.epochs.boot_epoch
}

/// What is kept free behind a frame, so that its segment can always be closed.
fn kept_after(kind: Kind) -> u32 {
    match kind {
        Kind::Entry | Kind::Boot => END_BYTES,
        Kind::Seal => HEADER_BYTES,
        Kind::Close => 0,
    }
}

/// The frame at `position`, if there is a valid one.
fn read_frame<F: DiskFile>(
    window: &mut Window<'_, F>,
    segment: SegmentHeader,
    position: u32,
) -> Result<Option<Frame>, Error> {
    let place = Place { salt: segment.salt, segment: segment.number, position };
    let bytes = window.get(position.into(), HEADER_BYTES as usize)?;
    let Some(header) = Header::decode(&bytes, place) else {
        return Ok(None);
    };
    let start = u64::from(position) + u64::from(HEADER_BYTES);
    if padded(start + u64::from(header.length)) > u64::from(segment.capacity) {
        return Ok(None);
    }
    let payload = window.get(start, header.length as usize)?;
    if payload.len() < header.length as usize {
        return Ok(None);
    }
    Ok(split(header, payload, place, start as u32))
}

/// Checks a payload and takes it apart. `header`'s lengths agree with each other.
fn split(header: Header, mut payload: Bytes, place: Place, start: u32) -> Option<Frame> {
    if header.kind != Kind::Entry {
        let nothing = Bytes::new();
        return Some(Frame { header, meta: nothing, blobs: Vec::new(), addresses: Vec::new() });
    }
    let mut table = payload.split_to(header.table_bytes() as usize);
    let meta = payload.split_to(header.meta_bytes as usize);
    // Planted: the header's CRC is believed to be enough.
    let is_checked = !planted::is(Bug::TornTailServed);
    if is_checked && place.payload_crc(header.generation, &table, &meta) != header.payload_crc {
        return None;
    }
    let mut position = start + table.len() as u32 + header.meta_bytes;
    let count = table.len() / TABLE_LINE_BYTES as usize;
    let (mut blobs, mut addresses) = (Vec::with_capacity(count), Vec::with_capacity(count));
    while table.has_remaining() {
        let (length, crc) = (table.get_u32_le(), table.get_u32_le());
        if length as usize > payload.len() {
            return None;
        }
        let blob = payload.split_to(length as usize);
        if is_checked && crc32c(&blob) != crc {
            return None;
        }
        blobs.push(blob);
        addresses.push(BlobAddr { segment: place.segment, position, length, crc });
        position += length;
    }
    payload.is_empty().then_some(Frame { header, meta, blobs, addresses })
}

/// Checks that it is this frame's turn.
fn advance(
    progress: &mut Progress,
    header: &Header,
    segment: u32,
    position: u32,
) -> Result<(), String> {
    let Epochs { boot_epoch, generation } = progress.epochs;
    let lsn = match header.kind {
        Kind::Entry => progress.lsn.next(),
        Kind::Seal | Kind::Boot | Kind::Close => progress.lsn,
    };
    if header.lsn != lsn {
        return Err(format!("it has LSN {} where {lsn} is due", header.lsn));
    }
    let epochs_fit = match header.kind {
        Kind::Boot => header.boot_epoch == boot_epoch + 1 && header.generation >= generation,
        Kind::Entry | Kind::Seal | Kind::Close => {
            boot_epoch > 0 && header.boot_epoch == boot_epoch && header.generation == generation
        }
    };
    if !epochs_fit {
        return Err(format!(
            "it has boot epoch {} and generation {} after {boot_epoch} and {generation}",
            header.boot_epoch, header.generation
        ));
    }
    if header.durable > progress.lsn || header.synced > position || header.synced < FRAMES_START {
        return Err("it claims to know more than can be known".into());
    }
    progress.lsn = lsn;
    progress.epochs = Epochs { boot_epoch: header.boot_epoch, generation: header.generation };
    progress.unproven = (segment, header.synced);
    Ok(())
}

fn hand_on(frame: &Frame, replay: &mut Replay<'_>) -> Result<(), BoxError> {
    replay(Replayed {
        lsn: frame.header.lsn,
        cause: frame.header.cause,
        meta: &frame.meta,
        blobs: &frame.blobs,
        addresses: &frame.addresses,
    })
}
