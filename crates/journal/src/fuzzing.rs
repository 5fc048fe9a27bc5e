//! The door for the fuzz targets: segments without their padding, and CRCs put right, so that
//! mutations reach what lies behind them. Nothing here is used by a journal.

use crate::format::{FRAMES_START, padded};
use crate::frame::{HEADER_BYTES, Place, TABLE_LINE_BYTES};
use base::hash::{crc32c, crc32c_append};

/// A segment's header without what pads it to the first frame.
const SEGMENT_HEADER_BYTES: usize = 32;

/// A segment of which the padding behind the header and the zeros at the end are left out.
pub fn pack(segment: &[u8]) -> Vec<u8> {
    let end = segment.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let header = &segment[..end.min(SEGMENT_HEADER_BYTES)];
    [header, segment.get(FRAMES_START as usize..end).unwrap_or_default()].concat()
}

/// The reverse, but for the zeros at the end.
pub fn unpack(packed: &[u8]) -> Vec<u8> {
    let (header, frames) = packed.split_at(packed.len().min(SEGMENT_HEADER_BYTES));
    let mut segment = header.to_vec();
    if !frames.is_empty() {
        segment.resize(FRAMES_START as usize, 0);
        segment.extend_from_slice(frames);
    }
    segment
}

/// Puts the CRCs of a segment right: of its header, and of frame after frame as far as the
/// lengths lead.
pub fn reseal(segment: &mut [u8]) {
    let Some(header) = segment.first_chunk_mut::<SEGMENT_HEADER_BYTES>() else { return };
    let crc = crc32c(&header[..28]);
    header[28..].copy_from_slice(&crc.to_le_bytes());
    let number = u32_at(header, 12);
    let salt = u64::from_le_bytes(std::array::from_fn(|index| header[20 + index]));
    let mut position = FRAMES_START as usize;
    while let Some(bytes) = segment.get_mut(position..).filter(|bytes| is_frame(bytes)) {
        let place = Place { salt, segment: number, position: position as u32 };
        position += padded(reseal_frame(bytes, place) as u64) as usize;
    }
}

fn is_frame(bytes: &[u8]) -> bool {
    bytes.len() >= HEADER_BYTES as usize && bytes[..HEADER_BYTES as usize].iter().any(|it| *it != 0)
}

/// Gives the frame's length.
fn reseal_frame(bytes: &mut [u8], place: Place) -> usize {
    let (header, payload) = bytes.split_at_mut(HEADER_BYTES as usize);
    let (length, meta_bytes) = (u32_at(header, 4) as usize, u32_at(header, 44) as usize);
    let generation = u32_at(header, 36);
    let table_bytes = u64::from(u32_at(header, 48)) * u64::from(TABLE_LINE_BYTES);
    let table_bytes = usize::try_from(table_bytes).unwrap_or(usize::MAX);
    if let Some(payload) = payload.get_mut(..length)
        && let Some((table, rest)) = payload.split_at_mut_checked(table_bytes)
        && let Some((meta, mut blobs)) = rest.split_at_checked(meta_bytes)
    {
        for line in table.chunks_exact_mut(TABLE_LINE_BYTES as usize) {
            let (blob, others) = blobs.split_at(blobs.len().min(u32_at(line, 0) as usize));
            line[4..].copy_from_slice(&crc32c(blob).to_le_bytes());
            blobs = others;
        }
        let crc = place.payload_crc(generation, table, meta);
        header[8..12].copy_from_slice(&crc.to_le_bytes());
    }
    // The seed of a header is that of an empty payload.
    let crc = crc32c_append(place.payload_crc(generation, &[], &[]), &header[4..]);
    header[..4].copy_from_slice(&crc.to_le_bytes());
    HEADER_BYTES as usize + length
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(std::array::from_fn(|index| bytes[at + index]))
}
