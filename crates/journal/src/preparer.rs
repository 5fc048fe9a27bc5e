//! Prepares room ahead of need: the next segment once the current one is half full, and zeros ahead
//! of the write position, because overwriting written space syncs in half the time of appending.
//!
//! Only where that pays: zeros are written once more, so large groups, which wait for the disk's
//! throughput and not for its answer, are better off without.
//!
//! Paced by the writing itself, not by time: an idle node prepares nothing, and the next segment is
//! filled two bytes for each byte written, so that it is ready when it is needed.

use crate::queue::{Shared, locked};
use crate::segment::Segment;
use crate::segments::{Provide, Segments};
use crate::{Disk, Error};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

/// Groups above this are written faster to space that was only allocated: `bench measure m1`.
const ZEROED_GROUP_BYTES_MAX: usize = 256 << 10;

pub(crate) struct Preparer<D: Disk> {
    pub(crate) segments: Arc<Segments<D>>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) ahead_bytes: u32,
}

pub(crate) enum Work<F> {
    Make(u32),
    Fill(Arc<Segment<F>>),
}

impl<D: Disk> Preparer<D> {
    /// The thread's body: works until it is told to stop.
    pub(crate) fn run(self) {
        let mut refused = false;
        while self.wait_for_orders() {
            while !locked(&self.shared.orders).stop {
                match self.step() {
                    Ok(false) => break,
                    Ok(true) => refused = false,
                    Err(error) => {
                        if !refused {
                            tracing::warn!(%error, "cannot prepare the next segment");
                        }
                        refused = true;
                        break;
                    }
                }
            }
        }
    }

    /// Carries out the most urgent piece of work; says whether there was one. An error means that
    /// there is no room for another segment now.
    pub(crate) fn step(&self) -> Result<bool, Error> {
        match self.due() {
            None => Ok(false),
            Some(Work::Make(number)) => self.segments.provide(number).map(|()| true),
            Some(Work::Fill(segment)) => {
                // This is the file entries are in: what fails here ends the process.
                if let Err(error) = segment.fill() {
                    self.shared.fail(error);
                    return Ok(false);
                }
                Ok(true)
            }
        }
    }

    /// What there is to do.
    pub(crate) fn due(&self) -> Option<Work<D::File>> {
        let tail = {
            let queue = locked(&self.shared.queue);
            if queue.stopped {
                return None;
            }
            queue.tail
        };
        let past_half = tail.position.saturating_sub(tail.capacity / 2);
        let next_is_ready = self.segments.prepared_through() > tail.segment;
        if past_half > 0 && !next_is_ready {
            return Some(Work::Make(tail.segment + 1));
        }
        if self.shared.group_bytes.load(Ordering::Relaxed) > ZEROED_GROUP_BYTES_MAX {
            return None;
        }
        let current = self.segments.get(tail.segment).ok()?;
        let wanted = tail.position.saturating_add(self.ahead_bytes).min(current.capacity);
        if current.filled() < wanted {
            return Some(Work::Fill(current));
        }
        if past_half == 0 || !next_is_ready {
            return None;
        }
        let next = self.segments.get(tail.segment + 1).ok()?;
        let wanted = past_half.saturating_mul(2).min(next.capacity);
        (next.filled() < wanted).then_some(Work::Fill(next))
    }

    fn wait_for_orders(&self) -> bool {
        let mut orders = locked(&self.shared.orders);
        while !orders.look && !orders.stop {
            orders = self.shared.ordered.wait(orders).unwrap_or_else(PoisonError::into_inner);
        }
        orders.look = false;
        !orders.stop
    }
}
