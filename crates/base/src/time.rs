//! Time as the writer chose it: microseconds since the Unix epoch, never going back.

use std::time::Duration;

/// Microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// A time so late that it never comes.
    pub const NEVER: Timestamp = Timestamp(i64::MAX);

    /// From milliseconds since the epoch (Kafka's unit); saturates.
    pub fn from_millis(millis: i64) -> Timestamp {
        Timestamp(millis.saturating_mul(1_000))
    }

    /// Milliseconds since the epoch (Kafka's unit), rounded down.
    pub fn millis(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// Whole seconds since the epoch and the nanoseconds after them (protobuf's form).
    pub fn seconds_and_nanos(self) -> (i64, i32) {
        let nanos = self.0.rem_euclid(1_000_000) * 1_000;
        (self.0.div_euclid(1_000_000), i32::try_from(nanos).unwrap_or(0))
    }

    /// From protobuf's form; saturates, and rounds down to microseconds.
    pub fn from_seconds_and_nanos(seconds: i64, nanos: i32) -> Timestamp {
        Timestamp(seconds.saturating_mul(1_000_000).saturating_add(i64::from(nanos) / 1_000))
    }

    /// This time plus `d`; saturates at [`Timestamp::NEVER`].
    pub fn after(self, d: Duration) -> Timestamp {
        Timestamp(self.0.saturating_add(i64::try_from(d.as_micros()).unwrap_or(i64::MAX)))
    }

    /// How long after `earlier` this is; zero if it is not.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}
