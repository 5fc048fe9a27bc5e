//! Counts what is allocated, and ends the process before an absurd allocation ends the machine.

use std::alloc::System;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use tracking_allocator::{AllocationGroupId, AllocationRegistry, AllocationTracker, Allocator};

#[global_allocator]
static ALLOCATOR: Allocator<System> = Allocator::system();

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);
static LARGEST: AtomicUsize = AtomicUsize::new(0);

/// No target needs so much at once; the process ends at once, so that nothing touches it.
const ABSURD_BYTES: usize = 1 << 30;

/// What one input took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    /// Most bytes held at once, without those held before.
    pub(crate) peak_bytes: usize,
    /// The largest single allocation.
    pub(crate) largest_bytes: usize,
}

/// Begins to count.
pub(crate) fn start() {
    if AllocationRegistry::set_global_tracker(Meter).is_ok() {
        AllocationRegistry::enable_tracking();
    }
}

/// What `run` takes.
pub(crate) fn measure<T>(run: impl FnOnce() -> T) -> (T, Taken) {
    let before = LIVE.load(Relaxed);
    PEAK.store(before, Relaxed);
    LARGEST.store(0, Relaxed);
    let outcome = run();
    let peak_bytes = PEAK.load(Relaxed).saturating_sub(before);
    (outcome, Taken { peak_bytes, largest_bytes: LARGEST.load(Relaxed) })
}

struct Meter;

impl AllocationTracker for Meter {
    fn allocated(&self, _: usize, object_size: usize, _: usize, _: AllocationGroupId) {
        let live = LIVE.fetch_add(object_size, Relaxed) + object_size;
        PEAK.fetch_max(live, Relaxed);
        LARGEST.fetch_max(object_size, Relaxed);
        if object_size >= ABSURD_BYTES {
            std::process::abort();
        }
    }

    fn deallocated(
        &self,
        _: usize,
        object_size: usize,
        _: usize,
        _: AllocationGroupId,
        _: AllocationGroupId,
    ) {
        LIVE.fetch_sub(object_size, Relaxed);
    }
}
