//! Latencies of one cell of a table.

use anyhow::Result;
use hdrhistogram::Histogram;
use std::time::{Duration, Instant};

/// What takes longer counts as this: ten seconds.
const LATENCY_MAX_NANOS: u64 = 10_000_000_000;

/// Latencies, to a nanosecond and three digits.
#[derive(Clone)]
pub(crate) struct Quantiles(Histogram<u64>);

impl Quantiles {
    /// None yet.
    pub(crate) fn new() -> Result<Quantiles> {
        Ok(Quantiles(Histogram::new_with_max(LATENCY_MAX_NANOS, 3)?))
    }

    /// Adds one.
    pub(crate) fn add(&mut self, latency: Duration) {
        self.0.saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Adds the time since `begin`; says what it was.
    pub(crate) fn add_since(&mut self, begin: Instant) -> Duration {
        let latency = begin.elapsed();
        self.add(latency);
        latency
    }

    /// Adds those of another.
    pub(crate) fn merge(&mut self, other: &Quantiles) -> Result<()> {
        Ok(self.0.add(&other.0)?)
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }

    /// The latency that `fraction` of them do not exceed, in microseconds.
    pub(crate) fn at_us(&self, fraction: f64) -> f64 {
        self.0.value_at_quantile(fraction) as f64 / 1000.0
    }

    /// The median, for a table of milliseconds.
    pub(crate) fn p50_ms(&self) -> String {
        self.in_ms(0.5)
    }

    /// The 99th percentile, for a table of milliseconds.
    pub(crate) fn p99_ms(&self) -> String {
        self.in_ms(0.99)
    }

    fn in_ms(&self, fraction: f64) -> String {
        match self.count() {
            0 => "-".to_owned(),
            _ => format!("{:.3}", self.at_us(fraction) / 1000.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Quantiles;
    use std::time::Duration;

    #[test]
    fn the_median_is_what_half_do_not_exceed() {
        let mut quantiles = Quantiles::new().unwrap();
        assert_eq!(quantiles.p50_ms(), "-");
        (1..=99).for_each(|ms| quantiles.add(Duration::from_millis(ms)));
        quantiles.add(Duration::from_secs(3600));
        assert!((quantiles.at_us(0.5) - 50_000.0).abs() < 100.0);
        assert_eq!(quantiles.count(), 100);
    }
}
