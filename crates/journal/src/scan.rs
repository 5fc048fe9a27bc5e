//! Looks behind the last good frame: is there anything that proves that more had been durable?

use crate::frame::{FRAME_ALIGN, HEADER_BYTES, Header, Place};
use crate::window::{WINDOW_BYTES, Window};
use crate::{DiskFile, Error};

const PIECE_BYTES: usize = 4096;
/// A header that begins in a piece has its kind, which is not zero, at most this far behind it.
const PEEK_BYTES: usize = 16;

static ZEROS: [u8; PIECE_BYTES + PEEK_BYTES] = [0; PIECE_BYTES + PEEK_BYTES];

/// What lies behind a position.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Remains {
    /// The first valid header that `proves` accepted, and where it is.
    pub(crate) proof: Option<(u64, Header)>,
    /// End of the last byte that is not zero; the starting position if there is none.
    pub(crate) nonzero_end: u64,
}

/// Looks at all of the file from `place.position` on. Stops at the first proof.
pub(crate) fn scan<F: DiskFile>(
    window: &mut Window<'_, F>,
    place: Place,
    proves: impl Fn(&Header) -> bool,
) -> Result<Remains, Error> {
    let mut piece_start = u64::from(place.position);
    let mut remains = Remains { proof: None, nonzero_end: piece_start };
    while piece_start < window.length() {
        // A header may begin in this piece and end in the next one.
        let bytes = window.get(piece_start, PIECE_BYTES + HEADER_BYTES as usize)?;
        let peeked = bytes.get(..PIECE_BYTES + PEEK_BYTES).unwrap_or(&bytes);
        if peeked != &ZEROS[..peeked.len()] {
            let piece = bytes.get(..PIECE_BYTES).unwrap_or(&bytes);
            if let Some(last) = piece.iter().rposition(|byte| *byte != 0) {
                remains.nonzero_end = piece_start + last as u64 + 1;
            }
            remains.proof = find(&bytes, piece_start, place, &proves);
            if remains.proof.is_some() {
                break;
            }
        }
        piece_start += PIECE_BYTES as u64;
    }
    Ok(remains)
}

fn find(
    bytes: &[u8],
    start: u64,
    place: Place,
    proves: impl Fn(&Header) -> bool,
) -> Option<(u64, Header)> {
    for offset in (0..PIECE_BYTES.min(bytes.len())).step_by(FRAME_ALIGN as usize) {
        let position = start + offset as u64;
        let place = Place { position: u32::try_from(position).ok()?, ..place };
        if let Some(header) = Header::decode(bytes.get(offset..)?, place)
            && proves(&header)
        {
            return Some((position, header));
        }
    }
    None
}

const _: () = assert!(WINDOW_BYTES > PIECE_BYTES + HEADER_BYTES as usize);
