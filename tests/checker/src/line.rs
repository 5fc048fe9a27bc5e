//! One line of a history: something that happened, and when.
//!
//! Times are microseconds of one clock that all writers of a run share (the wall clock of one
//! machine, or the simulation's), the same that the server's event times come from.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Call, Declaration, Outcome};

/// Names one request of one process: (process, number). Unique in a run, so that the files of
/// many processes can be read together. A process that is started again is another process and
/// takes a new number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct OpId(
    /// The process.
    pub u32,
    /// Its own count of requests.
    pub u32,
);

/// One line of a history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Line {
    /// What the run is about; the first line of one of its files.
    Declare(Declaration),
    /// A request is about to be made. Must be written before the first byte is sent.
    Invoke {
        /// Its name.
        op: OpId,
        /// When.
        at_us: i64,
        /// What is asked.
        call: Call,
    },
    /// What became of it. A request without this line is unknown: the client died, perhaps.
    Return {
        /// Which request.
        op: OpId,
        /// When.
        at_us: i64,
        /// What the client may believe.
        result: Outcome,
    },
    /// A worker runs the body of an activity: something that happens outside.
    Effect {
        /// When.
        at_us: i64,
        /// Which worker process.
        process: u32,
        /// The run that asked for the activity.
        run_id: String,
        /// The activity.
        activity_id: String,
        /// Its attempt, as the task said.
        attempt: u32,
    },
    /// Something is done to a party; it lasts until the party has recovered.
    Fault {
        /// When it began (not later than it really did).
        at_us: i64,
        /// To whom.
        party: Party,
        /// What.
        fault: Fault,
    },
    /// The party works again (a node answers, a paused process runs, the disk takes writes).
    Recovered {
        /// When (not earlier than it really did).
        at_us: i64,
        /// Who.
        party: Party,
    },
    /// The run enters its next part.
    Phase {
        /// When.
        at_us: i64,
        /// Which part.
        phase: Phase,
    },
}

/// Who a fault happens to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Party {
    /// The server.
    Node,
    /// A client or worker process, by its number in [`OpId`].
    Process(u32),
    /// What lies between a client process and the server.
    Network(u32),
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The process is ended by force.
    Kill,
    /// The process is asked to end.
    Stop,
    /// What was not synced may be gone.
    PowerCut,
    /// The process stands still.
    Pause,
    /// Writes find no room.
    DiskFull,
    /// Writes or syncs fail.
    DiskError,
    /// Writes or syncs take long.
    DiskSlow,
    /// Connections break, or answers do not arrive.
    Cut,
    /// More is asked than can be done.
    Overload,
    /// The clock jumps.
    Clock,
}

/// The parts of a run after the noise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Faults have stopped, all parties work; what is open gets time to end.
    Calm,
    /// Nothing but reading from here on: each partition ([`Call::ReadLog`]), each run
    /// ([`Call::History`], [`Call::Describe`]), each committed offset. Without this line what only
    /// an end can show (lost, stuck, missing) is not judged.
    Final,
}

impl fmt::Display for OpId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.0, self.1)
    }
}
