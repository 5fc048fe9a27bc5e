//! L1: what was acknowledged is there. L7: what is there was sent.

use super::{Facts, Log, PartitionName, Send, content, place};
use crate::finding::{Invariant, Report};
use crate::history::History;
use crate::{Answer, Call, Record};

/// L1, by place.
pub(super) fn acked_records_are_there(log: &Log<'_>, history: &History<'_>, report: &mut Report) {
    for (name, facts) in &log.partitions {
        for (offset, index) in &facts.acked {
            acked_is_there(*name, facts, *offset, &log.sends[*index], report);
        }
        let foreign = history.declaration.foreign_topics.iter().any(|topic| topic == name.0);
        if history.last_look.is_some() && facts.last.is_none() && !foreign {
            report.find(Invariant::Incomplete, [], || {
                format!("{}/{} was not read at the end", name.0, name.1)
            });
        }
    }
    let without_offset = log.sends.iter().filter(|send| matches!(send.acked, Some((_, None))));
    for send in without_offset.filter(|send| log.was_read(send.topic)) {
        report.look(Invariant::L1);
        if !log.places.contains_key(&send.value) {
            report.find(Invariant::L1, [send.op.id], || {
                format!("value {} was acked in {} and is nowhere", send.value, send.topic)
            });
        }
    }
}

fn acked_is_there(
    (topic, partition): PartitionName<'_>,
    facts: &Facts<'_>,
    offset: i64,
    send: &Send<'_>,
    report: &mut Report,
) {
    let id = send.op.id;
    if let Some(seen) = facts.seen.get(&offset) {
        report.look(Invariant::L1);
        if !send.made(seen.record) {
            return report.find(Invariant::L1, [id, seen.by], || {
                let (value, digest) = (send.value, send.digest);
                let there = content(seen.record);
                format!(
                    "value {value} (digest {digest:x}) was acked at \
                     {topic}/{partition} offset {offset}, where readers see {there}"
                )
            });
        }
    }
    let Some(last) = &facts.last else { return };
    report.look(Invariant::L1);
    if last.has(offset) || offset < last.start.min(facts.delete_below) {
        return;
    }
    let (start, end) = (last.start, last.end);
    report.find(Invariant::L1, [id, last.by], || {
        format!(
            "value {} was acked at {topic}/{partition} offset {offset} and is lost: \
             the log is {start}..{end} in the end",
            send.value
        )
    });
}

/// L1, by order: a reader that goes on beyond a record has been given it.
pub(super) fn polls_skip_nothing(log: &Log<'_>, history: &History<'_>, report: &mut Report) {
    for (op, call, answer) in history.answers() {
        let (Call::Poll { from, .. }, Answer::Records(records)) = (call, answer) else { continue };
        let asked = from.iter().map(|it| ((it.topic.as_str(), it.partition), it.offset - 1));
        let mut reached: std::collections::HashMap<_, _> = asked.collect();
        for record in records {
            let name = (record.topic.as_str(), record.partition);
            let before = reached.insert(name, record.offset);
            let Some(before) = before.filter(|before| *before + 1 < record.offset) else {
                continue;
            };
            let Some(missed) = known_between(&log.partitions[&name], before, record.offset) else {
                continue;
            };
            report.find(Invariant::L1, [op.id], || {
                format!(
                    "a reader was taken from offset {before} to {}: the record at \
                     {missed} was passed over",
                    place(record)
                )
            });
        }
    }
}

/// A record between two offsets that somebody knows of and nobody asked to delete.
fn known_between(facts: &Facts<'_>, before: i64, after: i64) -> Option<i64> {
    let first = (before + 1).max(facts.delete_below);
    let next = facts.acked.partition_point(|(offset, _)| *offset < first);
    let acked = facts.acked.get(next).map(|(offset, _)| *offset).filter(|it| *it < after);
    // A gap is rare and mostly short; a long one is looked at as far as there are records.
    let length = usize::try_from(after - first).unwrap_or(0).min(facts.seen.len() + 1);
    let mut inside = (first..after).take(length);
    acked.or_else(|| inside.find(|offset| facts.seen.contains_key(offset)))
}

/// L7; and bytes that are not the sent ones (L1), acknowledged or not.
pub(super) fn nothing_came_from_nowhere(
    log: &Log<'_>,
    history: &History<'_>,
    emitted: &dyn Fn(&Record) -> Option<bool>,
    report: &mut Report,
) {
    let foreign = &history.declaration.foreign_topics;
    for facts in log.partitions.values() {
        for (offset, seen) in &facts.seen {
            let record = seen.record;
            if foreign.contains(&record.topic) {
                continue;
            }
            let sends = record.value.and_then(|value| log.by_value.get(&value));
            let Some(sends) = sends else {
                let acked = facts.acked.binary_search_by_key(offset, |it| it.0).is_ok();
                if let Some(emitted) = emitted(record) {
                    report.look(Invariant::L7);
                    if !emitted && !acked {
                        report.find(Invariant::L7, [seen.by], || {
                            format!("{}: {} was sent by nobody", place(record), content(record))
                        });
                    }
                }
                continue;
            };
            report.look(Invariant::L7);
            let sends = || sends.iter().map(|index| &log.sends[*index]);
            if sends().any(|send| send.made(record)) {
                continue;
            }
            let ops = sends().map(|send| send.op.id).chain([seen.by]);
            if sends().all(|send| send.topic != record.topic) {
                report.find(Invariant::L7, ops, || {
                    format!("{}: {} was sent elsewhere", place(record), content(record))
                });
            } else if facts.acked.binary_search_by_key(offset, |it| it.0).is_err() {
                // With an acknowledgement it has been found by place.
                report.find(Invariant::L1, ops, || {
                    format!("{}: {} is not what was sent", place(record), content(record))
                });
            }
        }
    }
}
