//! What a power cut leaves.
//!
//! Assumed of the hardware: a sector of [`SECTOR_BYTES`] is written whole or not at all, and what
//! was synced stays. Nothing is assumed about the order of what was not synced, within a file or
//! between files and names.

use super::names::NameChange;
use super::state::{Node, State, put};
use base::{Entropy, SeededEntropy};
use std::collections::BTreeMap;
use std::sync::Arc;

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
    /// Of each write a part from its beginning is there.
    Halves,
    /// Of each file's writes the latest are there, and none before them: written out of order.
    Backwards,
}

impl Loss {
    /// All kinds.
    pub const ALL: [Loss; 6] = [
        Loss::Nothing,
        Loss::Everything,
        Loss::Writes,
        Loss::Sectors,
        Loss::Halves,
        Loss::Backwards,
    ];
}

/// What happens to names that were not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameLoss {
    /// They are lost from the latest change backwards. The file systems with a journal do this
    /// (ext4, XFS, btrfs): changes of names are logged in order.
    LatestFirst,
    /// Each change is there or not, and a rename may be half done: both names are there. POSIX
    /// promises no more, and file systems without a journal do no better. A renamed file never
    /// loses both names: no file system in use removes the old name before it writes the new one.
    Each,
}

/// What is found where a file has grown, but its new bytes are not there: the length was written
/// and the data was not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gained {
    /// The file has not grown further than its bytes; gaps are zeros.
    Nothing,
    /// Zeros.
    Zeros,
    /// Random bytes.
    Junk,
    /// Sectors of this disk's other files, removed ones too: blocks that were used before.
    Recycled,
}

impl Gained {
    /// All kinds.
    pub const ALL: [Gained; 4] = [Gained::Nothing, Gained::Zeros, Gained::Junk, Gained::Recycled];
}

/// A power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crash {
    /// What happens to bytes that were not synced.
    pub loss: Loss,
    /// What happens to names that were not synced.
    pub names: NameLoss,
    /// What is found where a file has grown without its bytes.
    pub gained: Gained,
    /// Decides what is random. The same seed leaves the same disk.
    pub seed: u64,
}

impl State {
    /// Loses what the crash takes.
    pub(super) fn crash(&mut self, crash: Crash) {
        let entropy = SeededEntropy::new(crash.seed);
        let old: Vec<Arc<Vec<u8>>> = match crash.gained {
            Gained::Recycled => self.nodes.iter().map(|node| node.synced.clone()).collect(),
            _ => Vec::new(),
        };
        for node in &mut self.nodes {
            if node.unsynced.is_empty() {
                node.visible = Arc::clone(&node.synced);
                continue;
            }
            lose_bytes(node, crash, &old, &entropy);
        }
        let changes = std::mem::take(&mut self.unsynced_names);
        lose_names(&mut self.synced_names, &changes, crash, &entropy);
        self.names.clone_from(&self.synced_names);
    }
}

fn lose_bytes(node: &mut Node, crash: Crash, old: &[Arc<Vec<u8>>], entropy: &SeededEntropy) {
    let writes = std::mem::take(&mut node.unsynced);
    let left = Arc::make_mut(&mut node.synced);
    let grows_to = writes.iter().map(|(position, bytes)| position + bytes.len()).max();
    if crash.gained != Gained::Nothing
        && let Some(end) = grows_to.filter(|end| *end > left.len())
    {
        let start = left.len();
        left.resize(end, 0);
        fill(left, start, crash.gained, old, entropy);
    }
    let first = match crash.loss {
        Loss::Backwards => below(entropy, writes.len() + 1),
        _ => 0,
    };
    for (position, bytes) in &writes[first..] {
        keep_some(left, *position, bytes, crash.loss, entropy);
    }
    node.visible = Arc::clone(&node.synced);
}

/// What lies in freshly allocated blocks, from `start` on.
fn fill(
    left: &mut [u8],
    start: usize,
    gained: Gained,
    old: &[Arc<Vec<u8>>],
    entropy: &SeededEntropy,
) {
    let sectors = start / SECTOR_BYTES..left.len().div_ceil(SECTOR_BYTES);
    for sector in sectors {
        let from = (sector * SECTOR_BYTES).max(start);
        let to = ((sector + 1) * SECTOR_BYTES).min(left.len());
        match gained {
            Gained::Nothing | Gained::Zeros => {}
            Gained::Junk => left[from..to].fill_with(|| entropy.next_u64() as u8),
            Gained::Recycled => {
                // Of the same place as often as not: the cruellest choice.
                let file = &old[below(entropy, old.len())];
                let shift = match below(entropy, 2) {
                    0 => from,
                    _ => below(entropy, file.len() / SECTOR_BYTES + 1) * SECTOR_BYTES,
                };
                let bytes = file.get(shift..).unwrap_or_default();
                let count = bytes.len().min(to - from);
                left[from..from + count].copy_from_slice(&bytes[..count]);
            }
        }
    }
}

/// Carries out what is left of an unsynced write.
fn keep_some(
    contents: &mut Vec<u8>,
    position: usize,
    bytes: &[u8],
    loss: Loss,
    entropy: &SeededEntropy,
) {
    match loss {
        Loss::Nothing | Loss::Backwards => put(contents, position, bytes),
        Loss::Everything => {}
        Loss::Writes => {
            if below(entropy, 2) == 0 {
                put(contents, position, bytes);
            }
        }
        Loss::Halves => put(contents, position, &bytes[..below(entropy, bytes.len() + 1)]),
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

fn lose_names(
    synced: &mut BTreeMap<String, usize>,
    changes: &[NameChange],
    crash: Crash,
    entropy: &SeededEntropy,
) {
    let kept = match (crash.loss, crash.names) {
        (Loss::Nothing, _) => changes.len(),
        (Loss::Everything, _) => 0,
        (_, NameLoss::LatestFirst) => changes.len() - below(entropy, changes.len() + 1),
        (_, NameLoss::Each) => {
            for change in changes {
                match below(entropy, 4) {
                    0 => {}
                    1 => change.half_done().carry_out(synced),
                    _ => change.carry_out(synced),
                }
            }
            return;
        }
    };
    for change in &changes[..kept] {
        change.carry_out(synced);
    }
}

fn below(entropy: &SeededEntropy, bound: usize) -> usize {
    (entropy.next_u64() % bound as u64) as usize
}
