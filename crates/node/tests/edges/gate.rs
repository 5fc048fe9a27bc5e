//! A disk whose syncs the test holds back, lets through, or never lets return.

use journal::testing::{SimDisk, SimFile};
use journal::{Disk, DiskFile};
use std::io::{self, IoSlice};
use std::sync::{Arc, Condvar, Mutex};

/// A simulated disk behind a gate. Clones share both.
#[derive(Clone)]
pub(crate) struct GateDisk {
    pub(crate) disk: SimDisk,
    gate: Arc<Gate>,
}

#[derive(Default)]
struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum State {
    #[default]
    Open,
    Held,
    Cut,
}

impl GateDisk {
    /// The gate is open.
    pub(crate) fn new(disk: SimDisk) -> GateDisk {
        GateDisk { disk, gate: Arc::default() }
    }

    /// No sync returns until the hold is dropped.
    pub(crate) fn hold(&self) -> Hold {
        self.set(State::Held);
        Hold(self.clone())
    }

    /// The power is cut: what was held fails. Take the disk's picture before.
    pub(crate) fn cut(&self) {
        self.set(State::Cut);
    }

    fn set(&self, state: State) {
        *self.gate.state.lock().unwrap() = state;
        self.gate.changed.notify_all();
    }
}

/// Holds syncs back. A test that fails lets go of it before it waits for its node.
pub(crate) struct Hold(GateDisk);

impl Drop for Hold {
    fn drop(&mut self) {
        let mut state = self.0.gate.state.lock().unwrap();
        if *state == State::Held {
            *state = State::Open;
        }
        self.0.gate.changed.notify_all();
    }
}

impl Gate {
    fn pass(&self) -> io::Result<()> {
        let state = self.state.lock().unwrap();
        let state = self.changed.wait_while(state, |state| *state == State::Held).unwrap();
        if *state == State::Cut {
            return Err(io::Error::other("the power is cut"));
        }
        Ok(())
    }
}

pub(crate) struct GateFile {
    file: SimFile,
    gate: Arc<Gate>,
}

impl GateDisk {
    fn file(&self, file: SimFile) -> GateFile {
        GateFile { file, gate: Arc::clone(&self.gate) }
    }
}

impl Disk for GateDisk {
    type File = GateFile;

    fn list(&self) -> io::Result<Vec<String>> {
        self.disk.list()
    }

    fn create(&self, name: &str) -> io::Result<GateFile> {
        Ok(self.file(self.disk.create(name)?))
    }

    fn open(&self, name: &str) -> io::Result<GateFile> {
        Ok(self.file(self.disk.open(name)?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.gate.pass()?;
        self.disk.sync_dir()
    }

    fn free_bytes(&self) -> io::Result<u64> {
        self.disk.free_bytes()
    }

    fn salt(&self) -> u64 {
        self.disk.salt()
    }

    fn describe(&self, name: &str) -> String {
        self.disk.describe(name)
    }
}

impl DiskFile for GateFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read_at(&self, into: &mut [u8], position: u64) -> io::Result<usize> {
        self.file.read_at(into, position)
    }

    fn write_at(&self, slices: &[IoSlice<'_>], position: u64) -> io::Result<usize> {
        self.file.write_at(slices, position)
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        self.file.allocate(bytes)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.gate.pass()?;
        self.file.sync_data()
    }
}
