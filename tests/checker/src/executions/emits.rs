//! B2: an emit makes one record, and is completed with it.

use std::collections::HashMap;

use super::{Executions, activities};
use crate::finding::{Invariant, Report};
use crate::history::History;
use crate::log::Log;
use crate::{Kind, Place};

/// B2.
pub(super) fn one_record_per_emit(
    all: &Executions<'_>,
    history: &History<'_>,
    log: &Log<'_>,
    report: &mut Report,
) {
    for run in all.runs.values() {
        let mut ends = HashMap::new();
        for seen in run.events() {
            if let Some(scheduled) = activities::end_of(&seen.event.kind) {
                ends.insert(scheduled, seen);
            }
        }
        for seen in run.events() {
            let Kind::ActivityScheduled { activity_id, emit: Some(emit), .. } = &seen.event.kind
            else {
                continue;
            };
            report.look(Invariant::B2);
            let places = log.places.get(&emit.value).map_or(&[][..], Vec::as_slice);
            let end = ends.get(&seen.event.id).map(|seen| &seen.event.kind);
            let completed = match end {
                Some(Kind::ActivityCompleted { record, .. }) => Some(record.as_ref()),
                _ => None,
            };
            let read = history.last_look.is_some() && log.was_read(&emit.topic);
            let wrong = match completed {
                _ if places.len() > 1 => Some(format!("is in the log {} times", places.len())),
                Some(_) if read && places.is_empty() => {
                    Some("is completed and is not in the log".into())
                }
                Some(Some(told)) if !places.is_empty() && !is_at(told, places) => {
                    Some(format!("is completed with {told:?} and is at {places:?}"))
                }
                // The end of an activity can be left behind when its run closes.
                None if read
                    && run.closed().is_none()
                    && !run.may_hold_back()
                    && !places.is_empty() =>
                {
                    Some(format!("is in the log and ended as {end:?}"))
                }
                _ => None,
            };
            if let Some(wrong) = wrong {
                report.find(Invariant::B2, [seen.by], || {
                    format!(
                        "{}: activity {activity_id}, which emits value {} to {}, {wrong}",
                        run.name(),
                        emit.value,
                        emit.topic
                    )
                });
            }
        }
    }
}

fn is_at(told: &Place, places: &[((&str, i32), i64)]) -> bool {
    let told = ((told.topic.as_str(), told.partition), told.offset);
    places.contains(&told)
}
