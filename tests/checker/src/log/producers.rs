//! L3: no record twice. L4: each producer's order. And: what was refused is not there.

use std::collections::HashMap;

use super::{Log, PartitionName, Send, refusal};
use crate::finding::{Invariant, Report};
use crate::history::Reached;
use crate::{Delivery, OpId, Outcome};

/// Sends of one producer of one life to one partition, in the order of their invokes.
type Pipeline<'a> = Vec<(i64, &'a Send<'a>)>;

/// L3; and what was refused.
pub(super) fn no_value_twice(log: &Log<'_>, report: &mut Report) {
    for (value, sends) in &log.by_value {
        let sends: Vec<&Send<'_>> = sends.iter().map(|index| &log.sends[*index]).collect();
        let places = log.places.get(value).map_or(&[][..], Vec::as_slice);
        let possible = sends.iter().filter(|send| send.op.possible());
        let attempts = possible
            .clone()
            .filter(|send| !send.repeats)
            .count()
            .max(possible.clone().count().min(1));
        let ops = || sends.iter().map(|send| send.op.id);
        report.look(Invariant::L3);
        if attempts == 0 {
            report.look(Invariant::Refused);
            if let Some(((topic, partition), offset)) = places.first() {
                report.find(Invariant::Refused, ops(), || {
                    let why = why(sends[0]);
                    format!(
                        "value {value} was refused ({why}) and is at \
                         {topic}/{partition} offset {offset}"
                    )
                });
            }
            continue;
        }
        let unlimited = possible.clone().any(|send| send.delivery == Delivery::Repeated);
        if !unlimited && places.len() > attempts {
            report.find(Invariant::L3, ops(), || {
                format!(
                    "value {value} was sent {attempts} time(s) and is in the log {} \
                     times: {places:?}",
                    places.len()
                )
            });
        }
    }
}

fn why(send: &Send<'_>) -> String {
    match send.op.result {
        Some(Outcome::Fail(why)) => refusal(why),
        _ => String::new(),
    }
}

/// L4: one after another for every producer; pipelined for an idempotent one.
pub(super) fn order_of_each_producer(log: &Log<'_>, report: &mut Report) {
    let mut reached: HashMap<(PartitionName<'_>, &str), Reached> = HashMap::new();
    let mut pipelines: HashMap<(PartitionName<'_>, u32, &str), Pipeline<'_>> = HashMap::new();
    let single = log.sends.iter().filter(|send| is_made_once(log, send));
    for send in single.clone() {
        if let Some((partition, Some(offset))) = send.acked {
            let of_producer = reached.entry(((send.topic, partition), send.producer)).or_default();
            of_producer.add(send.op.returned, offset, send.op.id);
        }
    }
    reached.values_mut().for_each(Reached::sort);
    for send in single {
        let Some((name, offset)) = where_it_is(log, send) else { continue };
        report.look(Invariant::L4);
        let before = reached.get(&(name, send.producer)).and_then(|it| it.before(send.op.invoked));
        match before {
            Some((other, by)) if other > offset => swapped(name, send, offset, other, by, report),
            _ if send.delivery == Delivery::Idempotent => {
                let pipeline = pipelines.entry((name, send.op.id.0, send.producer)).or_default();
                pipeline.push((offset, send));
            }
            _ => {}
        }
    }
    for ((name, _, _), pipeline) in pipelines {
        for pair in pipeline.windows(2).filter(|pair| pair[0].0 > pair[1].0) {
            swapped(name, pair[1].1, pair[1].0, pair[0].0, pair[0].1.op.id, report);
        }
    }
}

/// Whether it is the only send of its value, but for repetitions under its sequence number: those
/// cannot put it anywhere else in the order.
fn is_made_once(log: &Log<'_>, send: &Send<'_>) -> bool {
    let sends = &log.by_value[&send.value];
    let repetitions = sends.iter().filter(|index| log.sends[**index].repeats).count();
    let others = sends.len() - 1;
    !send.repeats && repetitions == others && (others == 0 || send.delivery == Delivery::Idempotent)
}

/// The one place of a record; none if it is not known, or not one.
fn where_it_is<'a>(log: &Log<'a>, send: &Send<'a>) -> Option<(PartitionName<'a>, i64)> {
    if let Some((partition, Some(offset))) = send.acked {
        return Some(((send.topic, partition), offset));
    }
    match log.places.get(&send.value).map(Vec::as_slice) {
        Some([(name, offset)]) if name.0 == send.topic => Some((*name, *offset)),
        _ => None,
    }
}

fn swapped(
    (topic, partition): PartitionName<'_>,
    send: &Send<'_>,
    offset: i64,
    other: i64,
    by: OpId,
    report: &mut Report,
) {
    report.find(Invariant::L4, [by, send.op.id], || {
        format!(
            "{topic}/{partition}: producer {} sent value {} later and finds it at \
             offset {offset}, before its own record at {other}",
            send.producer, send.value
        )
    });
}
