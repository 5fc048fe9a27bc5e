//! The log's side: what was sent, what was acknowledged, what readers saw, put together by place.

mod groups;
mod offsets;
mod producers;
mod records;

use std::collections::{HashMap, HashSet};

use crate::finding::{Invariant, Report};
use crate::history::{History, Op, Reached};
use crate::{Answer, Call, Delivery, OpId, Place, Record, Refusal};

/// A send, and what became of it.
pub(crate) struct Send<'a> {
    pub(crate) op: &'a Op<'a>,
    pub(crate) producer: &'a str,
    pub(crate) delivery: Delivery,
    pub(crate) topic: &'a str,
    pub(crate) asked_partition: Option<i32>,
    pub(crate) key: Option<&'a str>,
    pub(crate) value: u64,
    pub(crate) digest: u64,
    pub(crate) repeats: bool,
    /// Partition and offset, as acknowledged.
    pub(crate) acked: Option<(i32, Option<i64>)>,
}

/// What readers saw at one place, and who saw it first.
#[derive(Clone, Copy)]
pub(crate) struct Seen<'a> {
    pub(crate) record: &'a Record,
    pub(crate) by: OpId,
}

/// The last look at a partition.
pub(crate) struct Final {
    pub(crate) start: i64,
    pub(crate) end: i64,
    /// Offsets that were read, rising.
    pub(crate) offsets: Vec<i64>,
    pub(crate) by: OpId,
}

impl Final {
    pub(crate) fn has(&self, offset: i64) -> bool {
        self.offsets.binary_search(&offset).is_ok()
    }
}

/// All that is known of one partition.
#[derive(Default)]
pub(crate) struct Facts<'a> {
    pub(crate) seen: HashMap<i64, Seen<'a>>,
    /// Offset of each acknowledged send, as an index into the sends.
    pub(crate) acked: Vec<(i64, usize)>,
    /// Log ends that were shown: by acknowledgements, readers and watermarks.
    pub(crate) ends: Reached,
    /// Watermarks alone.
    pub(crate) watermarks: Vec<(i64, OpId)>,
    /// Below this somebody asked to delete.
    pub(crate) delete_below: i64,
    pub(crate) last: Option<Final>,
}

pub(crate) type PartitionName<'a> = (&'a str, i32);

/// All that is known of the log.
#[derive(Default)]
pub(crate) struct Log<'a> {
    pub(crate) partitions: HashMap<PartitionName<'a>, Facts<'a>>,
    pub(crate) sends: Vec<Send<'a>>,
    /// Sends of each value, as indexes.
    pub(crate) by_value: HashMap<u64, Vec<usize>>,
    /// Where readers saw each value, foreign topics left out.
    pub(crate) places: HashMap<u64, Vec<(PartitionName<'a>, i64)>>,
    /// Values that readers saw in foreign topics: dead letters.
    pub(crate) set_aside: HashSet<u64>,
}

impl<'a> Log<'a> {
    /// Puts together what the history says; finds readers that contradict each other (L2).
    pub(crate) fn new(history: &'a History<'a>, report: &mut Report) -> Log<'a> {
        let mut log = Log::default();
        for op in &history.ops {
            log.take(op, report);
        }
        for (name, facts) in &mut log.partitions {
            facts.ends.sort();
            facts.acked.sort_unstable();
            if let Some(last) = &mut facts.last {
                last.offsets.sort_unstable();
            }
            for (offset, seen) in &facts.seen {
                let Some(value) = seen.record.value else { continue };
                if history.declaration.foreign_topics.iter().any(|topic| topic == name.0) {
                    log.set_aside.insert(value);
                } else {
                    log.places.entry(value).or_default().push((*name, *offset));
                }
            }
        }
        log
    }

    /// Judges the log. `emits` tells whether a workflow may have published this record.
    pub(crate) fn check(
        &self,
        history: &History<'a>,
        emitted: &dyn Fn(&Record) -> Option<bool>,
        report: &mut Report,
    ) {
        records::acked_records_are_there(self, history, report);
        records::polls_skip_nothing(self, history, report);
        records::nothing_came_from_nowhere(self, history, emitted, report);
        offsets::readers_see_rising_offsets(history, report);
        offsets::the_last_look_is_whole(self, history, report);
        offsets::acknowledged_offsets_rise(self, report);
        producers::no_value_twice(self, report);
        producers::order_of_each_producer(self, report);
        groups::commits_stay(history, report);
        groups::ends_and_starts_do_not_go_back(self, history, report);
    }

    fn take(&mut self, op: &'a Op<'a>, report: &mut Report) {
        match (op.call, op.answer()) {
            (Call::Send { .. }, _) => self.take_send(op, report),
            (Call::DeleteRecords(place), _) if op.possible() => {
                let facts = self.facts(&place.topic, place.partition);
                facts.delete_below = facts.delete_below.max(place.offset);
            }
            (Call::Poll { .. }, Some(Answer::Records(records))) => {
                self.take_records(op, records, report);
            }
            (Call::ReadLog(name), Some(Answer::Log { start, end, records })) => {
                self.take_records(op, records, report);
                let facts = self.facts(&name.topic, name.partition);
                let none = Final { start: *start, end: *end, offsets: Vec::new(), by: op.id };
                let last = facts.last.get_or_insert(none);
                (last.start, last.end) = (last.start.min(*start), last.end.max(*end));
                last.offsets.extend(records.iter().map(|record| record.offset));
            }
            (Call::EndOffset(name), Some(Answer::Offset(end))) => {
                let facts = self.facts(&name.topic, name.partition);
                facts.ends.add(op.returned, *end, op.id);
                facts.watermarks.push((*end, op.id));
            }
            _ => {}
        }
    }

    fn take_send(&mut self, op: &'a Op<'a>, report: &mut Report) {
        let Call::Send { producer, delivery, topic, partition, key, value, digest, repeats } =
            op.call
        else {
            return;
        };
        let acked = match op.answer() {
            Some(Answer::Sent { partition, offset }) => Some((*partition, *offset)),
            _ => None,
        };
        let index = self.sends.len();
        if let (Some((in_partition, _)), Some(asked)) = (acked, partition)
            && in_partition != *asked
        {
            report.find(Invariant::L1, [op.id], || {
                format!("value {value} was sent to {topic}/{asked}, acked in {in_partition}")
            });
        }
        if let Some((partition, Some(offset))) = acked {
            let facts = self.facts(topic, partition);
            facts.acked.push((offset, index));
            facts.ends.add(op.returned, offset + 1, op.id);
        }
        self.by_value.entry(*value).or_default().push(index);
        self.sends.push(Send {
            op,
            producer,
            delivery: *delivery,
            topic,
            asked_partition: *partition,
            key: key.as_deref(),
            value: *value,
            digest: *digest,
            repeats: repeats.is_some(),
            acked,
        });
    }

    fn take_records(&mut self, op: &'a Op<'a>, records: &'a [Record], report: &mut Report) {
        for record in records {
            report.look(Invariant::L2);
            let facts = self.facts(&record.topic, record.partition);
            let seen = facts.seen.entry(record.offset).or_insert(Seen { record, by: op.id });
            if *seen.record != *record {
                let (first, by) = (seen.record, seen.by);
                report.find(Invariant::L2, [by, op.id], || {
                    format!("{}: first {}, then {}", place(record), content(first), content(record))
                });
            }
        }
        let ends = |pair: &[Record]| {
            (&pair[0].topic, pair[0].partition) != (&pair[1].topic, pair[1].partition)
        };
        let lasts = records.windows(2).filter(|pair| ends(pair)).map(|pair| &pair[0]);
        for last in lasts.chain(records.last()) {
            let facts = self.facts(&last.topic, last.partition);
            facts.ends.add(op.returned, last.offset + 1, op.id);
        }
    }

    fn facts(&mut self, topic: &'a str, partition: i32) -> &mut Facts<'a> {
        self.partitions.entry((topic, partition)).or_default()
    }

    /// Whether the partition was read to its end.
    pub(crate) fn was_read(&self, topic: &str) -> bool {
        let mut named = self.partitions.iter().filter(|((name, _), _)| *name == topic);
        named.any(|(_, facts)| facts.last.is_some())
    }

    /// What readers saw at a place.
    pub(crate) fn at(&self, place: &'a Place) -> Option<Seen<'a>> {
        let facts = self.partitions.get(&(place.topic.as_str(), place.partition))?;
        facts.seen.get(&place.offset).copied()
    }
}

impl Send<'_> {
    /// Whether this record is what was sent.
    fn made(&self, record: &Record) -> bool {
        self.topic == record.topic
            && self.asked_partition.is_none_or(|partition| partition == record.partition)
            && self.key == record.key.as_deref()
            && Some(self.value) == record.value
            && self.digest == record.digest
    }
}

fn place(record: &Record) -> String {
    format!("{}/{} offset {}", record.topic, record.partition, record.offset)
}

fn content(record: &Record) -> String {
    let value =
        record.value.map_or_else(|| "an unreadable value".into(), |it| format!("value {it}"));
    match &record.key {
        Some(key) => format!("{value} with key {key} (digest {:x})", record.digest),
        None => format!("{value} (digest {:x})", record.digest),
    }
}

/// The words of a refusal.
pub(crate) fn refusal(refusal: &Refusal) -> String {
    match refusal {
        Refusal::AlreadyStarted { run_id } => format!("already started as {run_id}"),
        Refusal::NotFound => "not found".into(),
        Refusal::Other(words) => words.clone(),
    }
}
