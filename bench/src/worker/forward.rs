//! From record to record by a workflow: it is told a record by a signal, publishes it by an activity,
//! and ends. The same workflow runs everywhere; only who signals it and who publishes differs.
//!
//! On Mainstay a route signals and the node publishes. On a pair of Kafka and Temporal both are
//! written by hand, as people do it: a consumer in a group that calls signal-with-start for some
//! records at once and lets its position follow what is done; and a producer in an activity.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use futures::stream::FuturesOrdered;
use futures::{FutureExt, StreamExt};
use rdkafka::Message;
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::message::OwnedMessage;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::util::Timeout;
use serde::{Deserialize, Serialize};
use temporalio_client::{Client, WorkflowStartOptions};
use temporalio_macros::{activities, workflow, workflow_methods};
use temporalio_sdk::activities::{ActivityContext, ActivityError};
use temporalio_sdk::{
    ActivityOptions, ApplicationFailure, SyncWorkflowContext, WorkerOptions, WorkflowContext,
    WorkflowResult,
};

use crate::worker::script::ATTEMPT_TIMEOUT;

/// The queue of the worker.
pub(crate) const QUEUE: &str = "bench-forward";
/// Calls of the hand-written bridge under way at once.
const BRIDGE_CONCURRENCY: usize = 50;
/// How long a record may take to be acknowledged.
const PUBLISH_MAX: Duration = Duration::from_secs(10);

/// The value of a record.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Fact {
    /// The record's key, and the workflow's id.
    pub(crate) key: String,
    /// What makes it as long as an ordinary one.
    pub(crate) text: String,
}

/// The argument of `mainstay.publish`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Publish {
    topic: String,
    key: String,
    value: Fact,
}

/// What it answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Published {
    topic: String,
    partition: i32,
    offset: i64,
}

/// The arguments of the workflow: who publishes, and where to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Errand {
    /// The task queue of the activity.
    pub(crate) queue: String,
    /// The topic of the new record.
    pub(crate) topic: String,
}

/// The workflow.
#[workflow]
#[derive(Default)]
pub(crate) struct Forward {
    fact: Option<Fact>,
}

#[workflow_methods]
impl Forward {
    #[run]
    pub(crate) async fn run(ctx: &mut WorkflowContext<Self>, errand: Errand) -> WorkflowResult<()> {
        ctx.wait_condition(|forward| forward.fact.is_some()).await?;
        if let Some(value) = ctx.state_mut(|forward| forward.fact.take()) {
            let publish = Publish { topic: errand.topic, key: value.key.clone(), value };
            let options = ActivityOptions::with_start_to_close_timeout(ATTEMPT_TIMEOUT)
                .task_queue(errand.queue)
                .build();
            ctx.execute_activity(Publisher::publish, publish, options).await?;
        }
        Ok(())
    }

    #[signal(name = "fact")]
    pub(crate) fn fact(&mut self, _ctx: &mut SyncWorkflowContext<Self>, fact: Fact) {
        self.fact = Some(fact);
    }
}

/// Does with an ordinary producer what the node does by itself, under the same name.
pub(crate) struct Publisher {
    producer: FutureProducer,
}

#[activities]
impl Publisher {
    #[activity(name = "mainstay.publish")]
    pub(crate) async fn publish(
        self: Arc<Self>,
        _ctx: ActivityContext,
        publish: Publish,
    ) -> Result<Published, ActivityError> {
        let value = serde_json::to_vec(&publish.value).map_err(ApplicationFailure::new)?;
        let record = FutureRecord::to(&publish.topic).key(&publish.key).payload(&value);
        let sent = self.producer.send(record, Timeout::After(PUBLISH_MAX)).await;
        let delivery = sent.map_err(|(error, _)| ApplicationFailure::new(error))?;
        let (partition, offset) = (delivery.partition, delivery.offset);
        Ok(Published { topic: publish.topic, partition, offset })
    }
}

/// A worker for the workflow, and for the activity where it has a producer.
pub(crate) fn options(producer: Option<FutureProducer>) -> Result<WorkerOptions> {
    let options = WorkerOptions::new(QUEUE);
    let options = options.register_workflow::<Forward>().context("the workflow Forward")?;
    Ok(match producer {
        Some(producer) => options.register_activities(Publisher { producer }).build(),
        None => options.build(),
    })
}

/// The hand-written bridge, from a topic that `consumer` has subscribed to: never ends by itself.
pub(crate) async fn bridge(
    consumer: StreamConsumer,
    topic: &str,
    client: Client,
    errand: Errand,
) -> Result<()> {
    let mut under_way = FuturesOrdered::new();
    loop {
        tokio::select! {
            record = consumer.recv(), if under_way.len() < BRIDGE_CONCURRENCY => {
                let record = record.context("a record")?.detach();
                under_way.push_back(deliver(client.clone(), errand.clone(), record).boxed());
            }
            Some(delivered) = under_way.next() => {
                let (partition, offset) = delivered?;
                // What is stored here is committed now and then, by the library.
                consumer.store_offset(topic, partition, offset).context("the bridge's position")?;
            }
        }
    }
}

/// Answers where the record was.
async fn deliver(client: Client, errand: Errand, record: OwnedMessage) -> Result<(i32, i64)> {
    let fact: Fact = serde_json::from_slice(record.payload().unwrap_or_default())?;
    let options = WorkflowStartOptions::new(QUEUE, fact.key.clone()).build();
    let delivered =
        client.signal_with_start_workflow(Forward::run, errand, Forward::fact, fact, options);
    Box::pin(delivered).await.context("signal-with-start")?;
    Ok((record.partition(), record.offset()))
}
