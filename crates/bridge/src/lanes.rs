//! The lanes of one partition: what waits for which workflow, and whose turn it is.
//!
//! Invariants: of each lane at most one record is under way, and it is the lane's first; a lane
//! that waits does not keep another from going on; records and bytes are counted, so that the
//! pump can stop reading at its caps. Knows nothing of sources, targets or tasks.

use crate::Record;
use bytes::{Bytes, BytesMut};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use tokio::time::Instant;

/// Whose turn: one workflow's, or that of the records that have no workflow.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum LaneId {
    Workflow(Arc<str>),
    DeadLetters,
}

/// A record on its way.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) content: Content,
    /// First offset that it settles.
    pub(crate) first: i64,
    /// Why it goes to the dead letters, if it does.
    pub(crate) reason: Option<String>,
}

/// What is on its way.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    Record(Record),
    /// A batch that cannot be decoded.
    Batch {
        base: i64,
        last: i64,
        bytes: Bytes,
    },
}

/// All lanes of one partition.
#[derive(Debug, Default)]
pub(crate) struct Lanes {
    lanes: HashMap<LaneId, Lane>,
    ready: VecDeque<LaneId>,
    waiting: BTreeSet<(Instant, LaneId)>,
    count: usize,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Lane {
    queue: VecDeque<Item>,
    /// Tries of the first item that had to wait.
    attempts: u32,
}

impl Lanes {
    /// Puts an item at the end of its lane.
    pub(crate) fn push(&mut self, id: LaneId, item: Item) {
        self.count += 1;
        self.bytes += item.size_bytes();
        let lane = self.lanes.entry(id.clone()).or_default();
        lane.queue.push_back(item);
        if lane.queue.len() == 1 {
            self.ready.push_back(id);
        }
    }

    /// The first item of the next lane that may go. The lane is under way until one of
    /// [`Lanes::finish`], [`Lanes::condemn`] and [`Lanes::wait`] is called.
    pub(crate) fn take_ready(&mut self, now: Instant) -> Option<(LaneId, &Item)> {
        while self.next_wake().is_some_and(|at| at <= now) {
            self.ready.extend(self.waiting.pop_first().map(|(_, id)| id));
        }
        let id = self.ready.pop_front()?;
        let item = self.lanes.get(&id)?.queue.front()?;
        Some((id, item))
    }

    /// The item under way is done.
    pub(crate) fn finish(&mut self, id: LaneId) {
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        lane.attempts = 0;
        if let Some(item) = lane.queue.pop_front() {
            self.count -= 1;
            self.bytes -= item.size_bytes();
        }
        if lane.queue.is_empty() {
            self.lanes.remove(&id);
        } else {
            self.ready.push_back(id);
        }
    }

    /// The item under way goes to the dead letters; the rest of its lane waits for that.
    pub(crate) fn condemn(&mut self, id: LaneId, reason: String) {
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        lane.attempts = 0;
        if let Some(item) = lane.queue.front_mut() {
            let before = item.size_bytes();
            item.reason = Some(reason);
            self.bytes += item.size_bytes() - before;
        }
        self.ready.push_front(id);
    }

    /// The lane waits until `until(attempts)`, where attempts counts the item's waits before.
    pub(crate) fn wait(&mut self, id: LaneId, until: impl FnOnce(u32) -> Instant) {
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        let at = until(lane.attempts);
        lane.attempts = lane.attempts.saturating_add(1);
        self.waiting.insert((at, id));
    }

    /// The item under way in this lane.
    pub(crate) fn current(&self, id: &LaneId) -> Option<&Item> {
        self.lanes.get(id)?.queue.front()
    }

    /// When the next waiting lane may go.
    pub(crate) fn next_wake(&self) -> Option<Instant> {
        self.waiting.first().map(|(at, _)| *at)
    }

    /// Items in all lanes.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Their bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Item {
    fn size_bytes(&self) -> usize {
        let optional = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
        let content = match &self.content {
            Content::Batch { bytes, .. } => bytes.len(),
            Content::Record(record) => {
                let header = |(name, value): &(String, _)| {
                    size_of::<(String, Option<Bytes>)>() + name.len() + optional(value)
                };
                let headers: usize = record.headers.iter().map(header).sum();
                optional(&record.key) + optional(&record.value) + headers
            }
        };
        size_of::<Item>() + content + self.reason.as_ref().map_or(0, String::len)
    }
}

/// A copy of `record` that owns its bytes: a parked record must not keep the whole batch that it
/// came in.
pub(crate) fn detach(record: &Record) -> Record {
    let header_values = record.headers.iter().filter_map(|(_, value)| value.as_ref());
    let parts = record.key.iter().chain(&record.value).chain(header_values);
    let mut own = BytesMut::with_capacity(parts.map(Bytes::len).sum());
    let mut copy = |bytes: &Option<Bytes>| {
        bytes.as_ref().map(|bytes| {
            own.extend_from_slice(bytes);
            own.split().freeze()
        })
    };
    Record {
        offset: record.offset,
        timestamp_ms: record.timestamp_ms,
        key: copy(&record.key),
        value: copy(&record.value),
        headers: record.headers.iter().map(|(name, value)| (name.clone(), copy(value))).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn lane(name: &str) -> LaneId {
        LaneId::Workflow(name.into())
    }

    fn item(offset: i64) -> Item {
        let value = Some(vec![b'v'; 10].into());
        let record = Record { offset, timestamp_ms: 0, key: None, value, headers: Vec::new() };
        Item { content: Content::Record(record), first: offset, reason: None }
    }

    fn take(lanes: &mut Lanes, now: Instant) -> Option<(LaneId, i64)> {
        lanes.take_ready(now).map(|(id, item)| (id, item.first))
    }

    #[test]
    fn a_lane_has_one_item_under_way() {
        let now = Instant::now();
        let mut lanes = Lanes::default();
        for (name, offset) in [("a", 0), ("a", 1), ("b", 2), ("a", 3)] {
            lanes.push(lane(name), item(offset));
        }
        let one = lanes.bytes() / 4;
        assert_eq!(take(&mut lanes, now), Some((lane("a"), 0)));
        assert_eq!(take(&mut lanes, now), Some((lane("b"), 2)));
        assert_eq!(take(&mut lanes, now), None);
        lanes.finish(lane("a"));
        lanes.finish(lane("b"));
        assert_eq!(take(&mut lanes, now), Some((lane("a"), 1)));
        assert_eq!(take(&mut lanes, now), None);
        lanes.condemn(lane("a"), "because".into());
        assert_eq!(lanes.bytes(), 2 * one + "because".len());
        assert_eq!(take(&mut lanes, now), Some((lane("a"), 1)));
        assert_eq!(lanes.current(&lane("a")).unwrap().reason.as_deref(), Some("because"));
        lanes.finish(lane("a"));
        assert_eq!(take(&mut lanes, now), Some((lane("a"), 3)));
        lanes.finish(lane("a"));
        assert_eq!((lanes.count(), lanes.bytes(), lanes.lanes.len()), (0, 0, 0));
    }

    #[test]
    fn a_lane_that_waits_lets_others_pass() {
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        let mut lanes = Lanes::default();
        lanes.push(lane("a"), item(0));
        assert_eq!(take(&mut lanes, now), Some((lane("a"), 0)));
        lanes.wait(lane("a"), |attempts| now + second * (attempts + 1));
        lanes.push(lane("a"), item(1));
        lanes.push(lane("b"), item(2));
        assert_eq!(take(&mut lanes, now), Some((lane("b"), 2)));
        assert_eq!(take(&mut lanes, now), None);
        assert_eq!(lanes.next_wake(), Some(now + second));
        assert_eq!(take(&mut lanes, now + second), Some((lane("a"), 0)));
        lanes.wait(lane("a"), |attempts| now + second * (attempts + 1));
        assert_eq!(lanes.next_wake(), Some(now + 2 * second), "the second wait is longer");
    }

    #[test]
    fn a_detached_record_is_the_same_in_its_own_memory() {
        let batch = Bytes::from(vec![7u8; 1 << 20]);
        let record = Record {
            offset: 3,
            timestamp_ms: 4,
            key: Some(batch.slice(0..2)),
            value: Some(batch.slice(2..9)),
            headers: vec![("h".into(), None), ("i".into(), Some(batch.slice(9..12)))],
        };
        let copy = detach(&record);
        assert_eq!(copy, record);
        drop(record);
        assert!(batch.is_unique(), "the copy does not keep the batch");
        let tombstone = Record { key: None, value: None, ..copy };
        assert_eq!(detach(&tombstone), tombstone);
    }
}
