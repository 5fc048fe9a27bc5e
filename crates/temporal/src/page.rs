//! One page of a history: the journal's bytes, put one after the other.
//!
//! Nothing is decoded. Pages end where batches end, if they can; a batch that alone is too large
//! for a page, or that starts before the page does, is cut between two events.

use crate::backend::Backend;
use crate::wire;
use bytes::{Bytes, BytesMut};
use node::Error;
use std::ops::Range;
use workflows::EventBatch;

/// How much a page may hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PageLimits {
    pub(crate) events_max: usize,
    pub(crate) bytes_max: usize,
}

/// A page, and where the next one starts.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Page {
    /// The wire form of a `History`.
    pub(crate) history: Bytes,
    /// The first event that did not find room. `None` if this is the last page.
    pub(crate) next_event_id: Option<i64>,
}

/// Some events of one batch.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Piece {
    batch: EventBatch,
    events: Range<i64>,
}

/// Reads the page of the events with the ids in `events`. It may hold fewer, and holds at least
/// one if there is one.
pub(crate) async fn read<B: Backend>(
    backend: &B,
    batches: &[EventBatch],
    events: Range<i64>,
    limits: PageLimits,
) -> Result<Page, Error> {
    let pieces = plan(batches, events.clone(), limits);
    let mut parts = Vec::with_capacity(pieces.len());
    let mut next = events.start;
    for piece in pieces {
        let bytes = backend.read(piece.batch.address).await?;
        let (part, end) = cut(bytes, &piece, limits)?;
        parts.push(part);
        next = end;
    }
    let last = batches.last().map_or(events.start, |batch| batch.last_event_id + 1);
    let more = next < events.end.min(last);
    Ok(Page { history: joined(parts), next_event_id: more.then_some(next) })
}

/// Which events of which batches belong to the page. Only the first piece can be larger than a
/// page; `cut` makes it fit.
fn plan(batches: &[EventBatch], events: Range<i64>, limits: PageLimits) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let (mut count, mut bytes) = (0, 0);
    let skipped = batches.partition_point(|batch| batch.last_event_id < events.start);
    for batch in batches.iter().skip(skipped) {
        let piece = Piece {
            batch: *batch,
            events: batch.first_event_id.max(events.start)
                ..(batch.last_event_id + 1).min(events.end),
        };
        if piece.events.is_empty() {
            break;
        }
        count += piece.count();
        bytes += batch.address.length as usize;
        if !pieces.is_empty() && (count > limits.events_max || bytes > limits.bytes_max) {
            break;
        }
        pieces.push(piece);
    }
    pieces
}

/// The bytes of the piece's events, as many as a page may hold, and the id after the last one.
fn cut(batch: Bytes, piece: &Piece, limits: PageLimits) -> Result<(Bytes, i64), Error> {
    let fits = piece.count() <= limits.events_max && batch.len() <= limits.bytes_max;
    if fits && piece.is_whole() {
        return Ok((batch, piece.events.end));
    }
    let damaged = || Error::Read(format!("the batch {:?} is not a history", piece.batch));
    let ends = wire::event_ends(&batch).ok_or_else(damaged)?;
    let skipped = usize::try_from(piece.events.start - piece.batch.first_event_id);
    let skipped = skipped.map_err(|_| damaged())?;
    let start = match skipped.checked_sub(1) {
        Some(before) => *ends.get(before).ok_or_else(damaged)?,
        None => 0,
    };
    let wanted = ends.get(skipped..skipped + piece.count()).ok_or_else(damaged)?;
    let within_bytes = wanted.partition_point(|end| end - start <= limits.bytes_max);
    let taken = within_bytes.min(limits.events_max).max(1);
    let end = *wanted.get(taken - 1).ok_or_else(damaged)?;
    Ok((batch.slice(start..end), piece.events.start + taken as i64))
}

/// One piece is handed on as it is; several are copied together.
fn joined(mut parts: Vec<Bytes>) -> Bytes {
    if parts.len() == 1 {
        return parts.remove(0);
    }
    let mut all = BytesMut::with_capacity(parts.iter().map(Bytes::len).sum());
    parts.iter().for_each(|part| all.extend_from_slice(part));
    all.freeze()
}

impl Piece {
    fn count(&self) -> usize {
        usize::try_from(self.events.end - self.events.start).unwrap_or(0)
    }

    fn is_whole(&self) -> bool {
        self.events == (self.batch.first_event_id..self.batch.last_event_id + 1)
    }
}

#[cfg(test)]
mod tests;
