//! The shell around the core: reads the published log through a [`Source`] and carries records
//! to a [`Target`], one task a (route, topic, partition).
//!
//! Invariants: a pump keeps nothing that must survive it, so it may be dropped at any moment; the
//! cursor that the target journals says where the next one goes on. Within a partition, records
//! for one workflow are delivered one after the other, others at the same time. Every queue is
//! bounded ([`Limits`]): at a cap the partition is not read further, and its lag shows that.
//!
//! A batch that cannot be decoded goes to the dead letters as it is, whole and in one record: no
//! record of it is delivered, none is lost, and the partition goes on.

mod partition;

use crate::cursor::Cursor;
use crate::machine::{Await, Bind};
use crate::mapping::Mapper;
use crate::ports::{DeliverError, Source, SourceError, Target, TopicInfo};
use crate::route::Route;
use base::{PartitionId, SeededEntropy, TopicId};
use partition::PartitionPump;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// Bounds of the pumps. All but the last two are for one partition of one route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Deliveries under way.
    pub in_flight_count: usize,
    /// Records read and not done: at this cap the partition waits.
    pub parked_count: usize,
    /// Their bytes: at this cap the partition waits.
    pub parked_bytes: usize,
    /// Bytes of one read, as stored.
    pub read_bytes: usize,
    /// What one batch may unfold to. A larger one cannot be decoded. While its buffer grows, half
    /// as much again is held.
    pub decoded_bytes: usize,
    /// A lane's first wait.
    pub backoff_min: Duration,
    /// A lane's longest wait.
    pub backoff_max: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            in_flight_count: 256,
            parked_count: 1_000,
            parked_bytes: 16 << 20,
            read_bytes: 1 << 20,
            decoded_bytes: 32 << 20,
            backoff_min: Duration::from_millis(50),
            backoff_max: Duration::from_secs(10),
        }
    }
}

/// What pumps share.
#[derive(Debug)]
pub struct Settings {
    /// Id of the cluster that holds the topics.
    pub cluster: Arc<str>,
    /// Bounds.
    pub limits: Limits,
    /// Spreads the waits of lanes.
    pub seed: u64,
}

/// Why a pump has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    Stopping,
    TopicGone,
}

/// Carries the records of all topics of `route`. Ends when source or target stop; it may as well
/// be dropped.
pub async fn run_route<S: Source, T: Target>(
    route: Arc<Route>,
    source: Arc<S>,
    target: Arc<T>,
    settings: Arc<Settings>,
) {
    let mut topics = JoinSet::new();
    for topic in &route.topics {
        let pump = TopicPump {
            mapper: Mapper::new(
                Arc::clone(&route),
                topic.as_str().into(),
                Arc::clone(&settings.cluster),
            ),
            topic: topic.clone(),
            source: Arc::clone(&source),
            target: Arc::clone(&target),
            settings: Arc::clone(&settings),
        };
        topics.spawn(pump.run());
    }
    topics.join_all().await;
}

/// One topic of one route.
struct TopicPump<S, T> {
    mapper: Mapper,
    topic: String,
    source: Arc<S>,
    target: Arc<T>,
    settings: Arc<Settings>,
}

impl<S: Source, T: Target> TopicPump<S, T> {
    async fn run(self) {
        let mut gone = None;
        while let Some(topic) = self.meet(gone).await {
            let Some(cursors) = self.bind(&topic).await else { return };
            if self.pump(topic.id, cursors).await == Ended::Stopping {
                return;
            }
            tracing::info!(route = %self.mapper.route().name, topic = %self.topic, "topic deleted");
            gone = Some(topic.id);
        }
    }

    /// The topic, waited for if need be. That the route waits is journaled first: whatever is
    /// written to the topic from its first moment on is then new to the route.
    async fn meet(&self, gone: Option<TopicId>) -> Option<TopicInfo> {
        let route = &self.mapper.route().name;
        let found = self.retry(|| self.source.topic(&self.topic)).await?;
        if let Some(topic) = found.filter(|topic| Some(topic.id) != gone) {
            return Some(topic);
        }
        tracing::info!(%route, topic = %self.topic, "waiting for the topic");
        let wait = Await { route: route.clone(), topic: self.topic.clone() };
        self.retry(|| self.target.wait(wait.clone())).await?;
        self.retry(|| self.source.wait_for_topic(&self.topic, gone)).await
    }

    async fn bind(&self, topic: &TopicInfo) -> Option<Vec<Cursor>> {
        let route = self.mapper.route();
        let bind = Bind {
            route: route.name.clone(),
            topic: self.topic.clone(),
            topic_id: topic.id,
            start: route.start,
            partitions: topic.partitions.clone(),
        };
        self.retry(|| self.target.bind(bind.clone())).await
    }

    /// Until the first partition ends; the others end with it.
    async fn pump(&self, topic: TopicId, cursors: Vec<Cursor>) -> Ended {
        let mut partitions = JoinSet::new();
        for (index, cursor) in (0..).zip(cursors) {
            let partition = PartitionId { topic, index };
            let (source, target) = (Arc::clone(&self.source), Arc::clone(&self.target));
            let settings = Arc::clone(&self.settings);
            let pump = PartitionPump::new(
                self.mapper.clone(),
                (partition, cursor),
                (source, target),
                settings,
            );
            partitions.spawn(pump.run());
        }
        match partitions.join_next().await {
            Some(Ok(ended)) => ended,
            Some(Err(error)) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            // No partitions, or a runtime that is shutting down.
            Some(Err(_)) | None => Ended::Stopping,
        }
    }

    /// Tries until it succeeds; `None` when the node stops.
    async fn retry<V, E, F>(&self, mut attempt: impl FnMut() -> F) -> Option<V>
    where
        E: Stops + std::fmt::Display,
        F: Future<Output = Result<V, E>>,
    {
        for attempts in 0.. {
            match attempt().await {
                Ok(value) => return Some(value),
                Err(error) if error.stops() => return None,
                Err(error) => {
                    let route = &self.mapper.route().name;
                    tracing::warn!(%route, topic = %self.topic, %error, "cannot start reading yet");
                    tokio::time::sleep(backoff(&self.settings, attempts, 0)).await;
                }
            }
        }
        None
    }
}

/// Errors that end a pump.
trait Stops {
    fn stops(&self) -> bool;
}

impl Stops for SourceError {
    fn stops(&self) -> bool {
        *self == SourceError::Stopping
    }
}

impl Stops for DeliverError {
    fn stops(&self) -> bool {
        *self == DeliverError::Stopping
    }
}

/// Doubles from the least to the longest wait; the second half of each is drawn, so that lanes
/// which were refused together do not come back together.
fn backoff(settings: &Settings, attempts: u32, salt: u64) -> Duration {
    use base::Entropy;
    let Limits { backoff_min, backoff_max, .. } = settings.limits;
    let full = backoff_min.saturating_mul(1 << attempts.min(20)).min(backoff_max);
    let seed = settings.seed ^ salt.rotate_left(32) ^ u64::from(attempts);
    let drawn = SeededEntropy::new(seed).next_u64() % 1_024;
    full / 2 + full.mul_f64(f64::from(u32::try_from(drawn).unwrap_or(0)) / 2_048.0)
}

#[cfg(test)]
mod tests;
