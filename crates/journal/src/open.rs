//! Opening: read everything, tell a torn tail from damage, make the end certain, sync a boot frame.

use crate::cut::{self, Range};
use crate::directory::{self, Survey};
use crate::encode::{GroupBuffer, GroupFacts};
use crate::format::{FRAMES_START, HEADER_BYTES};
use crate::frame::{Epochs, Header, Kind, Place};
use crate::options::ENTRY_OVERHEAD_BYTES;
use crate::queue::{Shared, Tail};
use crate::replay::{Progress, Replay, SegmentEnd, replay_segment};
use crate::scan::{Remains, scan};
use crate::segment::{self, SegmentHeader};
use crate::segments::{Provide, Segments};
use crate::window::Window;
use crate::{Appender, Committer, Disk, Error, Options, Reader, version};
use base::Lsn;
use base::planted::{self, Bug};
use std::sync::Arc;

/// An open journal.
pub struct Opened<D: Disk> {
    /// For the writer.
    pub appender: Appender,
    /// For the committer's thread.
    pub committer: Committer<D>,
    /// For whoever reads blobs.
    pub reader: Reader<D>,
    /// The history generation.
    pub generation: u32,
    /// How often this journal has been opened.
    pub boot_epoch: u32,
    /// LSN of the last entry replayed.
    pub last: Lsn,
}

/// Opens the journal on `disk`, or starts a new one. Hands every entry to `replay`, in order.
///
/// When this returns, all that was replayed is durable, and so is a boot frame of the new epoch.
pub fn open<D: Disk>(
    disk: D,
    options: Options,
    replay: &mut dyn FnMut(crate::Replayed<'_>) -> Result<(), crate::BoxError>,
) -> Result<Opened<D>, Error> {
    options.check()?;
    let disk = Arc::new(disk);
    let Survey { born, mut headers } = directory::survey(&*disk)?;
    let (end, progress) = read_all(&*disk, &headers, replay)?;
    if born && progress.epochs.boot_epoch == 0 {
        return Err(unborn(&*disk));
    }
    settle(&*disk, &end, &progress)?;
    drop_misfits(&*disk, &mut headers, end.tail.segment, options.segment_bytes)?;
    let salt = headers.first().map_or_else(|| disk.salt(), |first| first.salt);
    let segments = Arc::new(Segments::new(Arc::clone(&disk), salt, options.segment_bytes));
    segments.start_at(end.tail.segment);
    for header in headers.iter().skip(end.tail.segment as usize - 1) {
        segments.adopt(*header)?;
    }
    segments.provide(end.tail.segment)?;
    let (tail, epochs) = boot(&segments, &end, &progress, options.segment_bytes)?;
    if !born {
        version::record(&*disk)?;
    }
    assemble(disk, segments, options, tail, epochs, progress.lsn)
}

/// The error for a born journal without its first frame.
fn unborn<D: Disk>(disk: &D) -> Error {
    Error::Damaged {
        file: disk.describe(&segment::file_name(1)),
        offset: FRAMES_START.into(),
        reason: format!("no valid frame, but {} proves that there was one", version::NAME),
    }
}

/// Where the journal ends.
struct End {
    tail: Tail,
    /// Torn bytes behind the end.
    torn: Option<Range>,
    /// Bytes that were read and may not be on disk.
    unproven: Option<Range>,
}

/// Replays all segments, and finds out where the journal ends.
fn read_all<D: Disk>(
    disk: &D,
    headers: &[SegmentHeader],
    replay: &mut Replay<'_>,
) -> Result<(End, Progress), Error> {
    let mut progress = Progress {
        lsn: Lsn(0),
        epochs: Epochs { boot_epoch: 0, generation: 0 },
        unproven: (1, FRAMES_START),
    };
    let mut last_end = FRAMES_START;
    for header in headers {
        let name = segment::file_name(header.number);
        let path = disk.describe(&name);
        let file = disk.open(&name).map_err(Error::io("open", &path))?;
        let mut window = Window::new(&file, &path)?;
        let (segment_end, position) = replay_segment(&mut window, *header, &mut progress, replay)?;
        if position > FRAMES_START {
            last_end = position;
        }
        if let SegmentEnd::Open(position) = segment_end {
            let torn = look_behind(&mut window, *header, position, &progress)?;
            refuse_later_frames(disk, headers, header.number, position, &path)?;
            let tail = Tail { segment: header.number, position, capacity: header.capacity };
            return Ok((End { tail, torn, unproven: unproven(&progress, last_end) }, progress));
        }
    }
    match headers.last() {
        // The next segment is there before the last one is closed.
        Some(last) => Err(directory::missing(disk, last.number + 1)),
        None => {
            let tail = Tail { segment: 1, position: FRAMES_START, capacity: 0 };
            Ok((End { tail, torn: None, unproven: None }, progress))
        }
    }
}

/// The range of bytes that no frame proves to be on disk. It lies in the segment of the last frame.
fn unproven(progress: &Progress, last_end: u32) -> Option<Range> {
    let (segment, from) = progress.unproven;
    let range = Range { segment, from: from.into(), to: last_end.into() };
    (range.from < range.to).then_some(range)
}

/// Decides whether what is not valid at `position` is a torn tail or damage.
fn look_behind<F: crate::DiskFile>(
    window: &mut Window<'_, F>,
    segment: SegmentHeader,
    position: u32,
    progress: &Progress,
) -> Result<Option<Range>, Error> {
    let place = Place { salt: segment.salt, segment: segment.number, position };
    let proves = |later: &Header| {
        later.synced > position
            || later.durable > progress.lsn
            || later.boot_epoch > progress.epochs.boot_epoch
    };
    // Planted: whatever is not valid is a torn tail.
    let proves = |later: &Header| proves(later) && !planted::is(Bug::MiddleDamageCutAsTail);
    let Remains { proof, nonzero_end } = scan(window, place, proves)?;
    if let Some((at, later)) = proof {
        return Err(Error::Damaged {
            file: window.path().into(),
            offset: position.into(),
            reason: format!(
                "no valid frame, but the one at offset {at} (LSN {}, boot epoch {}) proves that \
                 there was one",
                later.lsn, later.boot_epoch
            ),
        });
    }
    let range = Range { segment: segment.number, from: position.into(), to: nonzero_end };
    Ok((range.from < range.to).then_some(range))
}

/// Nothing is written to a segment before the one before it is closed and synced.
fn refuse_later_frames<D: Disk>(
    disk: &D,
    headers: &[SegmentHeader],
    number: u32,
    position: u32,
    path: &str,
) -> Result<(), Error> {
    for later in headers.iter().filter(|later| later.number > number) {
        let name = segment::file_name(later.number);
        let later_path = disk.describe(&name);
        let file = disk.open(&name).map_err(Error::io("open", &later_path))?;
        let mut window = Window::new(&file, &later_path)?;
        let place = Place { salt: later.salt, segment: later.number, position: FRAMES_START };
        if let Some((at, header)) = scan(&mut window, place, |_| true)?.proof {
            return Err(Error::Damaged {
                file: path.into(),
                offset: position.into(),
                reason: format!(
                    "no valid frame, but {later_path} has one at offset {at} (LSN {})",
                    header.lsn
                ),
            });
        }
    }
    Ok(())
}

/// Makes the end certain on disk.
fn settle<D: Disk>(disk: &D, end: &End, progress: &Progress) -> Result<(), Error> {
    // Planted: what can be read is on disk.
    if let Some(range) = end.unproven
        && !planted::is(Bug::UnprovenBytesTrusted)
    {
        cut::rewrite(disk, range)?;
    }
    if let Some(range) = end.torn {
        cut::clear(disk, range, progress.lsn)?;
    }
    Ok(())
}

/// Removes segments that were prepared with another size, the last one first.
fn drop_misfits<D: Disk>(
    disk: &D,
    headers: &mut Vec<SegmentHeader>,
    tail: u32,
    capacity: u32,
) -> Result<(), Error> {
    let prepared = |header: &&SegmentHeader| header.number > tail;
    if headers.iter().filter(prepared).all(|header| header.capacity == capacity) {
        return Ok(());
    }
    while let Some(last) = headers.pop_if(|last| last.number > tail) {
        let name = segment::file_name(last.number);
        disk.remove(&name).map_err(Error::io("remove", &disk.describe(&name)))?;
        // One by one, so that a crash in between leaves no gap.
        disk.sync_dir().map_err(Error::io("sync the directory of", &disk.describe(&name)))?;
    }
    Ok(())
}

/// Writes and syncs the boot frame; says where the first entry goes.
fn boot<D: Disk>(
    segments: &Segments<D>,
    end: &End,
    progress: &Progress,
    capacity: u32,
) -> Result<(Tail, Epochs), Error> {
    let mut tail = end.tail;
    tail.capacity = segments.get(tail.segment)?.capacity;
    if !tail.fits(HEADER_BYTES.into()) {
        segments.provide(tail.segment + 1)?;
        write_bare(segments, Kind::Close, progress.lsn, tail, progress.epochs)?;
        tail = tail.following(capacity);
    }
    let Epochs { boot_epoch, generation } = progress.epochs;
    let epochs = Epochs { boot_epoch: boot_epoch + 1, generation };
    write_bare(segments, Kind::Boot, progress.lsn, tail, epochs)?;
    tail.position += HEADER_BYTES;
    segments.forget_before(tail.segment);
    Ok((tail, epochs))
}

fn write_bare<D: Disk>(
    segments: &Segments<D>,
    kind: Kind,
    lsn: Lsn,
    at: Tail,
    epochs: Epochs,
) -> Result<(), Error> {
    let facts = GroupFacts {
        salt: segments.salt(),
        segment: at.segment,
        start: at.position,
        durable: lsn,
        epochs,
    };
    let mut buffer = GroupBuffer::default();
    buffer.push_bare(kind, lsn, at.position, &facts);
    let segment = segments.get(at.segment)?;
    segment.write(&mut buffer.slices(&[]), at.position, at.position + HEADER_BYTES)?;
    segment.sync()
}

fn assemble<D: Disk>(
    disk: Arc<D>,
    segments: Arc<Segments<D>>,
    options: Options,
    tail: Tail,
    epochs: Epochs,
    last: Lsn,
) -> Result<Opened<D>, Error> {
    let shared = Arc::new(Shared::new(tail, last));
    let current = segments.get(tail.segment)?;
    let blob_bytes_max = options.entry_bytes_max.saturating_add(ENTRY_OVERHEAD_BYTES);
    let reader = Reader::new(disk, blob_bytes_max, options.open_files_max);
    let provide = Arc::clone(&segments) as Arc<dyn Provide>;
    let appender = Appender::new(Arc::clone(&shared), provide, options.clone(), last);
    let committer = Committer::start(segments, shared, options, epochs, current, tail.position)?;
    let Epochs { boot_epoch, generation } = epochs;
    Ok(Opened { appender, committer, reader, generation, boot_epoch, last })
}
