//! Processor time of this process's threads, by their names.

use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

/// Processor time, by thread name.
#[derive(Debug, Default)]
pub(crate) struct Threads(BTreeMap<String, Duration>);

impl Threads {
    /// What the threads that are there now have used.
    pub(crate) fn now() -> Result<Threads> {
        let mut used = Threads::default();
        for task in fs::read_dir("/proc/self/task").context("no /proc here")? {
            let path = task?.path();
            // A thread that has just ended has no files any more.
            if let (Ok(name), Ok(times)) =
                (fs::read_to_string(path.join("comm")), fs::read_to_string(path.join("schedstat")))
            {
                let nanos = times.split_whitespace().next().and_then(|it| it.parse().ok());
                let nanos = nanos.context("this kernel keeps no schedstat")?;
                *used.0.entry(name.trim().to_owned()).or_default() += Duration::from_nanos(nanos);
            }
        }
        Ok(used)
    }

    /// What threads whose names begin with `name` have used since `before`.
    pub(crate) fn since(&self, before: &Threads, name: &str) -> Duration {
        let sum = |threads: &Threads| -> Duration {
            let named = threads.0.iter().filter(|(own, _)| own.starts_with(name));
            named.map(|(_, used)| *used).sum()
        };
        sum(self).saturating_sub(sum(before))
    }
}

#[cfg(test)]
mod tests {
    use super::Threads;
    use std::time::{Duration, Instant};

    #[test]
    fn work_is_seen() {
        let before = Threads::now().unwrap();
        let begin = Instant::now();
        while Threads::now().unwrap().since(&before, "") < Duration::from_millis(5) {
            assert!(begin.elapsed() < Duration::from_secs(20));
        }
    }
}
