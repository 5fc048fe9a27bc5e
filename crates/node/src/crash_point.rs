//! Where a test wants the node to die.

use base::Lsn;

/// The writer stops for good after appending this entry: what comes after it is never written.
/// Everything up to it is on disk when the node has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CrashPoint {
    /// The last entry.
    pub after: Lsn,
    /// Whether those who wait for this entry still get their answers.
    pub last_words: LastWords,
}

/// What the outside learns of the last entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastWords {
    /// Its answers are released.
    Released,
    /// It is on disk and nobody is told: a crash between sync and release.
    Withheld,
}

impl CrashPoint {
    /// The last entry whose answers leave.
    pub(crate) fn last_released(self) -> Lsn {
        match self.last_words {
            LastWords::Released => self.after,
            LastWords::Withheld => Lsn(self.after.0.saturating_sub(1)),
        }
    }
}
