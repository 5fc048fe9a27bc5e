//! A node inside this process with one topic, and the ask that appends a batch to it.

use anyhow::{Context, Result, bail, ensure};
use base::Blob;
use journal::Disk;
use node::{Handle, Node, NodeGuard, NodeOptions};
use topics::ask::{CreateTopics, NewTopic, Origin, PartitionAppend, Produce};
use topics::{Ask, BatchBuilder, BatchHeader, ErrorCode, Reply};

/// A topic's default for max.message.bytes, less a batch's header.
const BATCH_BYTES_MAX: usize = 1_048_000;
/// What a record has beside its value.
const RECORD_OVERHEAD_BYTES: usize = 12;

/// The topic's name.
pub(crate) const TOPIC: &str = "measured";

/// A node with the topic. Must be called within a runtime.
pub(crate) async fn open<D: Disk>(disk: D) -> Result<(Handle, NodeGuard)> {
    let (handle, guard) = Node::open_on(disk, NodeOptions::default())?;
    let topic = NewTopic {
        name: TOPIC.to_owned(),
        partition_count: 1,
        replication_factor: 1,
        assignments: Vec::new(),
        configs: Vec::new(),
    };
    let create = CreateTopics { topics: vec![topic], validate_only: false };
    match handle.topics(Ask::CreateTopics(create)).await? {
        Reply::CreateTopics(results) => {
            ensure!(results.iter().all(|it| it.error == ErrorCode::None), "{results:?}");
        }
        other => bail!("{other:?} does not answer CreateTopics"),
    }
    Ok((handle, guard))
}

/// A batch of as many records of 1 KiB as fit in `bytes` or a topic takes; at least one.
pub(crate) fn batch(bytes: usize) -> Result<(BatchHeader, Blob)> {
    let value = super::files::noise(1 << 10);
    let mut builder = BatchBuilder::new();
    let bytes = bytes.min(BATCH_BYTES_MAX);
    for _ in 0..(bytes / (value.len() + RECORD_OVERHEAD_BYTES)).max(1) {
        builder.push(1_000, None, Some(&value), &[]);
    }
    builder.build().context("a batch can be built")
}

/// Appends `batch` and waits until it is durable.
pub(crate) async fn produce(handle: &Handle, (header, batch): &(BatchHeader, Blob)) -> Result<()> {
    let (header, batch) = (*header, batch.clone());
    let append = PartitionAppend { topic: TOPIC.to_owned(), partition: 0, header, batch };
    let produce = Produce { partitions: vec![append], origin: Origin::Client };
    match handle.topics(Ask::Produce(produce)).await? {
        Reply::Produce(places) => ensure!(places.iter().all(Result::is_ok), "{places:?}"),
        other => bail!("{other:?} does not answer a produce"),
    }
    Ok(())
}
