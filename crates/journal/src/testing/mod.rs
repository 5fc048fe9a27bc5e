//! A simulated disk that keeps what is written and what is synced apart.
//!
//! * A write is visible at once, and durable after `sync_data` of its file. A name is visible at
//!   once, and durable after `sync_dir`.
//! * [`SimDisk::crash`] gives the disk as it may be after a power cut: of what was not synced, all,
//!   nothing, some whole writes or some sectors of 512 bytes are there. Names are lost from the
//!   latest change backwards, as journaling file systems do.
//! * [`SimDisk::restart`] gives the disk as it is after the process was killed: nothing visible is
//!   lost.
//! * After a failed `sync_data` the bytes stay visible, but no later sync makes them durable.
//!   This is what Linux does.
//! * Every call that changes something is counted, and the n-th can be made to fail, once or for
//!   ever.

use crate::{Disk, DiskFile};
use base::{Entropy, SeededEntropy};
use std::collections::BTreeMap;
use std::io::{self, ErrorKind, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Writes are atomic in units of this, and no larger ones.
pub const SECTOR_BYTES: usize = 512;

/// What happens to that which was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// All of it is there.
    Nothing,
    /// Nothing of it is there.
    Everything,
    /// Each write is there or not.
    Writes,
    /// Each sector of each write is there or not.
    Sectors,
}

impl Loss {
    /// All kinds.
    pub const ALL: [Loss; 4] = [Loss::Nothing, Loss::Everything, Loss::Writes, Loss::Sectors];
}

/// What happens at a chosen call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The call fails; of a write half is done. Later calls work.
    Error(ErrorKind),
    /// The machine stops: this call and all later ones fail. A write of this call may be there or
    /// not.
    Stop,
}

/// A directory in memory. Clones are the same directory.
#[derive(Clone, Default)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

/// An open file of a [`SimDisk`].
pub struct SimFile {
    state: Arc<Mutex<State>>,
    node: usize,
}

#[derive(Clone, Default)]
struct State {
    nodes: Vec<Node>,
    names: BTreeMap<String, usize>,
    synced_names: BTreeMap<String, usize>,
    /// `names` after each change that is not synced.
    unsynced_names: Vec<BTreeMap<String, usize>>,
    room_bytes: Option<u64>,
    cannot_allocate: bool,
    salt: u64,
    calls: u64,
    fault: Option<(u64, Fault)>,
}

#[derive(Clone, Default)]
struct Node {
    visible: Vec<u8>,
    synced: Vec<u8>,
    unsynced: Vec<(usize, Vec<u8>)>,
    allocated: u64,
}

impl Node {
    fn used(&self) -> u64 {
        self.allocated.max(self.visible.len() as u64)
    }
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

    /// Calls so far that changed something, or tried to.
    pub fn calls(&self) -> u64 {
        self.locked().calls
    }

    /// Has call number `call`, counted from 0, go wrong.
    pub fn fail_at(&self, call: u64, fault: Fault) {
        self.locked().fault = Some((call, fault));
    }

    /// The disk as it is after a power cut now. This one stays as it is.
    pub fn crash(&self, loss: Loss, seed: u64) -> SimDisk {
        let entropy = SeededEntropy::new(seed);
        let mut state = self.locked().clone();
        for node in &mut state.nodes {
            let mut left = std::mem::take(&mut node.synced);
            for (position, bytes) in std::mem::take(&mut node.unsynced) {
                keep_some(&mut left, position, &bytes, loss, &entropy);
            }
            node.visible.clone_from(&left);
            node.synced = left;
        }
        let lost = match loss {
            Loss::Nothing => 0,
            Loss::Everything => state.unsynced_names.len(),
            Loss::Writes | Loss::Sectors => below(&entropy, state.unsynced_names.len() + 1),
        };
        let kept = state.unsynced_names.len() - lost;
        state.unsynced_names.truncate(kept);
        state.names = state.unsynced_names.pop().unwrap_or(state.synced_names);
        state.unsynced_names.clear();
        state.synced_names = state.names.clone();
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
        state.names.get(name).map(|node| state.nodes[*node].visible.clone()).unwrap_or_default()
    }

    /// Puts a file there, durably, as damage or a backup would.
    pub fn replace(&self, name: &str, contents: Vec<u8>) {
        let mut state = self.locked();
        let node = Node { synced: contents.clone(), visible: contents, ..Node::default() };
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
        state.fault = None;
        SimDisk { state: Arc::new(Mutex::new(state)) }
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        locked(&self.state)
    }
}

impl State {
    /// Counts a call; says what goes wrong with it.
    fn call(&mut self) -> Option<Fault> {
        let call = self.calls;
        self.calls += 1;
        match self.fault? {
            (due, Fault::Stop) if call >= due => Some(Fault::Stop),
            (due, fault) if call == due => Some(fault),
            _ => None,
        }
    }

    fn call_or_fail(&mut self) -> io::Result<()> {
        self.call().map_or(Ok(()), |fault| Err(error_of(fault)))
    }

    fn free_bytes(&self) -> u64 {
        let used: u64 = self.names.values().map(|node| self.nodes[*node].used()).sum();
        self.room_bytes.map_or(u64::MAX, |room| room.saturating_sub(used))
    }

    fn names_changed(&mut self) {
        let names = self.names.clone();
        self.unsynced_names.push(names);
    }

    /// Makes sure that a file of `bytes` has room.
    fn claim(&mut self, node: usize, bytes: u64) -> io::Result<()> {
        let more = bytes.saturating_sub(self.nodes[node].used());
        if more > self.free_bytes() {
            return Err(ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    fn write(&mut self, node: usize, position: usize, bytes: &[u8]) {
        let node = &mut self.nodes[node];
        put(&mut node.visible, position, bytes);
        node.unsynced.push((position, bytes.to_vec()));
    }
}

impl Disk for SimDisk {
    type File = SimFile;

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.names())
    }

    fn create(&self, name: &str) -> io::Result<SimFile> {
        let mut state = self.locked();
        state.call_or_fail()?;
        if state.names.contains_key(name) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let node = state.nodes.len();
        state.nodes.push(Node::default());
        state.names.insert(name.into(), node);
        state.names_changed();
        Ok(SimFile { state: Arc::clone(&self.state), node })
    }

    fn open(&self, name: &str) -> io::Result<SimFile> {
        let node = self.locked().names.get(name).copied().ok_or(ErrorKind::NotFound)?;
        Ok(SimFile { state: Arc::clone(&self.state), node })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.locked();
        state.call_or_fail()?;
        let node = state.names.remove(from).ok_or(ErrorKind::NotFound)?;
        state.names.insert(to.into(), node);
        state.names_changed();
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.locked();
        state.call_or_fail()?;
        state.names.remove(name).ok_or(ErrorKind::NotFound)?;
        state.names_changed();
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut state = self.locked();
        state.call_or_fail()?;
        state.synced_names = state.names.clone();
        state.unsynced_names.clear();
        Ok(())
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
        Ok(locked(&self.state).nodes[self.node].visible.len() as u64)
    }

    fn read_at(&self, into: &mut [u8], position: u64) -> io::Result<usize> {
        let state = locked(&self.state);
        let from = usize::try_from(position).unwrap_or(usize::MAX);
        let bytes = state.nodes[self.node].visible.get(from..).unwrap_or_default();
        let count = bytes.len().min(into.len());
        into[..count].copy_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn write_all_at(&self, slices: &mut [IoSlice<'_>], position: u64) -> io::Result<()> {
        let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
        let mut state = locked(&self.state);
        let fault = state.call();
        state.claim(self.node, position + bytes.len() as u64)?;
        let position = usize::try_from(position).map_err(|_| ErrorKind::FileTooLarge)?;
        let done =
            if matches!(fault, Some(Fault::Error(_))) { bytes.len() / 2 } else { bytes.len() };
        state.write(self.node, position, &bytes[..done]);
        fault.map_or(Ok(()), |fault| Err(error_of(fault)))
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        let mut state = locked(&self.state);
        state.call_or_fail()?;
        if state.cannot_allocate {
            return Err(ErrorKind::Unsupported.into());
        }
        state.claim(self.node, bytes)?;
        let node = &mut state.nodes[self.node];
        node.allocated = node.allocated.max(bytes);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = locked(&self.state);
        match state.call() {
            // The machine stops before anything is known to be on disk: the crash decides.
            Some(Fault::Stop) => return Err(error_of(Fault::Stop)),
            Some(fault) => {
                state.nodes[self.node].unsynced.clear();
                return Err(error_of(fault));
            }
            None => {}
        }
        let node = &mut state.nodes[self.node];
        for (position, bytes) in std::mem::take(&mut node.unsynced) {
            put(&mut node.synced, position, &bytes);
        }
        Ok(())
    }
}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn error_of(fault: Fault) -> io::Error {
    match fault {
        Fault::Error(kind) => kind.into(),
        Fault::Stop => io::Error::other("the simulated machine has stopped"),
    }
}

/// Writes `bytes` at `position`; what lies between becomes zeros.
fn put(contents: &mut Vec<u8>, position: usize, bytes: &[u8]) {
    let end = position + bytes.len();
    if contents.len() < end {
        contents.resize(end, 0);
    }
    contents[position..end].copy_from_slice(bytes);
}

/// Carries out what is left of an unsynced write after a crash.
fn keep_some(
    contents: &mut Vec<u8>,
    position: usize,
    bytes: &[u8],
    loss: Loss,
    entropy: &SeededEntropy,
) {
    match loss {
        Loss::Nothing => put(contents, position, bytes),
        Loss::Everything => {}
        Loss::Writes => {
            if below(entropy, 2) == 0 {
                put(contents, position, bytes);
            }
        }
        Loss::Sectors => {
            let mut start = 0;
            while start < bytes.len() {
                // Sectors are counted from the beginning of the file, not of the write.
                let length = SECTOR_BYTES - (position + start) % SECTOR_BYTES;
                let end = bytes.len().min(start + length);
                if below(entropy, 2) == 0 {
                    put(contents, position + start, &bytes[start..end]);
                }
                start = end;
            }
        }
    }
}

fn below(entropy: &SeededEntropy, bound: usize) -> usize {
    (entropy.next_u64() % bound as u64) as usize
}
