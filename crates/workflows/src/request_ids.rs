//! Request ids that have been carried out, per workflow id: a repeated signal or start does
//! nothing. They outlive the run (temporal#4021, #4028), within a bound of count and time.

use crate::limits::Limits;
use base::{Timestamp, Uuid};
use std::collections::{HashSet, VecDeque};

/// The ids of one workflow id, as hashes.
#[derive(Default, PartialEq)]
pub(crate) struct RequestIds {
    known: HashSet<Uuid>,
    order: VecDeque<(Timestamp, Uuid)>,
}

/// The hash under which an id is remembered.
pub(crate) fn hash(request_id: &str) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, request_id.as_bytes())
}

impl std::fmt::Debug for RequestIds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.order.fmt(f)
    }
}

impl RequestIds {
    pub(crate) fn contains(&self, request_id: &str) -> bool {
        !request_id.is_empty() && self.known.contains(&hash(request_id))
    }

    pub(crate) fn insert(&mut self, request: Uuid, at: Timestamp, limits: &Limits) {
        if self.known.insert(request) {
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
