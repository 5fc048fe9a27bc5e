//! What an input takes: memory and processor time. The process ends before an absurd allocation
//! ends the machine.

use crate::LIVE_BYTES_MAX;
use rustix::time::{ClockId, clock_gettime};
use std::alloc::System;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use tracking_allocator::{AllocationGroupId, AllocationRegistry, AllocationTracker, Allocator};

#[global_allocator]
static ALLOCATOR: Allocator<System> = Allocator::system();

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);
static LARGEST: AtomicUsize = AtomicUsize::new(0);

/// No target needs so much at once; the process ends at once, so that nothing touches it.
const ABSURD_BYTES: usize = 1 << 30;

/// Processor time of one input.
const INPUT_TIME_MAX: Duration = Duration::from_secs(1);

/// What one input took.
#[derive(Clone, Copy, Debug)]
pub struct Taken {
    /// Most bytes held at once, without those held before.
    pub peak_bytes: usize,
    /// The largest single allocation.
    pub largest_bytes: usize,
    /// Processor time.
    pub time: Duration,
}

impl Taken {
    /// What is too much of it.
    pub fn excess(&self) -> Option<String> {
        if self.peak_bytes > LIVE_BYTES_MAX {
            return Some(format!("it holds {} bytes", self.peak_bytes));
        }
        (self.time > INPUT_TIME_MAX).then(|| format!("it takes {:?}", self.time))
    }
}

/// Begins to count.
pub fn start() {
    if AllocationRegistry::set_global_tracker(Meter).is_ok() {
        AllocationRegistry::enable_tracking();
    }
}

/// What `run` takes.
pub fn measure<T>(run: impl FnOnce() -> T) -> (T, Taken) {
    let before = LIVE.load(Relaxed);
    PEAK.store(before, Relaxed);
    LARGEST.store(0, Relaxed);
    let begun = processor_time();
    let outcome = run();
    let time = processor_time().saturating_sub(begun);
    let peak_bytes = PEAK.load(Relaxed).saturating_sub(before);
    (outcome, Taken { peak_bytes, largest_bytes: LARGEST.load(Relaxed), time })
}

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let nanos = u32::try_from(time.tv_nsec).unwrap_or(0);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), nanos)
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
