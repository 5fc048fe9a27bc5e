//! L2: offsets rise, each holds one record for ever, and none is left out.

use std::collections::HashMap;

use super::{Facts, Log, PartitionName, place};
use crate::Answer;
use crate::finding::{Invariant, Report};
use crate::history::{History, Reached};

/// Within one answer to a reader.
pub(super) fn readers_see_rising_offsets(history: &History<'_>, report: &mut Report) {
    for (op, _, answer) in history.answers() {
        let (Answer::Records(records) | Answer::Log { records, .. }) = answer else { continue };
        let mut reached = HashMap::new();
        for record in records {
            let before = reached.insert((record.topic.as_str(), record.partition), record.offset);
            if let Some(before) = before.filter(|before| *before >= record.offset) {
                report.find(Invariant::L2, [op.id], || {
                    format!("a reader got {} after offset {before}", place(record))
                });
            }
        }
    }
}

/// In the end: what was seen is there, and there are no holes.
pub(super) fn the_last_look_is_whole(log: &Log<'_>, history: &History<'_>, report: &mut Report) {
    for (name, facts) in &log.partitions {
        let Some(last) = facts.last.as_ref().filter(|_| history.last_look.is_some()) else {
            continue;
        };
        let acked = |offset: i64| facts.acked.binary_search_by_key(&offset, |it| it.0).is_ok();
        let mut expected = last.start;
        for offset in last.offsets.iter().copied().chain([last.end]) {
            report.look(Invariant::L2);
            // What was acknowledged is L1's.
            let hole = (expected..offset).find(|offset| !acked(*offset));
            if let Some(hole) = hole {
                report.find(Invariant::L2, [last.by], || {
                    format!(
                        "{}/{}: nothing at offset {hole}, between {} and {}",
                        name.0, name.1, last.start, last.end
                    )
                });
            }
            expected = expected.max(offset + 1);
        }
        what_was_seen_is_there(*name, facts, report);
    }
}

fn what_was_seen_is_there(
    (topic, partition): PartitionName<'_>,
    facts: &Facts<'_>,
    report: &mut Report,
) {
    let Some(last) = &facts.last else { return };
    for (offset, seen) in &facts.seen {
        let deleted = *offset < last.start.min(facts.delete_below);
        let inside = (last.start..last.end).contains(offset);
        let acked = facts.acked.binary_search_by_key(offset, |it| it.0).is_ok();
        if !deleted && !inside && !acked {
            report.find(Invariant::L2, [seen.by, last.by], || {
                let (start, end) = (last.start, last.end);
                format!(
                    "{topic}/{partition}: the record at offset {offset} was read \
                     and is gone: the log is {start}..{end} in the end"
                )
            });
        }
    }
}

/// Of acknowledgements: one record per offset, and a send that began after another was
/// acknowledged comes after it, whoever made it. (If the same producer made both, it is L4's.)
pub(super) fn acknowledged_offsets_rise(log: &Log<'_>, report: &mut Report) {
    for (name, facts) in &log.partitions {
        one_value_per_offset(*name, facts, log, report);
        let mut reached = Reached::default();
        for (offset, index) in &facts.acked {
            let op = log.sends[*index].op;
            reached.add(op.returned, *offset, op.id);
        }
        reached.sort();
        let owners: HashMap<_, _> = log.sends.iter().map(|it| (it.op.id, it.producer)).collect();
        for (offset, index) in &facts.acked {
            let send = &log.sends[*index];
            // A repetition is told the first one's offset.
            if send.repeats || log.by_value[&send.value].len() > 1 {
                continue;
            }
            report.look(Invariant::L2);
            let Some((other, by)) = reached.before(send.op.invoked) else { continue };
            if other > *offset && owners.get(&by) != Some(&send.producer) {
                report.find(Invariant::L2, [by, send.op.id], || {
                    format!(
                        "{}/{}: value {} got offset {offset} although offset \
                         {other} had been acked before it was sent",
                        name.0, name.1, send.value
                    )
                });
            }
        }
    }
}

fn one_value_per_offset(
    name: PartitionName<'_>,
    facts: &Facts<'_>,
    log: &Log<'_>,
    report: &mut Report,
) {
    for pair in facts.acked.windows(2) {
        let (first, second) = (&log.sends[pair[0].1], &log.sends[pair[1].1]);
        // If a reader was there, the one that it did not see is lost: L1's.
        let unseen = !facts.seen.contains_key(&pair[0].0);
        if pair[0].0 == pair[1].0 && first.value != second.value && unseen {
            report.find(Invariant::L2, [first.op.id, second.op.id], || {
                format!(
                    "{}/{} offset {}: acked for value {} and for value {}",
                    name.0, name.1, pair[0].0, first.value, second.value
                )
            });
        }
    }
}
