//! Some units of work always under way, the next begun when one is done: first to warm up, then in a
//! window of time in which everything is counted, then until what was begun is done.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use hdrhistogram::Histogram;
use tokio::task::JoinSet;

use super::Job;
use crate::measured::{Latency, Measured};

/// The window of rows that go by time.
pub(crate) const WINDOW: Duration = Duration::from_secs(10);
/// What comes before it; and when one only looks.
const WARM_UP: Duration = Duration::from_secs(2);
const QUICK_WARM_UP: Duration = Duration::from_millis(500);
/// The longest latency that is told apart.
const LATENCY_MAX: Duration = Duration::from_secs(120);
/// How long the last units may take.
pub(crate) const GRACE: Duration = Duration::from_secs(20);

/// Does `unit` again and again, `concurrency` at once; each is given a number of its own. A unit
/// belongs to the window in which it ends.
pub(crate) async fn measure<U, F>(
    job: &Job,
    variant: &str,
    concurrency: usize,
    unit: U,
) -> Result<Measured>
where
    U: Fn(u64) -> F + Send + Sync + 'static,
    F: Future<Output = Result<()>> + Send + 'static,
{
    let (_, measured) = watched(job, variant, concurrency, unit, || 0).await?;
    Ok(measured)
}

/// The same for work that units only cause: the figure is by how much `counter` grew in the window.
pub(crate) async fn measure_effect<U, F>(
    job: &Job,
    concurrency: usize,
    unit: U,
    counter: impl Fn() -> u64,
) -> Result<Measured>
where
    U: Fn(u64) -> F + Send + Sync + 'static,
    F: Future<Output = Result<()>> + Send + 'static,
{
    let (count, measured) = watched(job, "", concurrency, unit, counter).await?;
    Ok(Measured { count, latency: None, ..measured })
}

async fn watched<U, F>(
    job: &Job,
    variant: &str,
    concurrency: usize,
    unit: U,
    counter: impl Fn() -> u64,
) -> Result<(u64, Measured)>
where
    U: Fn(u64) -> F + Send + Sync + 'static,
    F: Future<Output = Result<()>> + Send + 'static,
{
    let turns = Arc::new(Turns { unit, next: AtomicU64::new(0), clock: Clock::default() });
    let mut tasks = JoinSet::new();
    for _ in 0..concurrency {
        tasks.spawn(turn(Arc::clone(&turns)));
    }
    undisturbed(&mut tasks, warm_up(job)).await?;
    let (window, before) = (job.window(), counter());
    turns.clock.open.store(true, Ordering::Relaxed);
    let undisturbed = undisturbed(&mut tasks, job.options.time(WINDOW)).await;
    turns.clock.over.store(true, Ordering::Relaxed);
    let (count, used) = (counter() - before, window.close());
    undisturbed?;
    let joined = tokio::time::timeout(GRACE, merged(&mut tasks)).await;
    let latency = joined.context("the last units of work were not done in time")??;
    let measured = job.measured(variant, latency.len(), used);
    Ok((count, Measured { latency: Some(Latency::of(&latency)), ..measured }))
}

/// How long a row warms up.
fn warm_up(job: &Job) -> Duration {
    if job.options.quick { QUICK_WARM_UP } else { WARM_UP }
}

struct Turns<U> {
    unit: U,
    next: AtomicU64,
    clock: Clock,
}

#[derive(Default)]
struct Clock {
    open: AtomicBool,
    over: AtomicBool,
}

async fn turn<U, F>(turns: Arc<Turns<U>>) -> Result<Histogram<u64>>
where
    U: Fn(u64) -> F,
    F: Future<Output = Result<()>>,
{
    let mut seen = histogram()?;
    while !turns.clock.over.load(Ordering::Relaxed) {
        let number = turns.next.fetch_add(1, Ordering::Relaxed);
        let began = Instant::now();
        (turns.unit)(number).await?;
        let inside =
            turns.clock.open.load(Ordering::Relaxed) && !turns.clock.over.load(Ordering::Relaxed);
        if inside {
            seen.saturating_record(u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX));
        }
    }
    Ok(seen)
}

fn histogram() -> Result<Histogram<u64>> {
    let longest = u64::try_from(LATENCY_MAX.as_micros())?;
    Histogram::new_with_bounds(1, longest, 3).context("a histogram")
}

/// Lets time pass; ends early with the error of the first task that has one.
async fn undisturbed(tasks: &mut JoinSet<Result<Histogram<u64>>>, time: Duration) -> Result<()> {
    match tokio::time::timeout(time, tasks.join_next()).await {
        Err(_) => Ok(()),
        Ok(Some(ended)) => ended.context("a unit of work")?.map(drop),
        Ok(None) => bail!("no work"),
    }
}

async fn merged(tasks: &mut JoinSet<Result<Histogram<u64>>>) -> Result<Histogram<u64>> {
    let mut all = histogram()?;
    while let Some(ended) = tasks.join_next().await {
        all.add(ended.context("a unit of work")??).context("a histogram")?;
    }
    Ok(all)
}
