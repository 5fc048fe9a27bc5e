//! What travels: the values of the records, the arguments of the activities, and a record's
//! identity. Shared by the demo process and its worker, as a team would share its schema.
//!
//! A record is named by (topic, partition, offset) and by nothing else: two records with the same
//! key and value are two facts.

use std::collections::HashMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use temporalio_common::protos::temporal::api::common::v1::Payload;

/// The topic of order records.
pub(crate) const ORDERS: &str = "orders";
/// The topic of payment records.
pub(crate) const PAYMENTS: &str = "payments";
/// The topic the sagas publish their outcomes to.
pub(crate) const OUTCOMES: &str = "order-events";
/// The record header that names the customer.
pub(crate) const CUSTOMER_HEADER: &str = "customer";
/// The signal header field in which a routed record's coordinates travel.
pub(crate) const RECORD_HEADER: &str = "mainstay-record";
/// The task queue of the demo's worker.
pub(crate) const TASK_QUEUE: &str = "orders";

/// What is to become of an order; the order record carries it, the saga obeys it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// Paid and shipped.
    Paid,
    /// The charge fails twice, then succeeds; shipped.
    Flaky,
    /// The charge fails for good: the reservation is released.
    Declined,
    /// The shipment fails for good: refund, then release.
    Undeliverable,
    /// Never paid: the timer fires; refund, then release.
    Unpaid,
}

/// How an order ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Outcome {
    /// Everything went well.
    Shipped,
    /// A step failed for good and what was done before it was undone.
    Compensated,
    /// No payment came in time and what was done was undone.
    TimedOut,
}

impl Kind {
    /// The one right outcome of an order of this kind.
    pub(crate) fn outcome(self) -> Outcome {
        match self {
            Self::Paid | Self::Flaky => Outcome::Shipped,
            Self::Declined | Self::Undeliverable => Outcome::Compensated,
            Self::Unpaid => Outcome::TimedOut,
        }
    }
}

/// A record's identity.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct RecordId {
    /// The topic it is in.
    pub(crate) topic: String,
    /// The partition it is in.
    pub(crate) partition: i32,
    /// Its offset there.
    pub(crate) offset: i64,
}

impl RecordId {
    /// Reads the coordinates which a route put into a signal's header; none where there are none.
    pub(crate) fn of_signal(headers: &HashMap<String, Payload>) -> Option<Self> {
        serde_json::from_slice(&headers.get(RECORD_HEADER)?.data).ok()
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}@{}", self.topic, self.partition, self.offset)
    }
}

/// The value of an order record.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) order: String,
    pub(crate) customer: String,
    pub(crate) amount_cents: u64,
    pub(crate) kind: Kind,
    /// How long the saga waits for the payment.
    pub(crate) payment_timeout_ms: u64,
    /// A planted fault: the saga leaves out the release of the reservation.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) skip_compensation: bool,
}

/// The value of a payment record.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Payment {
    pub(crate) order: String,
    pub(crate) amount_cents: u64,
}

/// The value of an outcome record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OutcomeEvent {
    /// The order.
    pub(crate) order: String,
    /// How it ended.
    pub(crate) outcome: Outcome,
    /// The first run of the saga which says so.
    pub(crate) first_run: String,
    /// Every record that reached this saga as a signal, in order of arrival.
    pub(crate) records: Vec<RecordId>,
}

/// The argument of `mainstay.publish`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Publish {
    pub(crate) topic: String,
    pub(crate) key: String,
    pub(crate) value: OutcomeEvent,
}

/// The argument of every step of the saga and of the mailbox's note.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Call {
    /// First run of the calling workflow: with the activity's id it names the effect.
    pub(crate) first_run: String,
    pub(crate) kind: Option<Kind>,
    /// The records a mailbox handles with this call.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) records: Vec<RecordId>,
}

/// What a mailbox answers when asked, and what it carries into its next run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mailbox {
    /// Records handled since the first run.
    pub(crate) handled: u64,
    /// Runs so far, this one included.
    pub(crate) runs: u64,
    /// Records received and not handled yet.
    pub(crate) waiting: Vec<RecordId>,
}
