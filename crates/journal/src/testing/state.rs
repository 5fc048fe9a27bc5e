//! The simulated disk's bytes and names: what is visible, what is synced, and what each call does
//! to them.

use super::fault::{CallKind, Fault, Hook, error_of};
use super::names::NameChange;
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::sync::Arc;

#[derive(Clone, Default)]
pub(super) struct State {
    pub(super) nodes: Vec<Node>,
    pub(super) names: BTreeMap<String, usize>,
    pub(super) synced_names: BTreeMap<String, usize>,
    pub(super) unsynced_names: Vec<NameChange>,
    pub(super) room_bytes: Option<u64>,
    pub(super) cannot_allocate: bool,
    pub(super) read_only: bool,
    pub(super) read_bytes_max: Option<usize>,
    pub(super) salt: u64,
    pub(super) calls: u64,
    pub(super) reads: u64,
    pub(super) fault: Option<(u64, Fault)>,
    pub(super) hook: Option<Hook>,
    /// No call does anything any more.
    pub(super) stopped: bool,
}

/// A file, whatever it is called. Its bytes are shared between disks until they differ.
#[derive(Clone, Default)]
pub(super) struct Node {
    pub(super) visible: Arc<Vec<u8>>,
    pub(super) synced: Arc<Vec<u8>>,
    pub(super) unsynced: Vec<(usize, Vec<u8>)>,
    pub(super) allocated: u64,
    /// How many syncs have failed. Linux tells each opening once.
    pub(super) failed_syncs: u64,
}

impl Node {
    fn used(&self) -> u64 {
        self.allocated.max(self.visible.len() as u64)
    }
}

impl State {
    /// The number of the next call of this kind.
    pub(super) fn next_number(&mut self, kind: CallKind) -> u64 {
        let counter = match kind {
            CallKind::Read => &mut self.reads,
            _ => &mut self.calls,
        };
        *counter += 1;
        *counter - 1
    }

    /// What goes wrong with a call. `said` is what the hook wants.
    pub(super) fn fault_of(
        &mut self,
        number: u64,
        kind: CallKind,
        said: Option<Fault>,
    ) -> io::Result<Option<Fault>> {
        if kind == CallKind::Read {
            return Ok(said);
        }
        if self.stopped {
            return Err(error_of(Fault::Stop));
        }
        if self.read_only {
            return Err(ErrorKind::ReadOnlyFilesystem.into());
        }
        let planned = self.fault.filter(|(due, _)| *due == number).map(|(_, fault)| fault);
        let fault = said.or(planned);
        self.stopped = matches!(fault, Some(Fault::Stop | Fault::StopAfter));
        Ok(fault)
    }

    pub(super) fn free_bytes(&self) -> u64 {
        let used: u64 = self.names.values().map(|node| self.nodes[*node].used()).sum();
        self.room_bytes.map_or(u64::MAX, |room| room.saturating_sub(used))
    }

    pub(super) fn change_names(&mut self, change: NameChange) {
        change.carry_out(&mut self.names);
        self.unsynced_names.push(change);
    }

    pub(super) fn sync_names(&mut self) {
        for change in std::mem::take(&mut self.unsynced_names) {
            change.carry_out(&mut self.synced_names);
        }
    }

    /// Makes sure that a file of `bytes` has room.
    pub(super) fn claim(&mut self, node: usize, bytes: u64) -> io::Result<()> {
        let more = bytes.saturating_sub(self.nodes[node].used());
        if more > self.free_bytes() {
            return Err(ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    /// Writes, as far as the fault lets it; says how much.
    pub(super) fn write(
        &mut self,
        node: usize,
        bytes: &[u8],
        position: u64,
        fault: Option<Fault>,
    ) -> io::Result<usize> {
        self.claim(node, position + bytes.len() as u64)?;
        let position = usize::try_from(position).map_err(|_| ErrorKind::FileTooLarge)?;
        let done = match fault {
            Some(Fault::Error(_)) => bytes.len() / 2,
            Some(Fault::Short) => bytes.len().div_ceil(2),
            None | Some(Fault::LateError(_) | Fault::Stop | Fault::StopAfter) => bytes.len(),
        };
        let node = &mut self.nodes[node];
        put(Arc::make_mut(&mut node.visible), position, &bytes[..done]);
        node.unsynced.push((position, bytes[..done].to_vec()));
        match fault {
            None | Some(Fault::Short) => Ok(done),
            Some(fault) => Err(error_of(fault)),
        }
    }

    /// Syncs a file, seen from an opening that knows of `seen` failures.
    pub(super) fn sync(
        &mut self,
        node: usize,
        seen: &mut u64,
        fault: Option<Fault>,
    ) -> io::Result<()> {
        let node = &mut self.nodes[node];
        match fault {
            // The machine stops before anything is known to be on disk: the crash decides.
            Some(Fault::Stop) => return Err(error_of(Fault::Stop)),
            Some(fault @ Fault::Error(_)) => {
                node.unsynced.clear();
                node.failed_syncs += 1;
                *seen = node.failed_syncs;
                return Err(error_of(fault));
            }
            None | Some(Fault::Short | Fault::LateError(_) | Fault::StopAfter) => {}
        }
        if *seen < node.failed_syncs {
            *seen = node.failed_syncs;
            node.unsynced.clear();
            return Err(io::Error::other("an earlier write-back has failed"));
        }
        for (position, bytes) in std::mem::take(&mut node.unsynced) {
            put(Arc::make_mut(&mut node.synced), position, &bytes);
        }
        match fault {
            Some(fault @ (Fault::LateError(_) | Fault::StopAfter)) => Err(error_of(fault)),
            _ => Ok(()),
        }
    }
}

/// Writes `bytes` at `position`; what lies between becomes zeros.
pub(super) fn put(contents: &mut Vec<u8>, position: usize, bytes: &[u8]) {
    let end = position + bytes.len();
    if contents.len() < end {
        contents.resize(end, 0);
    }
    contents[position..end].copy_from_slice(bytes);
}
