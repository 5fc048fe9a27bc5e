//! What can go wrong at a call, and who decides it.

use std::io::{self, ErrorKind};
use std::sync::Arc;

/// What happens at a chosen call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The call fails; of a write half is done. Later calls work.
    Error(ErrorKind),
    /// The call is done and fails nevertheless. Later calls work.
    LateError(ErrorKind),
    /// A write does half, and says so, as a system may do without a reason. Nothing happens to
    /// other calls.
    Short,
    /// The machine stops before this call has done anything: this and all later ones fail. A write
    /// of this call is on its way: the crash decides.
    Stop,
    /// The machine stops after this call has done its work: it and all later ones fail.
    StopAfter,
}

/// What a call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallKind {
    /// Makes a file.
    Create,
    /// Gives a file another name.
    Rename,
    /// Removes a file.
    Remove,
    /// Makes names durable.
    SyncDirectory,
    /// Keeps room.
    Allocate,
    /// Writes to a file.
    Write,
    /// Makes a file's bytes durable.
    Sync,
    /// Reads from a file. Counted apart from the others.
    Read,
}

/// One call of a disk.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// How many calls came before it. Reads have numbers of their own.
    pub number: u64,
    /// What it does.
    pub kind: CallKind,
    /// The file's name, before the call; of the directory, nothing.
    pub file: &'a str,
}

/// Is asked at each call, before it does anything and while no lock is held: it may take its time
/// (or move a virtual clock) for a slow disk, and say what goes wrong.
pub type Hook = Arc<dyn Fn(Call<'_>) -> Option<Fault> + Send + Sync>;

pub(super) fn error_of(fault: Fault) -> io::Error {
    match fault {
        Fault::Error(kind) | Fault::LateError(kind) => kind.into(),
        Fault::Short => ErrorKind::Interrupted.into(),
        Fault::Stop | Fault::StopAfter => io::Error::other("the simulated machine has stopped"),
    }
}
