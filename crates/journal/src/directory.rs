//! What is in the directory at start: which segments there are, that none is missing, and that
//! their names are durable.
//!
//! Refuses: a gap, a segment of another journal, a born journal without its first segment, and
//! files that are none of a journal's.

use crate::disk::read_full;
use crate::format::{END_BYTES, FRAME_ALIGN, FRAMES_START};
use crate::real_disk::LOCK;
use crate::segment::{self, PREPARING_SUFFIX, SegmentHeader};
use crate::{Disk, Error, version};

/// What the directory holds.
pub(crate) struct Survey {
    /// The journal was born: there is a first segment, and a boot frame in it.
    pub(crate) born: bool,
    /// Headers of all segments, in order.
    pub(crate) headers: Vec<SegmentHeader>,
}

/// Removes what an interrupted preparation left, and reads the headers of all segments, in order.
pub(crate) fn survey<D: Disk>(disk: &D) -> Result<Survey, Error> {
    let names = disk.list().map_err(Error::io("list", &disk.describe("")))?;
    if let Some(unknown) = names.iter().find(|name| !is_known(name)) {
        return Err(Error::Unknown { file: disk.describe(unknown) });
    }
    let born = names.iter().any(|name| name == version::NAME);
    if born {
        version::check(disk)?;
    }
    let mut numbers: Vec<u32> = names.iter().filter_map(|name| segment::number_of(name)).collect();
    numbers.sort_unstable();
    if born && numbers.is_empty() {
        return Err(missing(disk, 1));
    }
    for name in names.iter().filter(|name| is_left_over(name)) {
        disk.remove(name).map_err(Error::io("remove", &disk.describe(name)))?;
    }
    if !numbers.is_empty() {
        // A kill between rename and sync leaves a name that is visible and not durable.
        disk.sync_dir().map_err(Error::io("sync the directory", &disk.describe("")))?;
    }
    Ok(Survey { born, headers: read_headers(disk, &numbers)? })
}

/// Whether the journal itself, or the system, puts files of this name here. Another one may be
/// part of a newer format, a misnamed segment of a backup, or show that the directory is a wrong one.
fn is_known(name: &str) -> bool {
    name == LOCK
        || name == version::NAME
        || is_left_over(name)
        || segment::number_of(name).is_some()
        || name == "lost+found"
        || name.starts_with('.')
}

/// Whether an interrupted preparation left it. Hidden files are others', whatever they end with.
fn is_left_over(name: &str) -> bool {
    let number = name.strip_suffix(PREPARING_SUFFIX).filter(|number| !number.is_empty());
    name == version::TEMPORARY
        || number.is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
}

fn read_headers<D: Disk>(disk: &D, numbers: &[u32]) -> Result<Vec<SegmentHeader>, Error> {
    for (number, due) in numbers.iter().zip(1..) {
        if *number != due {
            return Err(missing(disk, due));
        }
    }
    let mut headers: Vec<SegmentHeader> = Vec::with_capacity(numbers.len());
    for number in numbers {
        let header = read_header(disk, *number)?;
        if headers.first().is_some_and(|first| first.salt != header.salt) {
            return Err(damaged(disk, *number, "this segment belongs to another journal"));
        }
        headers.push(header);
    }
    Ok(headers)
}

/// The error for a segment that should be there.
pub(crate) fn missing<D: Disk>(disk: &D, number: u32) -> Error {
    Error::Missing { file: disk.describe(&segment::file_name(number)) }
}

fn read_header<D: Disk>(disk: &D, number: u32) -> Result<SegmentHeader, Error> {
    let name = segment::file_name(number);
    let path = disk.describe(&name);
    let file = disk.open(&name).map_err(Error::io("open", &path))?;
    let mut bytes = [0; 64];
    let count = read_full(&file, &mut bytes, 0).map_err(Error::io("read", &path))?;
    let header = SegmentHeader::decode(bytes.get(..count).unwrap_or(&bytes))
        .map_err(|reason| damaged(disk, number, reason))?;
    if header.number != number {
        return Err(damaged(disk, number, "the file holds another segment than its name says"));
    }
    if header.capacity < FRAMES_START + END_BYTES || !header.capacity.is_multiple_of(FRAME_ALIGN) {
        return Err(damaged(disk, number, "no segment has such a capacity"));
    }
    Ok(header)
}

fn damaged<D: Disk>(disk: &D, number: u32, reason: &str) -> Error {
    let file = disk.describe(&segment::file_name(number));
    Error::Damaged { file, offset: 0, reason: reason.into() }
}
