//! What a run came to: the figures of the final table and of `--json`.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::checker::{Fault, History, Violation};
use crate::keeper::Report;
use crate::records::Outcome;

/// Violations shown to a person; `--json` has them all.
const SHOWN: usize = 20;
/// Longest latency told apart from longer ones: an hour, in microseconds.
const LONGEST_US: u64 = 3_600_000_000;

/// All figures of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    pub(crate) ok: bool,
    pub(crate) seed: u64,
    pub(crate) chaos: bool,
    pub(crate) orders: usize,
    pub(crate) shipped: usize,
    pub(crate) compensated: usize,
    pub(crate) timed_out: usize,
    pub(crate) lost: usize,
    pub(crate) duplicated: usize,
    pub(crate) stuck: usize,
    pub(crate) wrong: usize,
    pub(crate) records_sent: usize,
    pub(crate) effects: usize,
    pub(crate) queries_answered: usize,
    pub(crate) seconds: f64,
    pub(crate) orders_per_second: f64,
    /// From the last fact an order needs to its outcome; timed-out orders are left out.
    pub(crate) latency_p50_ms: f64,
    pub(crate) latency_p99_ms: f64,
    pub(crate) node_kills: u64,
    pub(crate) worker_kills: usize,
    pub(crate) node_cpu_seconds: f64,
    pub(crate) node_peak_rss_bytes: u64,
    pub(crate) worker_cpu_seconds: f64,
    pub(crate) worker_peak_rss_bytes: u64,
    pub(crate) node_stopped_cleanly: bool,
    pub(crate) violations: Vec<String>,
}

/// How a run went, besides what the checker looks at.
pub(crate) struct Run<'a> {
    pub(crate) seed: u64,
    pub(crate) chaos: bool,
    pub(crate) flow: Duration,
    pub(crate) latencies: &'a [Duration],
    pub(crate) report: Report,
}

impl Figures {
    /// Counts everything.
    pub(crate) fn count(run: &Run<'_>, history: &History, violations: &[Violation]) -> Self {
        let ended =
            |outcome| history.outcomes.iter().filter(|(_, event)| event.outcome == outcome).count();
        let faults = |fault| violations.iter().filter(|v| v.fault == fault).count();
        let latencies = Latencies::of(run.latencies);
        let seconds = run.flow.as_secs_f64();
        Self {
            ok: violations.is_empty(),
            seed: run.seed,
            chaos: run.chaos,
            orders: history.orders.len(),
            shipped: ended(Outcome::Shipped),
            compensated: ended(Outcome::Compensated),
            timed_out: ended(Outcome::TimedOut),
            lost: faults(Fault::Lost),
            duplicated: faults(Fault::Duplicated),
            stuck: faults(Fault::Stuck),
            wrong: faults(Fault::Wrong),
            records_sent: history.deliveries.len(),
            effects: history.effects.len(),
            queries_answered: history.questions.iter().filter(|q| q.answer.is_ok()).count(),
            seconds,
            orders_per_second: history.outcomes.len() as f64 / seconds.max(f64::MIN_POSITIVE),
            latency_p50_ms: latencies.p50_ms,
            latency_p99_ms: latencies.p99_ms,
            node_kills: run.report.node_kills,
            worker_kills: run.report.worker_kills,
            node_cpu_seconds: run.report.node.cpu_seconds,
            node_peak_rss_bytes: run.report.node.peak_rss_bytes,
            worker_cpu_seconds: run.report.worker.cpu_seconds,
            worker_peak_rss_bytes: run.report.worker.peak_rss_bytes,
            node_stopped_cleanly: run.report.clean_stop,
            violations: violations.iter().map(Violation::to_string).collect(),
        }
    }

    /// One JSON object on one line.
    pub(crate) fn json(&self) -> String {
        // Numbers and strings only: there is always a JSON form.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The table, the verdict and a next step.
    pub(crate) fn table(&self) -> String {
        let mut text = String::new();
        for (name, value) in self.rows() {
            let _ = writeln!(text, "  {name:<28}{value:>14}");
        }
        for violation in self.violations.iter().take(SHOWN) {
            let _ = writeln!(text, "  ! {violation}");
        }
        if let Some(more) = self.violations.len().checked_sub(SHOWN + 1) {
            let _ = writeln!(text, "  ! and {} more", more + 1);
        }
        text.push('\n');
        if self.ok {
            let program =
                std::env::current_exe().map_or("mainstay".into(), PathBuf::into_os_string);
            text.push_str(&GOOD.replace("{program}", &program.to_string_lossy()));
        } else {
            text.push_str(BAD);
        }
        text
    }

    fn rows(&self) -> Vec<(&'static str, String)> {
        let mut rows = vec![
            ("orders", self.orders.to_string()),
            ("  shipped", self.shipped.to_string()),
            ("  compensated", self.compensated.to_string()),
            ("  timed out", self.timed_out.to_string()),
            ("lost", self.lost.to_string()),
            ("duplicated", self.duplicated.to_string()),
            ("stuck or wrong", (self.stuck + self.wrong).to_string()),
            ("seconds", format!("{:.1}", self.seconds)),
            ("orders per second", format!("{:.0}", self.orders_per_second)),
            ("record to outcome, p50", format!("{:.0} ms", self.latency_p50_ms)),
            ("record to outcome, p99", format!("{:.0} ms", self.latency_p99_ms)),
            ("node, processor time", format!("{:.1} s", self.node_cpu_seconds)),
            ("node, peak memory", mebibytes(self.node_peak_rss_bytes)),
        ];
        if self.chaos {
            rows.push(("kill -9 of the node", self.node_kills.to_string()));
            rows.push(("kill -9 of the worker", self.worker_kills.to_string()));
        }
        rows
    }
}

const GOOD: &str = "\
Nothing lost, nothing done twice. Connect your own clients next:

  {program} serve --data ./mainstay-data
  kcat -b 127.0.0.1:9092 -L                                    any Kafka client
  temporal --address 127.0.0.1:7233 operator cluster health    any Temporal SDK or tool
";
const BAD: &str = "The run is not right: see the lines marked with !\n";

fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

struct Latencies {
    p50_ms: f64,
    p99_ms: f64,
}

impl Latencies {
    fn of(latencies: &[Duration]) -> Self {
        let mut histogram = Histogram::<u64>::new_with_bounds(1, LONGEST_US, 3).ok();
        if let Some(histogram) = &mut histogram {
            for latency in latencies {
                histogram.saturating_record(latency.as_micros() as u64);
            }
        }
        let at = |quantile| {
            histogram.as_ref().map_or(0.0, |h| h.value_at_quantile(quantile) as f64 / 1000.0)
        };
        Self { p50_ms: at(0.5), p99_ms: at(0.99) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(violations: &[Violation]) -> Figures {
        let latencies: Vec<Duration> = (1..=100).map(Duration::from_millis).collect();
        let run = Run {
            seed: 1,
            chaos: true,
            flow: Duration::from_secs(2),
            latencies: &latencies,
            report: Report::default(),
        };
        Figures::count(&run, &History::default(), violations)
    }

    #[test]
    fn violations_are_counted_by_class_and_shown_up_to_a_limit() {
        let violations: Vec<Violation> =
            (0..30).map(|n| Violation::lost(format!("order-{n}"))).collect();
        let figures = figures(&violations);
        assert!(!figures.ok);
        assert_eq!((figures.lost, figures.duplicated), (30, 0));
        let table = figures.table();
        assert!(table.contains("! lost: order-19\n") && !table.contains("order-20"));
        assert!(table.contains("! and 10 more"));
    }

    #[test]
    fn json_has_the_same_figures() {
        let json: serde_json::Value = serde_json::from_str(&figures(&[]).json()).unwrap();
        assert_eq!(json["ok"], true);
        let p50 = json["latency_p50_ms"].as_f64().unwrap();
        assert!((49.0..51.0).contains(&p50), "{p50}");
    }
}
