//! A topic and its partitions, as far as the machine knows them: ends and producers. Where the
//! batches lie is the published log's business.

use crate::op;
use crate::producer::Producers;
use base::TopicId;

/// One topic.
#[derive(Clone, Debug, PartialEq)]
pub struct Topic {
    id: TopicId,
    name: String,
    configs: Vec<(String, String)>,
    partitions: Vec<Partition>,
}

/// One partition.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Partition {
    /// First offset that can be read.
    log_start_offset: i64,
    /// Offset of the next record.
    next_offset: i64,
    pub(crate) producers: Producers,
}

impl Topic {
    pub(crate) fn new(op: &op::TopicCreated) -> Topic {
        let count = usize::try_from(op.partition_count).unwrap_or(0);
        Topic {
            id: op.topic(),
            name: op.name.clone(),
            configs: op.configs.iter().map(|it| (it.name.clone(), it.value.clone())).collect(),
            partitions: vec![Partition::default(); count],
        }
    }

    /// Its id.
    pub fn id(&self) -> TopicId {
        self.id
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Configs given at creation.
    pub fn configs(&self) -> &[(String, String)] {
        &self.configs
    }

    /// Partitions are 0..count.
    pub fn partition_count(&self) -> i32 {
        i32::try_from(self.partitions.len()).unwrap_or(i32::MAX)
    }

    /// The partition with this index.
    pub fn partition(&self, index: i32) -> Option<&Partition> {
        self.partitions.get(usize::try_from(index).ok()?)
    }

    pub(crate) fn partitions_mut(&mut self) -> impl Iterator<Item = &mut Partition> {
        self.partitions.iter_mut()
    }

    pub(crate) fn partition_mut(&mut self, index: i32) -> Option<&mut Partition> {
        self.partitions.get_mut(usize::try_from(index).ok()?)
    }
}

impl Partition {
    /// First offset that can be read.
    pub fn log_start_offset(&self) -> i64 {
        self.log_start_offset
    }

    /// Offset of the next record: the end as the writer knows it, ahead of the published one.
    pub fn next_offset(&self) -> i64 {
        self.next_offset
    }

    /// Moves the end. Panics if the batch does not continue the log: then the journal is not ours.
    pub(crate) fn append(&mut self, base_offset: i64, last_offset: i64) {
        assert_eq!(base_offset, self.next_offset, "offsets must be dense");
        assert!(last_offset >= base_offset, "a batch has a record");
        self.next_offset = last_offset + 1;
    }

    /// Planted: the offset of the last record is taken for that of the next one.
    pub(crate) fn step_back(&mut self) {
        self.next_offset = (self.next_offset - 1).max(self.log_start_offset);
    }

    pub(crate) fn check(&self) {
        assert!(self.log_start_offset >= 0);
        assert!(self.log_start_offset <= self.next_offset);
        self.producers.check();
    }
}
