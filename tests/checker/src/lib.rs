//! What clients saw, written down line by line, and the judge of it.
//!
//! A history is made by clients only: what they asked, what they were told, what was done to the
//! processes meanwhile. Nothing of the server is used here, neither its code nor its files, so a
//! mistake of the server cannot be repeated by its judge.
//!
//! Whoever writes a history keeps to this, or the judge accuses the innocent:
//!
//! * A request is written before its first byte is sent, with the sends of one producer in the
//!   order in which it sends them; its answer when it is there.
//! * [`Outcome::Fail`] says "definitely not done". A library that repeats requests by itself may
//!   turn "done, answer lost" into "not found": that is [`Outcome::Unknown`].
//! * Values are unique in the run, and readable in what is read. A repetition keeps the value and
//!   the request id; another request id is another request.
//! * A process that is started again has another number, and its own file.
//! * What is done to the node, to clients and to their connections is written too: lateness and
//!   repetition are judged by it.
//! * At the end everything is read: [`Phase::Final`] says what.
//!
//! The simulation keeps a history in memory ([`Recorder`]); real processes write JSON lines that
//! survive their own death ([`Writer`], [`read`]).

mod call;
mod check;
mod declaration;
mod event;
mod executions;
mod file;
mod finding;
mod history;
mod line;
mod log;
mod outcome;
mod record;
mod recorder;

pub use call::{ActivityEnd, Call, WorkflowTaskEnd};
pub use check::check;
pub use declaration::{Budgets, Declaration, OnClosed, Route, RouteMode};
pub use event::{Emit, Event, Kind, RunEnd};
pub use file::{Error, Writer, read};
pub use finding::{Finding, Invariant, Report, Tally};
pub use line::{Fault, Line, OpId, Party, Phase};
pub use outcome::{Answer, Outcome, PendingActivity, Refusal, Status};
pub use record::{Delivery, Partition, Place, Record, digest};
pub use recorder::{Recorder, Sink};
