//! T5: a segment is cut at every byte of its last 4 KiB, and something lies behind the cut.

use super::flips::{files_of, frames_of};
use super::*;
use crate::frame::Kind;
use crate::testing::Loss;

const LAST_BYTES: usize = 4 << 10;
const NAME: &str = "0000000003.segment";

/// A journal whose third segment holds the tail, that segment without the zeros at its end, and for
/// each entry in it where its frame ends.
struct Written {
    disk: SimDisk,
    all: Vec<Seen>,
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

fn options() -> Options {
    Options { prepare_ahead_bytes: 0, ..small() }
}

fn two_and_a_half_segments() -> Written {
    let disk = SimDisk::new(4);
    let (mut opened, mut all) = reopen(disk.clone(), options()).unwrap();
    let entropy = SeededEntropy::new(75);
    let far_enough =
        |seen: &Seen| seen.addresses.iter().any(|blob| blob.segment == 3 && blob.position > 12_000);
    while !all.last().is_some_and(far_enough) {
        all.push(append(&mut opened, some_entry(&entropy, 500)));
        commit(&mut opened).unwrap();
    }
    let mut bytes = disk.contents(NAME);
    let frames = frames_of(&files_of(&disk));
    assert!(frames.last().is_some_and(|last| last.file == NAME), "the tail is in it");
    let here =
        frames.into_iter().filter(|frame| frame.file == NAME && frame.header.kind == Kind::Entry);
    let ends: Vec<usize> = here.map(|frame| frame.bytes.end).collect();
    // Zeros were written ahead of it: they are no part of what is cut.
    bytes.truncate(ends.last().unwrap().next_multiple_of(8));
    assert!(bytes.len() > 4096 + 80 + LAST_BYTES, "{}", bytes.len());
    let cut = ends.iter().filter(|end| **end > bytes.len() - LAST_BYTES).count();
    assert!(cut >= 3 && cut < ends.len(), "the cuts go through {cut} of {} frames", ends.len());
    Written { disk, all, bytes, ends }
}

/// Cuts at every byte, followed by `behind`: exactly the whole frames are left.
fn cut_everywhere(behind: impl Fn(&Written, &mut Vec<u8>, usize)) {
    let written = two_and_a_half_segments();
    let before = written.all.len() - written.ends.len();
    let mut images = 0;
    for cut in written.bytes.len() - LAST_BYTES..=written.bytes.len() {
        let mut torn = written.bytes[..cut].to_vec();
        behind(&written, &mut torn, cut);
        let disk = written.disk.restart();
        disk.replace(NAME, torn);
        let (mut opened, seen) = reopen(disk.clone(), options()).expect("a torn tail");
        let whole = before + written.ends.iter().filter(|end| **end <= cut).count();
        assert_eq!(seen, written.all[..whole], "cut at {cut}");
        if cut % 64 == 0 {
            // What comes after the cut is not confused by what was there.
            let mut kept = seen;
            kept.push(append(&mut opened, written.all[0].entry()));
            commit(&mut opened).unwrap();
            let lost = disk.crash(Loss::Everything, 0);
            assert_eq!(reopen(lost, options()).unwrap().1, kept, "cut at {cut}");
        }
        images += 1;
    }
    // Of each of the four things behind the cut: 16,388 images in all.
    assert_eq!(images, LAST_BYTES + 1);
}

impl Seen {
    pub(super) fn entry(&self) -> Entry {
        let blobs = self.blobs.iter().cloned().map(Blob::new).collect();
        Entry { cause: self.cause, meta: self.meta.clone(), blobs }
    }
}

#[test]
fn t5_a_cut_at_every_byte_leaves_the_whole_frames() {
    cut_everywhere(|_, _, _| {});
}

#[test]
fn t5_zeros_behind_the_cut_change_nothing() {
    cut_everywhere(|written, torn, _| torn.resize(written.bytes.len() + 3000, 0));
}

/// The byte at the cut is not what it was: otherwise the frame might be whole by chance.
fn spoil(written: &Written, torn: &mut Vec<u8>, cut: usize) {
    torn.push(!written.bytes.get(cut).copied().unwrap_or_default());
}

#[test]
fn t5_junk_behind_the_cut_changes_nothing() {
    let entropy = SeededEntropy::new(8);
    cut_everywhere(|written, torn, cut| {
        spoil(written, torn, cut);
        torn.extend((0..2000).map(|_| entropy.next_u64() as u8));
    });
}

/// Blocks of the same journal that were used before: the same place of another segment, and this
/// segment's own frames at other places.
#[test]
fn t5_old_frames_behind_the_cut_change_nothing() {
    let other = two_and_a_half_segments().disk.contents("0000000002.segment");
    cut_everywhere(|written, torn, cut| {
        spoil(written, torn, cut);
        let sector = torn.len().next_multiple_of(512);
        torn.resize(torn.len().next_multiple_of(8) + 8, 0);
        if cut % 2 == 0 {
            torn.resize(sector, 0);
            torn.extend(other.get(sector..).unwrap_or_default().iter().take(6000));
        } else {
            torn.extend_from_slice(&written.bytes[4096..4096 + 6000]);
        }
    });
}

/// A segment that is followed by others has no torn tail: wherever it is cut, that is damage.
#[test]
fn a_cut_in_a_closed_segment_is_refused() {
    let written = two_and_a_half_segments();
    let bytes = written.disk.contents("0000000002.segment");
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    for cut in (0..used).rev().take(LAST_BYTES).chain([0, 10, 31, 4096]) {
        let disk = written.disk.restart();
        disk.replace("0000000002.segment", bytes[..cut].to_vec());
        let refused = reopen(disk, options()).err();
        assert!(
            matches!(&refused, Some(Error::Damaged { file, .. }) if file == "0000000002.segment"),
            "cut at {cut}: {refused:?}"
        );
    }
}
