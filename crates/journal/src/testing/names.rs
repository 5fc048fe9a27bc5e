//! Changes of names that are not durable yet.

use std::collections::BTreeMap;

/// A change of the directory.
#[derive(Clone)]
pub(super) enum NameChange {
    Made { name: String, node: usize },
    Renamed { from: String, to: String, node: usize },
    Removed { name: String },
}

impl NameChange {
    pub(super) fn carry_out(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            NameChange::Made { name, node } => {
                names.insert(name.clone(), *node);
            }
            NameChange::Renamed { from, to, node } => {
                names.insert(to.clone(), *node);
                // Not if that name means another file by now: an earlier change was lost.
                if names.get(from) == Some(node) {
                    names.remove(from);
                }
            }
            NameChange::Removed { name } => {
                names.remove(name);
            }
        }
    }

    /// The change as it is when only its first step was done.
    pub(super) fn half_done(&self) -> NameChange {
        match self {
            NameChange::Renamed { to, node, .. } => {
                NameChange::Made { name: to.clone(), node: *node }
            }
            whole => whole.clone(),
        }
    }
}
