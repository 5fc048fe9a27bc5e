//! Requests that have been carried out, per workflow id: a repeated signal or start does nothing.
//! They outlive the run (temporal#4021, #4028), within a bound of count and time.

use crate::limits::Limits;
use base::{RunId, Timestamp, Uuid};
use std::collections::{HashMap, VecDeque};

/// The ids of one workflow id, as hashes. A signal with the id of a start is another request.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct RequestIds {
    signals: Remembered<()>,
    starts: Remembered<RunId>,
}

#[derive(PartialEq)]
struct Remembered<V> {
    known: HashMap<Uuid, V>,
    order: VecDeque<(Timestamp, Uuid)>,
}

/// The hash under which an id is remembered.
pub(crate) fn hash(request_id: &str) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, request_id.as_bytes())
}

impl RequestIds {
    /// Whether a signal with this id was carried out.
    pub(crate) fn has_signaled(&self, request_id: &str) -> bool {
        !request_id.is_empty() && self.signals.known.contains_key(&hash(request_id))
    }

    /// The run that a start with this id has created.
    pub(crate) fn started(&self, request_id: &str) -> Option<RunId> {
        if request_id.is_empty() {
            return None;
        }
        self.starts.known.get(&hash(request_id)).copied()
    }

    pub(crate) fn remember_signal(&mut self, request: Uuid, at: Timestamp, limits: &Limits) {
        self.signals.insert(request, (), at, limits);
    }

    pub(crate) fn remember_start(
        &mut self,
        request_id: &str,
        run: RunId,
        at: Timestamp,
        limits: &Limits,
    ) {
        if !request_id.is_empty() {
            self.starts.insert(hash(request_id), run, at, limits);
        }
    }
}

impl<V> Remembered<V> {
    fn insert(&mut self, request: Uuid, value: V, at: Timestamp, limits: &Limits) {
        if self.known.insert(request, value).is_none() {
            self.order.push_back((at, request));
        }
        while let Some((seen, oldest)) = self.order.front().copied() {
            let old = at.since(seen) > limits.request_ids_ttl;
            if !old && self.order.len() <= limits.request_ids_count {
                break;
            }
            self.order.pop_front();
            self.known.remove(&oldest);
        }
    }
}

impl<V> Default for Remembered<V> {
    fn default() -> Remembered<V> {
        Remembered { known: HashMap::new(), order: VecDeque::new() }
    }
}

impl<V> std::fmt::Debug for Remembered<V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.order.fmt(f)
    }
}
