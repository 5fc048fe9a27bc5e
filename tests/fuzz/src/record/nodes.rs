//! What a node writes: the directory of a journal, and its entries.

use super::keep;
use anyhow::Context;
use base::Timestamp;
use fuzz_targets::Fields;
use journal::testing::SimDisk;
use journal::{Options, Preparation, fuzzing, open};
use node::{Node, NodeOptions};
use temporalio_protos::temporal::api::common::v1 as common;
use temporalio_protos::temporal::api::taskqueue::v1::TaskQueue;
use temporalio_protos::temporal::api::workflowservice::v1 as service;
use topics::ask::{CreateTopics, NewTopic, Origin, PartitionAppend, Produce};
use topics::{Ask, BatchBuilder};

/// Flags of the target: put the CRCs right, fill the file with zeros.
const FLAGS: [(&str, u8); 4] = [("as-it-is", 0), ("resealed", 1), ("padded", 2), ("both", 3)];

pub(super) fn record() -> anyhow::Result<()> {
    let disk = SimDisk::new(7);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(live(disk.clone()))?;
    let segments: Vec<Vec<u8>> = (1..=8)
        .map(|number| fuzzing::pack(&disk.contents(&format!("{number:010}.segment"))))
        .filter(|segment| !segment.is_empty())
        .collect();
    for (name, flags) in FLAGS {
        let mut input = vec![flags];
        segments.iter().for_each(|segment| Fields::push(&mut input, segment));
        keep("journal", name, &input)?;
    }
    keep("journal", "empty", &[0])?;
    let mut number = 0;
    open(disk.restart(), options(), &mut |replayed| {
        number += 1;
        let mut input = Vec::new();
        Fields::push(&mut input, replayed.meta);
        replayed.blobs.iter().for_each(|blob| Fields::push(&mut input, blob));
        keep("entry", &format!("{number:02}"), &input).map_err(Into::into)
    })?;
    Ok(())
}

fn options() -> Options {
    Options {
        segment_bytes: 64 << 10,
        entry_bytes_max: 32 << 10,
        prepare_ahead_bytes: 4 << 10,
        preparation: Preparation::Inline,
        ..Options::default()
    }
}

/// A short life: a topic, records, a group's offsets, a workflow that is started and signalled.
async fn live(disk: SimDisk) -> anyhow::Result<()> {
    let (handle, guard) =
        Node::open_on(disk, NodeOptions { journal: options(), ..NodeOptions::default() })?;
    let topic = NewTopic {
        name: "t".to_owned(),
        partition_count: 2,
        replication_factor: 1,
        assignments: Vec::new(),
        configs: Vec::new(),
    };
    let create = CreateTopics { topics: vec![topic], validate_only: false };
    handle.topics(Ask::CreateTopics(create)).await?;
    for value in ["one", "two"] {
        let mut batch = BatchBuilder::new();
        batch.push(Timestamp(0).millis(), Some(b"key"), Some(value.as_bytes()), &[]);
        let (header, batch) = batch.build().ok().context("a batch")?;
        let append = PartitionAppend { topic: "t".to_owned(), partition: 0, header, batch };
        let produce = Produce { partitions: vec![append], origin: Origin::Client };
        handle.topics(Ask::Produce(produce)).await?;
    }
    let start = service::SignalWithStartWorkflowExecutionRequest {
        namespace: "default".into(),
        workflow_id: "w".into(),
        workflow_type: Some(common::WorkflowType { name: "W".into() }),
        task_queue: Some(TaskQueue { name: "q".into(), ..Default::default() }),
        signal_name: "s".into(),
        ..Default::default()
    };
    let start = workflows::Ask::SignalWithStartWorkflowExecution(Box::new(start));
    drop(handle.workflows(start).await?);
    let poll = service::PollWorkflowTaskQueueRequest {
        namespace: "default".into(),
        task_queue: Some(TaskQueue { name: "q".into(), ..Default::default() }),
        ..Default::default()
    };
    drop(handle.workflows(workflows::Ask::PollWorkflowTaskQueue(Box::new(poll))).await?.take());
    guard.stop().await;
    Ok(())
}
