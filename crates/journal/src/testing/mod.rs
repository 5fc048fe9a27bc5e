//! A simulated disk that keeps what is written and what is synced apart.
//!
//! * A write is visible at once, and durable after `sync_data` of its file. A name is visible at
//!   once, and durable after `sync_dir`.
//! * [`SimDisk::crash_with`] gives the disk as it may be after a power cut: of what was not synced,
//!   all, nothing, some writes, some sectors of 512 bytes, the beginnings of writes, or the later
//!   writes and not the earlier ones are there; a file may have gained length without its bytes;
//!   names are lost in order or one by one. What is assumed is written in [`Loss`], [`NameLoss`]
//!   and [`Gained`].
//! * [`SimDisk::restart`] gives the disk as it is after the process was killed: nothing visible is
//!   lost.
//! * After a failed `sync_data` the bytes stay visible, but no later sync makes them durable, and
//!   other openings of the file learn of it at their next sync. This is what Linux does. The same
//!   goes for names after a failed `sync_dir`, which is stricter than Linux: there the file system
//!   goes read-only.
//! * Every call that changes something is counted, and any can be made to fail, to do half, or to
//!   be the last one the machine carries out. A hook may decide at each call, and take its time.

mod crash;
mod fault;
mod names;
mod state;

pub use crash::{Crash, Gained, Loss, NameLoss, SECTOR_BYTES};
pub use fault::{Call, CallKind, Fault, Hook};

use crate::{Disk, DiskFile};
use fault::error_of;
use names::NameChange;
use state::{Node, State};
use std::io::{self, ErrorKind, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A directory in memory. Clones are the same directory.
#[derive(Clone, Default)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

/// An open file of a [`SimDisk`].
pub struct SimFile {
    disk: SimDisk,
    node: usize,
    /// Failed syncs this opening knows of.
    seen: Mutex<u64>,
}

impl SimDisk {
    /// An empty directory with endless room.
    pub fn new(salt: u64) -> SimDisk {
        let disk = SimDisk::default();
        disk.locked().salt = salt;
        disk
    }

    /// Limits the room for all files together, or lifts the limit.
    pub fn set_room_bytes(&self, room_bytes: Option<u64>) {
        self.locked().room_bytes = room_bytes;
    }

    /// Has `allocate` be something this file system does not know.
    pub fn forbid_allocation(&self) {
        self.locked().cannot_allocate = true;
    }

    /// Refuses every call that changes something, or takes them again.
    pub fn set_read_only(&self, read_only: bool) {
        self.locked().read_only = read_only;
    }

    /// Whether every call that changes something is refused.
    pub fn is_read_only(&self) -> bool {
        self.locked().read_only
    }

    /// Has a read give no more than this at once.
    pub fn set_read_bytes_max(&self, bytes: Option<usize>) {
        self.locked().read_bytes_max = bytes;
    }

    /// Calls so far that changed something, or tried to.
    pub fn calls(&self) -> u64 {
        self.locked().calls
    }

    /// Reads so far.
    pub fn reads(&self) -> u64 {
        self.locked().reads
    }

    /// Has call number `call`, counted from 0, go wrong.
    pub fn fail_at(&self, call: u64, fault: Fault) {
        self.locked().fault = Some((call, fault));
    }

    /// Has `hook` asked at each call, reads included. A hook stays over crashes and restarts.
    pub fn set_hook(&self, hook: Option<Hook>) {
        self.locked().hook = hook;
    }

    /// The disk as it is after a power cut now. This one stays as it is.
    pub fn crash(&self, loss: Loss, seed: u64) -> SimDisk {
        let (names, gained) = (NameLoss::LatestFirst, Gained::Nothing);
        self.crash_with(Crash { loss, names, gained, seed })
    }

    /// The same, with a choice of everything that can be lost or found.
    pub fn crash_with(&self, crash: Crash) -> SimDisk {
        let mut state = self.locked().clone();
        state.crash(crash);
        SimDisk::revived(state)
    }

    /// The disk as it is after the process was killed now. This one stays as it is.
    pub fn restart(&self) -> SimDisk {
        SimDisk::revived(self.locked().clone())
    }

    /// Names of all files, sorted.
    pub fn names(&self) -> Vec<String> {
        self.locked().names.keys().cloned().collect()
    }

    /// What is in a file; nothing if there is none.
    pub fn contents(&self, name: &str) -> Vec<u8> {
        let state = self.locked();
        state.names.get(name).map(|node| state.nodes[*node].visible.to_vec()).unwrap_or_default()
    }

    /// Puts a file there, durably, as damage or a backup would.
    pub fn replace(&self, name: &str, contents: Vec<u8>) {
        let mut state = self.locked();
        let contents = Arc::new(contents);
        let node = Node { synced: Arc::clone(&contents), visible: contents, ..Node::default() };
        let number = state.nodes.len();
        state.nodes.push(node);
        state.names.insert(name.into(), number);
        state.synced_names.insert(name.into(), number);
    }

    /// Takes a file away, durably.
    pub fn lose(&self, name: &str) {
        let mut state = self.locked();
        state.names.remove(name);
        state.synced_names.remove(name);
    }

    fn revived(mut state: State) -> SimDisk {
        state.calls = 0;
        state.reads = 0;
        state.fault = None;
        state.stopped = false;
        SimDisk { state: Arc::new(Mutex::new(state)) }
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a call and asks what goes wrong with it.
    fn call(
        &self,
        kind: CallKind,
        file: &str,
    ) -> io::Result<(MutexGuard<'_, State>, Option<Fault>)> {
        let mut state = self.locked();
        let number = state.next_number(kind);
        let said = match state.hook.clone() {
            None => None,
            Some(hook) => {
                drop(state);
                let said = hook(Call { number, kind, file });
                state = self.locked();
                said
            }
        };
        let fault = state.fault_of(number, kind, said)?;
        Ok((state, fault))
    }

    /// The same for a call that is done whole or not at all.
    fn change(
        &self,
        kind: CallKind,
        file: &str,
        change: impl FnOnce(&mut State) -> io::Result<()>,
    ) -> io::Result<()> {
        let (mut state, fault) = self.call(kind, file)?;
        match fault {
            None | Some(Fault::Short) => change(&mut state),
            Some(Fault::Error(_) | Fault::Stop) => {
                if kind == CallKind::SyncDirectory && !state.stopped {
                    state.unsynced_names.clear();
                }
                fault.map_or(Ok(()), |fault| Err(error_of(fault)))
            }
            Some(fault @ (Fault::LateError(_) | Fault::StopAfter)) => {
                change(&mut state)?;
                Err(error_of(fault))
            }
        }
    }

    fn file(&self, node: usize) -> SimFile {
        let seen = Mutex::new(self.locked().nodes[node].failed_syncs);
        SimFile { disk: self.clone(), node, seen }
    }

    /// The name of a file now; nothing if it has none.
    fn name_of(&self, node: usize) -> String {
        let state = self.locked();
        let named = state.names.iter().find(|(_, named)| **named == node);
        named.map(|(name, _)| name.clone()).unwrap_or_default()
    }
}

impl Disk for SimDisk {
    type File = SimFile;

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.names())
    }

    fn create(&self, name: &str) -> io::Result<SimFile> {
        let mut made = 0;
        self.change(CallKind::Create, name, |state| {
            if state.names.contains_key(name) {
                return Err(ErrorKind::AlreadyExists.into());
            }
            made = state.nodes.len();
            state.nodes.push(Node::default());
            state.change_names(NameChange::Made { name: name.into(), node: made });
            Ok(())
        })?;
        Ok(self.file(made))
    }

    fn open(&self, name: &str) -> io::Result<SimFile> {
        let node = self.locked().names.get(name).copied().ok_or(ErrorKind::NotFound)?;
        Ok(self.file(node))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.change(CallKind::Rename, from, |state| {
            let node = *state.names.get(from).ok_or(ErrorKind::NotFound)?;
            state.change_names(NameChange::Renamed { from: from.into(), to: to.into(), node });
            Ok(())
        })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.change(CallKind::Remove, name, |state| {
            if !state.names.contains_key(name) {
                return Err(ErrorKind::NotFound.into());
            }
            state.change_names(NameChange::Removed { name: name.into() });
            Ok(())
        })
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.change(CallKind::SyncDirectory, "", |state| {
            state.sync_names();
            Ok(())
        })
    }

    fn free_bytes(&self) -> io::Result<u64> {
        Ok(self.locked().free_bytes())
    }

    fn salt(&self) -> u64 {
        self.locked().salt
    }

    fn describe(&self, name: &str) -> String {
        name.into()
    }
}

impl DiskFile for SimFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.locked().nodes[self.node].visible.len() as u64)
    }

    fn read_at(&self, into: &mut [u8], position: u64) -> io::Result<usize> {
        let (state, fault) = self.disk.call(CallKind::Read, &self.disk.name_of(self.node))?;
        if let Some(fault) = fault {
            return Err(error_of(fault));
        }
        let from = usize::try_from(position).unwrap_or(usize::MAX);
        let bytes = state.nodes[self.node].visible.get(from..).unwrap_or_default();
        let most = state.read_bytes_max.unwrap_or(usize::MAX).max(1);
        let count = bytes.len().min(into.len()).min(most);
        into[..count].copy_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn write_at(&self, slices: &[IoSlice<'_>], position: u64) -> io::Result<usize> {
        let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
        let (mut state, fault) = self.disk.call(CallKind::Write, &self.disk.name_of(self.node))?;
        state.write(self.node, &bytes, position, fault)
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        self.disk.change(CallKind::Allocate, &self.disk.name_of(self.node), |state| {
            if state.cannot_allocate {
                return Err(ErrorKind::Unsupported.into());
            }
            state.claim(self.node, bytes)?;
            let node = &mut state.nodes[self.node];
            node.allocated = node.allocated.max(bytes);
            Ok(())
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        let (mut state, fault) = self.disk.call(CallKind::Sync, &self.disk.name_of(self.node))?;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        state.sync(self.node, &mut seen, fault)
    }
}
