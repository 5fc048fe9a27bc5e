//! The write-ahead journal: the only truth of a node. It knows bytes, not meaning.
//!
//! ```text
//!   writer thread                committer thread                 anyone
//!   Appender::reserve            Committer::run_group             Reader::read
//!   Appender::append  -> queue -> gather, write,                  pread + CRC
//!                                 ONE fdatasync, durable := lsn
//! ```
//!
//! Invariants:
//!
//! * LSNs are dense, and count entries only. An entry is replayed whole or not at all.
//! * `durable` never passes an entry whose bytes, file and directory entry are not synced.
//! * After a failed write or sync the journal says so once and does nothing more: the outcome on
//!   disk is unknown, so the process has to end. Nothing is ever retried.
//! * Opening cuts a torn tail, and refuses damage: bytes that some later frame proves to have
//!   been durable are never dropped. What is damaged is named by file and offset.
//! * No wrong byte is ever served: every read is checked against its CRC.
//! * `append` needs no disk and cannot fail: room was reserved before.
//!
//! The format on disk is drawn in [`mod@format`]. It is unstable until the `VERSION` file says
//! otherwise.

mod appender;
mod committer;
mod cut;
mod direct;
mod directory;
mod disk;
mod encode;
mod error;
pub mod format;
mod frame;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod open;
mod options;
mod preparer;
mod queue;
mod reader;
mod real_disk;
mod replay;
mod scan;
mod segment;
mod segments;
#[cfg(any(test, feature = "simulated"))]
pub mod testing;
#[cfg(test)]
mod tests;
mod version;
mod window;

pub use appender::{Appender, Entry, Full};
pub use committer::{Committer, Group};
pub use disk::{Disk, DiskFile};
pub use error::{BoxError, Error};
pub use open::{Opened, open};
pub use options::{Options, Preparation};
pub use reader::Reader;
pub use real_disk::{RealDisk, RealFile};
pub use replay::Replayed;

#[cfg(test)]
mod gate {
    #[test]
    fn planted_bugs_are_caught() {
        planted::gate("journal");
    }
}
