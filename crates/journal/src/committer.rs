//! The committer's end: gathers what is queued into one group, which is written and synced once.
//!
//! While a group is being synced the next one gathers in the queue; there is no waiting window.
//! After the first error nothing is written any more: the pages' state is unknown, and a second
//! fsync could report success for bytes that were thrown away.

use crate::encode::{GroupBuffer, GroupFacts};
use crate::format::{FRAMES_START, HEADER_BYTES, padded};
use crate::frame::{Epochs, Kind};
use crate::preparer::Preparer;
use crate::queue::{Pending, Queue, Shared, locked};
use crate::segment::Segment;
use crate::segments::Segments;
use crate::{Disk, Error, Options, Preparation};
use base::Lsn;
use base::planted::{self, Bug};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;

/// What one call of [`Committer::run_group`] has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Entries were made durable.
    Committed {
        /// All up to this LSN is on disk.
        durable: Lsn,
        /// How many entries.
        entries: usize,
        /// How many bytes, frames included.
        bytes: usize,
    },
    /// The journal was idle, and the last group has got its proof.
    Sealed,
    /// The appender is gone, and all it appended is on disk.
    Closed,
}

/// The committer's end of the journal.
pub struct Committer<D: Disk> {
    segments: Arc<Segments<D>>,
    shared: Arc<Shared>,
    options: Options,
    preparer: Preparer<D>,
    preparing_thread: Option<JoinHandle<()>>,
    epochs: Epochs,
    current: Arc<Segment<D::File>>,
    /// Where the next frame of `current` goes.
    position: u32,
    /// LSN of the last entry written.
    written: Lsn,
    buffer: GroupBuffer,
    poisoned: bool,
}

/// Entries of one segment, in order.
struct Batch {
    entries: Vec<Pending>,
    /// The entry after these is in another segment.
    ends_segment: bool,
}

enum Turn {
    Write(Batch),
    Seal(Option<u32>),
    Idle,
    Closed,
}

impl<D: Disk> Committer<D> {
    pub(crate) fn start(
        segments: Arc<Segments<D>>,
        shared: Arc<Shared>,
        options: Options,
        epochs: Epochs,
        current: Arc<Segment<D::File>>,
        position: u32,
    ) -> Result<Committer<D>, Error> {
        let preparer = || Preparer {
            segments: Arc::clone(&segments),
            shared: Arc::clone(&shared),
            ahead_bytes: options.prepare_ahead_bytes,
        };
        let preparing_thread = match options.preparation {
            Preparation::Inline => None,
            Preparation::Background => Some(spawn(preparer())?),
        };
        let written = shared.durable();
        let mut committer = Committer {
            preparer: preparer(),
            preparing_thread,
            segments,
            shared,
            options,
            epochs,
            current,
            position,
            written,
            buffer: GroupBuffer::default(),
            poisoned: false,
        };
        committer.prepare();
        Ok(committer)
    }

    /// Blocks until there is something to write, the journal has become idle, or it is closed;
    /// does what is due.
    ///
    /// The first error is the last thing that happens: end the process.
    pub fn run_group(&mut self) -> Result<Group, Error> {
        let turn = self.wait()?;
        Ok(self.carry_out(turn)?.unwrap_or(Group::Closed))
    }

    /// The same without waiting, for simulations: `None` if nothing is queued.
    pub fn try_group(&mut self) -> Result<Option<Group>, Error> {
        let turn = {
            let shared = Arc::clone(&self.shared);
            let mut queue = locked(&shared.queue);
            self.look(&mut queue)?
        };
        self.carry_out(turn)
    }

    /// What being idle for a while does, at once: seals, if there is anything to seal.
    pub fn seal(&mut self) -> Result<Option<Group>, Error> {
        let turn = {
            let shared = Arc::clone(&self.shared);
            let mut queue = locked(&shared.queue);
            match self.look(&mut queue)? {
                Turn::Idle if !queue.sealed => Turn::Seal(queue.place_seal()),
                turn => turn,
            }
        };
        self.carry_out(turn)
    }

    /// LSN of the last entry that is on disk.
    pub fn durable(&self) -> Lsn {
        self.shared.durable()
    }

    fn wait(&mut self) -> Result<Turn, Error> {
        let shared = Arc::clone(&self.shared);
        let mut queue = locked(&shared.queue);
        loop {
            match self.look(&mut queue)? {
                Turn::Idle if queue.sealed => {
                    queue = shared.queued.wait(queue).unwrap_or_else(PoisonError::into_inner);
                }
                Turn::Idle => {
                    let (guard, timeout) = shared
                        .queued
                        .wait_timeout(queue, self.options.idle_seal)
                        .unwrap_or_else(PoisonError::into_inner);
                    queue = guard;
                    if timeout.timed_out() && queue.pending.is_empty() && !queue.stopped {
                        return Ok(Turn::Seal(queue.place_seal()));
                    }
                }
                turn => return Ok(turn),
            }
        }
    }

    /// What is due now.
    fn look(&mut self, queue: &mut Queue) -> Result<Turn, Error> {
        if let Some(error) = queue.failure.take() {
            self.poisoned = true;
            return Err(error);
        }
        if self.poisoned {
            return Err(Error::Poisoned);
        }
        if !queue.pending.is_empty() {
            return Ok(Turn::Write(gather(queue, self.options.group_bytes_max)));
        }
        Ok(match queue.closed {
            false => Turn::Idle,
            true if queue.sealed => Turn::Closed,
            true => Turn::Seal(queue.place_seal()),
        })
    }

    fn carry_out(&mut self, turn: Turn) -> Result<Option<Group>, Error> {
        let done = match turn {
            Turn::Write(batch) => self.commit(batch).map(Some),
            Turn::Seal(position) => self.write_seal(position).map(Some),
            Turn::Idle => Ok(None),
            Turn::Closed => Ok(Some(Group::Closed)),
        };
        if done.is_err() {
            self.poisoned = true;
            self.stop();
        }
        done
    }

    fn commit(&mut self, batch: Batch) -> Result<Group, Error> {
        let Some(last) = batch.entries.last() else {
            return Ok(Group::Sealed);
        };
        let durable = last.lsn;
        if last.segment != self.current.number {
            self.close_segment()?;
        }
        assert_eq!(last.segment, self.current.number, "segments are written in order");
        let bytes = self.write(&batch)?;
        self.acknowledge(durable, bytes)?;
        if batch.ends_segment {
            self.enter_next_segment()?;
        }
        self.prepare();
        Ok(Group::Committed { durable, entries: batch.entries.len(), bytes })
    }

    /// Writes and syncs a batch, and the close frame if nothing more goes to its segment.
    fn write(&mut self, batch: &Batch) -> Result<usize, Error> {
        let facts = self.facts();
        let (mut bytes, mut position) = (0, self.position);
        self.buffer.clear();
        for (index, pending) in batch.entries.iter().enumerate() {
            assert_eq!(pending.position, position, "frames are written in order");
            assert_eq!(pending.lsn, self.written.next(), "LSNs are dense");
            self.buffer.push_entry(index, pending, &facts);
            self.written = pending.lsn;
            bytes += pending.frame_bytes as usize;
            position += padded(pending.frame_bytes.into()) as u32;
        }
        if batch.ends_segment {
            self.buffer.push_bare(Kind::Close, self.written, position, &facts);
            position += HEADER_BYTES;
        }
        self.current.write(&mut self.buffer.slices(&batch.entries), self.position, position)?;
        // Planted: the next seal's sync will do.
        if !planted::is(Bug::AckBeforeFsync) {
            self.current.sync()?;
        }
        self.position = position;
        Ok(bytes)
    }

    fn acknowledge(&mut self, durable: Lsn, bytes: usize) -> Result<(), Error> {
        let mut queue = locked(&self.shared.queue);
        if let Some(error) = queue.failure.take() {
            return Err(error);
        }
        queue.backlog_bytes -= bytes;
        drop(queue);
        self.shared.set_durable(durable);
        self.shared.group_bytes.store(bytes, Ordering::Relaxed);
        self.shared.relieved.notify_all();
        Ok(())
    }

    /// Ends the current segment by a close frame of its own.
    fn close_segment(&mut self) -> Result<(), Error> {
        self.write_bare(Kind::Close, self.position)?;
        self.enter_next_segment()
    }

    fn enter_next_segment(&mut self) -> Result<(), Error> {
        self.current = self.segments.get(self.current.number + 1)?;
        self.position = FRAMES_START;
        self.segments.forget_before(self.current.number);
        Ok(())
    }

    /// Without a place there is no room left: the close frame will be the proof.
    fn write_seal(&mut self, position: Option<u32>) -> Result<Group, Error> {
        if let Some(position) = position {
            self.write_bare(Kind::Seal, position)?;
        }
        Ok(Group::Sealed)
    }

    fn write_bare(&mut self, kind: Kind, position: u32) -> Result<(), Error> {
        assert_eq!(position, self.position, "frames are written in order");
        let facts = self.facts();
        self.buffer.clear();
        self.buffer.push_bare(kind, self.written, position, &facts);
        let end = position + HEADER_BYTES;
        self.current.write(&mut self.buffer.slices(&[]), position, end)?;
        // Planted: there is nothing in a close frame that anybody was promised.
        if kind != Kind::Close || !planted::is(Bug::CloseFrameNotSynced) {
            self.current.sync()?;
        }
        self.position = end;
        Ok(())
    }

    fn facts(&self) -> GroupFacts {
        GroupFacts {
            salt: self.segments.salt(),
            segment: self.current.number,
            start: self.position,
            durable: self.shared.durable(),
            epochs: self.epochs,
        }
    }

    /// Has room prepared ahead, if it is time.
    fn prepare(&mut self) {
        match self.preparing_thread {
            Some(_) if self.preparer.due().is_some() => self.shared.order(false),
            Some(_) => {}
            // An error means that the disk is full, and `reserve` will say so.
            None => while let Ok(true) = self.preparer.step() {},
        }
    }

    /// Lets the appender know that nothing is committed any more.
    fn stop(&self) {
        locked(&self.shared.queue).stopped = true;
        self.shared.relieved.notify_all();
    }
}

impl<D: Disk> Drop for Committer<D> {
    fn drop(&mut self) {
        self.stop();
        self.shared.order(true);
        if let Some(thread) = self.preparing_thread.take() {
            // It holds the directory's lock: whoever opens it next must not find it locked.
            drop(thread.join());
        }
    }
}

fn spawn<D: Disk>(preparer: Preparer<D>) -> Result<JoinHandle<()>, Error> {
    std::thread::Builder::new()
        .name("journal-prepare".into())
        .spawn(move || preparer.run())
        .map_err(Error::io("start", "the preparing thread"))
}

/// Takes entries of one segment off the queue: at least one, and no more once there are
/// `bytes_max`.
fn gather(queue: &mut Queue, bytes_max: usize) -> Batch {
    let mut entries = Vec::new();
    let mut bytes = 0;
    let segment = queue.pending.front().map(|first| first.segment);
    while bytes < bytes_max
        && queue.pending.front().map(|next| next.segment) == segment
        && let Some(next) = queue.pending.pop_front()
    {
        bytes += next.frame_bytes as usize;
        entries.push(next);
    }
    let ends_segment = queue.pending.front().is_some_and(|next| Some(next.segment) != segment);
    Batch { entries, ends_segment }
}
