//! The writer's time.
//!
//! Invariants: it never goes back; it starts at the later of the last entry and the wall clock;
//! then it follows the monotonic clock and drifts towards the wall clock by at most one part in
//! [`SLEW_PARTS`]. A wall clock that jumps is reported and not followed at once, so that neither a
//! jump of ten years nor its correction fires or freezes timers.

use base::Timestamp;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Where the writer's time comes from. A simulation passes its own.
pub trait Clock: Send {
    /// The time now. Never before an earlier answer, nor before the time given to `start`.
    fn now(&mut self) -> Timestamp;

    /// Called once, before the first `now`: no time before `last_entry` is ever answered.
    fn start(&mut self, last_entry: Timestamp);
}

/// One microsecond of correction in this many microseconds of time: 0.1 %, twice what the kernel's
/// own slewing does, and not to be felt by any timer.
const SLEW_PARTS: i64 = 1_000;

/// A wall clock that is further away than this has jumped.
const JUMP: Duration = Duration::from_secs(60);

/// The machine's clocks.
#[derive(Debug)]
pub struct SystemClock {
    time: Slewed,
    last_instant: Instant,
}

impl SystemClock {
    /// Starts at the wall clock's time.
    pub fn new() -> SystemClock {
        SystemClock { time: Slewed::new(wall()), last_instant: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> SystemClock {
        SystemClock::new()
    }
}

impl Clock for SystemClock {
    fn now(&mut self) -> Timestamp {
        let instant = Instant::now();
        let elapsed = instant.duration_since(self.last_instant);
        self.last_instant = instant;
        self.time.pass(elapsed, wall())
    }

    fn start(&mut self, last_entry: Timestamp) {
        self.last_instant = Instant::now();
        self.time = Slewed::new(wall().max(last_entry));
    }
}

#[allow(clippy::disallowed_methods, reason = "this is the one place that looks at the wall")]
fn wall() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX))
}

/// The arithmetic, apart from the clocks.
#[derive(Clone, Debug)]
struct Slewed {
    time: Timestamp,
    /// Elapsed microseconds that were too few for a correction of one.
    uncorrected: i64,
    jumped: bool,
}

impl Slewed {
    fn new(time: Timestamp) -> Slewed {
        Slewed { time, uncorrected: 0, jumped: false }
    }

    fn pass(&mut self, elapsed: Duration, wall: Timestamp) -> Timestamp {
        let elapsed = i64::try_from(elapsed.as_micros()).unwrap_or(i64::MAX);
        let ahead = self.time.0.saturating_add(elapsed);
        let error = wall.0.saturating_sub(ahead);
        self.report(error);
        let budget = self.uncorrected.saturating_add(elapsed);
        self.uncorrected = budget % SLEW_PARTS;
        let most = budget / SLEW_PARTS;
        let corrected = ahead.saturating_add(error.clamp(-most, most));
        self.time = self.time.max(Timestamp(corrected));
        self.time
    }

    fn report(&mut self, error: i64) {
        let jumped = error.unsigned_abs() > JUMP.as_micros() as u64;
        if jumped && !self.jumped {
            tracing::error!(
                error_ms = error / 1_000,
                "the wall clock has jumped; timers follow the monotonic clock and drift slowly \
                 towards it; a restart would take it over at once if it is ahead"
            );
        }
        self.jumped = jumped;
    }
}

/// A clock that stands still until it is moved: for tests and simulations. Clones share the time.
/// After moving it, [`crate::Handle::wake`] makes the writer look.
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<AtomicI64>);

impl ManualClock {
    /// Stands at `time`.
    pub fn new(time: Timestamp) -> ManualClock {
        ManualClock(Arc::new(AtomicI64::new(time.0)))
    }

    /// Moves on by `d`.
    pub fn advance(&self, d: Duration) {
        let micros = i64::try_from(d.as_micros()).unwrap_or(i64::MAX);
        self.0.fetch_add(micros, Ordering::SeqCst);
    }

    /// The time it shows.
    pub fn time(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

impl Clock for ManualClock {
    fn now(&mut self) -> Timestamp {
        self.time()
    }

    fn start(&mut self, last_entry: Timestamp) {
        self.0.fetch_max(last_entry.0, Ordering::SeqCst);
    }
}

/// [`SystemClock`] on clocks that are set by hand: for tests and simulations of a wall clock that
/// jumps. Clones share the hands, and each keeps its own time.
#[derive(Clone, Debug)]
pub struct SteeredClock {
    hands: Arc<Hands>,
    last_monotonic: i64,
    time: Slewed,
}

#[derive(Debug)]
struct Hands {
    monotonic: AtomicI64,
    wall: AtomicI64,
}

impl SteeredClock {
    /// Both clocks stand still; the wall clock shows `wall`.
    pub fn new(wall: Timestamp) -> SteeredClock {
        let hands = Hands { monotonic: AtomicI64::new(0), wall: AtomicI64::new(wall.0) };
        SteeredClock { hands: Arc::new(hands), last_monotonic: 0, time: Slewed::new(wall) }
    }

    /// Time passes, on both clocks.
    pub fn advance(&self, d: Duration) {
        let micros = i64::try_from(d.as_micros()).unwrap_or(i64::MAX);
        self.hands.monotonic.fetch_add(micros, Ordering::SeqCst);
        self.hands.wall.fetch_add(micros, Ordering::SeqCst);
    }

    /// Somebody sets the wall clock, by so many microseconds.
    pub fn jump(&self, micros: i64) {
        self.hands.wall.fetch_add(micros, Ordering::SeqCst);
    }

    fn wall(&self) -> Timestamp {
        Timestamp(self.hands.wall.load(Ordering::SeqCst))
    }
}

impl Clock for SteeredClock {
    fn now(&mut self) -> Timestamp {
        let monotonic = self.hands.monotonic.load(Ordering::SeqCst);
        let elapsed = u64::try_from(monotonic - self.last_monotonic).unwrap_or(0);
        self.last_monotonic = monotonic;
        let wall = self.wall();
        self.time.pass(Duration::from_micros(elapsed), wall)
    }

    fn start(&mut self, last_entry: Timestamp) {
        self.last_monotonic = self.hands.monotonic.load(Ordering::SeqCst);
        self.time = Slewed::new(self.wall().max(last_entry));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;
    const YEARS: i64 = 10 * 365 * 86_400 * SECOND;

    #[test]
    fn small_errors_are_slewed_away_and_time_never_goes_back() {
        let mut clock = Slewed::new(Timestamp(0));
        // The wall is 1 ms ahead: after two seconds of small steps it has been caught.
        for step in 1..=2_000 {
            clock.pass(Duration::from_millis(1), Timestamp(step * 1_000 + 1_000));
        }
        assert_eq!(clock.time, Timestamp(2_000 * 1_000 + 1_000));
        // The wall is behind: time goes on, a little slower.
        let before = clock.time;
        let after = clock.pass(Duration::from_secs(1), Timestamp(0));
        assert_eq!(after.0 - before.0, SECOND - SECOND / SLEW_PARTS);
        assert_eq!(clock.pass(Duration::ZERO, Timestamp(0)), after);
    }

    #[test]
    fn a_jump_is_reported_and_not_followed() {
        let mut clock = Slewed::new(Timestamp(0));
        let after = clock.pass(Duration::from_secs(1), Timestamp(YEARS));
        assert!(after.0 <= SECOND + SECOND / SLEW_PARTS);
        assert!(clock.jumped);
        let back = clock.pass(Duration::from_secs(1), Timestamp(2 * SECOND));
        assert!(back.0 >= 2 * SECOND - SECOND / SLEW_PARTS && back.0 <= 3 * SECOND);
        assert!(!clock.jumped);
    }

    #[test]
    fn a_start_takes_the_later_of_entry_and_wall() {
        let mut clock = SystemClock::new();
        let far = Timestamp(wall().0 + YEARS);
        clock.start(far);
        assert!(clock.now() >= far);
        let mut clock = SystemClock::new();
        clock.start(Timestamp(0));
        assert!(clock.now().0 > 50 * 365 * 86_400 * SECOND);
    }
}
