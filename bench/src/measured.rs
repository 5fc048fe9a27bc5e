//! One figure: how much of what was done in which time, and what it cost client and server.
//!
//! Each is one line of JSON, so that raw results can be kept and compared again.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// What a row found out about a peer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Measured {
    /// The row of the table.
    pub(crate) row: String,
    /// Whom it was measured against.
    pub(crate) peer: String,
    /// Which of the row's figures, where it has several; else empty.
    #[serde(default)]
    pub(crate) variant: String,
    /// Units of work inside the window; 0 where nothing is counted (memory).
    pub(crate) count: u64,
    /// How long the window was.
    #[serde(rename = "wall_us", with = "micros")]
    pub(crate) wall: Duration,
    /// How long single units took, where that was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) latency: Option<Latency>,
    /// Processor time of this client inside the window.
    #[serde(rename = "client_cpu_us", with = "micros")]
    pub(crate) client_cpu: Duration,
    /// Processor time of the server's processes inside the window.
    #[serde(rename = "server_cpu_us", with = "micros")]
    pub(crate) server_cpu: Duration,
    /// The most memory the server's processes had inside the window.
    pub(crate) server_peak_bytes: u64,
    /// fsync and fdatasync calls of the server inside the window, where they can be counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) fsyncs: Option<u64>,
}

/// Where the latencies lie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Latency {
    /// Half of all are below this.
    #[serde(rename = "p50_us", with = "micros")]
    pub(crate) p50: Duration,
    /// 99 of 100 are below this.
    #[serde(rename = "p99_us", with = "micros")]
    pub(crate) p99: Duration,
}

impl Latency {
    /// Reads a histogram of microseconds.
    pub(crate) fn of(histogram: &Histogram<u64>) -> Latency {
        let at = |quantile| Duration::from_micros(histogram.value_at_quantile(quantile));
        Latency { p50: at(0.5), p99: at(0.99) }
    }
}

impl Measured {
    /// Units of work per second.
    pub(crate) fn per_second(&self) -> Option<f64> {
        let seconds = self.wall.as_secs_f64();
        (self.count > 0 && seconds > 0.0).then(|| self.count as f64 / seconds)
    }

    /// Microseconds of the client's processor time for a unit of work.
    pub(crate) fn client_us(&self) -> Option<f64> {
        let known = self.count > 0 && !self.client_cpu.is_zero();
        known.then(|| self.client_cpu.as_secs_f64() * 1e6 / self.count as f64)
    }

    /// Microseconds of the server's processor time for a unit of work.
    pub(crate) fn server_us(&self) -> Option<f64> {
        let known = self.count > 0 && !self.server_cpu.is_zero();
        known.then(|| self.server_cpu.as_secs_f64() * 1e6 / self.count as f64)
    }

    /// Syncs of the server for a unit of work.
    pub(crate) fn fsyncs_each(&self) -> Option<f64> {
        self.fsyncs.filter(|_| self.count > 0).map(|fsyncs| fsyncs as f64 / self.count as f64)
    }

    /// The part of all processors' time that client and server used together.
    pub(crate) fn busy(&self) -> Option<f64> {
        let cores = std::thread::available_parallelism().ok()?.get() as f64;
        let all = self.wall.as_secs_f64() * cores;
        let used = (self.client_cpu + self.server_cpu).as_secs_f64();
        (all > 0.0).then(|| used / all)
    }
}

/// Durations as whole microseconds.
mod micros {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(u64::try_from(time.as_micros()).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_micros)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_all_and_can_be_read_again() {
        let measured = Measured {
            row: "produce-1k".into(),
            peer: "kafka".into(),
            count: 2_000,
            wall: Duration::from_secs(2),
            latency: Some(Latency { p50: Duration::from_micros(7), p99: Duration::from_millis(1) }),
            server_cpu: Duration::from_millis(6),
            ..Measured::default()
        };
        let line = serde_json::to_string(&measured).unwrap();
        assert!(line.contains("\"p99_us\":1000") && line.contains("\"server_cpu_us\":6000"));
        assert_eq!(serde_json::from_str::<Measured>(&line).unwrap(), measured);
        assert_eq!(measured.per_second(), Some(1_000.0));
        assert_eq!(measured.server_us(), Some(3.0));
    }

    #[test]
    fn what_was_not_counted_has_no_rate() {
        let measured = Measured::default();
        assert_eq!((measured.per_second(), measured.client_us()), (None, None));
    }
}
