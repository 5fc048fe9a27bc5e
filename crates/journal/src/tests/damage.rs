//! Torn tails are cut to exactly the valid prefix; damage is refused, and never served.

use super::*;
use crate::testing::Loss;

const LAST: usize = 4 << 10;

/// One segment that holds every entry of `written`, as bytes without the zeros at the end.
fn one_segment() -> (Vec<Seen>, Vec<u8>, Options) {
    let options = Options { prepare_ahead_bytes: 0, ..small() };
    let disk = SimDisk::new(4);
    let seen = written(&disk, &options, 20);
    let bytes = disk.contents("0000000001.segment");
    assert_eq!(disk.names().len(), 2, "half full, so the next one is there");
    (seen, bytes, options)
}

/// End of each entry's frame in the file.
fn ends(seen: &[Seen]) -> Vec<usize> {
    let mut position = 4096 + 80;
    let mut ends = Vec::new();
    for entry in seen {
        let blobs: usize = entry.blobs.iter().map(Bytes::len).sum();
        let end = position + 80 + 8 * entry.blobs.len() + entry.meta.len() + blobs;
        ends.push(end);
        position = end.next_multiple_of(8);
    }
    ends
}

fn disk_with(bytes: Vec<u8>) -> SimDisk {
    let disk = SimDisk::new(4);
    disk.replace("0000000001.segment", bytes);
    disk
}

/// Cuts at every byte of the last few KiB, followed by `after`: exactly the whole frames are left.
fn cut_everywhere(after: impl Fn(&mut Vec<u8>, &[u8], usize)) {
    let (all, bytes, options) = one_segment();
    let ends = ends(&all);
    for cut in bytes.len() - LAST..=bytes.len() {
        let mut torn = bytes[..cut].to_vec();
        after(&mut torn, &bytes, cut);
        let disk = disk_with(torn);
        let (mut opened, seen) = reopen(disk.clone(), options.clone()).expect("a torn tail");
        let whole = ends.iter().filter(|end| **end <= cut).count();
        assert_eq!(seen, all[..whole], "cut at {cut}");
        if cut % 64 == 0 {
            // What comes after the cut is not confused by what was there.
            let mut kept = seen;
            kept.push(append(&mut opened, all[0_usize].entry()));
            commit(&mut opened).unwrap();
            let lost = disk.crash(Loss::Everything, 0);
            assert_eq!(reopen(lost, options.clone()).unwrap().1, kept, "cut at {cut}");
        }
    }
}

impl Seen {
    fn entry(&self) -> Entry {
        let blobs = self.blobs.iter().cloned().map(Blob::new).collect();
        Entry { cause: self.cause, meta: self.meta.clone(), blobs }
    }
}

#[test]
fn a_cut_at_every_byte_leaves_the_whole_frames() {
    cut_everywhere(|_, _, _| {});
}

#[test]
fn zeros_behind_the_cut_change_nothing() {
    cut_everywhere(|torn, bytes, _| torn.resize(bytes.len() + 3000, 0));
}

#[test]
fn junk_behind_the_cut_changes_nothing() {
    let entropy = SeededEntropy::new(8);
    // The byte at the cut is not what it was: otherwise the frame might be whole by chance.
    cut_everywhere(|torn, bytes, cut| {
        torn.push(!bytes.get(cut).copied().unwrap_or_default());
        torn.extend((0..2000).map(|_| entropy.next_u64() as u8));
    });
}

#[test]
fn old_frames_behind_the_cut_change_nothing() {
    // Frames of another segment, and of this one at another place.
    cut_everywhere(|torn, bytes, cut| {
        torn.push(!bytes.get(cut).copied().unwrap_or_default());
        torn.resize(torn.len().next_multiple_of(8) + 8, 0);
        torn.extend_from_slice(&bytes[4096..4096 + 6000]);
    });
}

#[test]
fn a_flipped_bit_is_refused_or_costs_only_what_nothing_proves() {
    let (all, bytes, options) = one_segment();
    let ends = ends(&all);
    // The last group has no proof: no frame was written after it was synced.
    let proven = ends[ends.len() - 2].next_multiple_of(8);
    let entropy = SeededEntropy::new(2);
    for byte in (0..32).chain(4096..bytes.len()) {
        let mut bad = bytes.clone();
        bad[byte] ^= 1 << (entropy.next_u64() % 8);
        let padding = ends.iter().any(|end| (*end..end.next_multiple_of(8)).contains(&byte));
        match reopen(disk_with(bad), options.clone()) {
            Ok((_, seen)) if padding => assert_eq!(seen, all, "byte {byte}"),
            Ok((_, seen)) => {
                assert!(byte >= proven, "byte {byte} was dropped silently");
                assert_eq!(seen, all[..all.len() - 1]);
            }
            Err(Error::Damaged { file, offset, .. }) => {
                assert!(byte < proven, "byte {byte}");
                assert_eq!(file, "0000000001.segment");
                let begin = ends.iter().rev().map(|end| end.next_multiple_of(8));
                let begin = begin.chain([4176, 4096, 0]).find(|begin| *begin <= byte).unwrap();
                assert_eq!(offset, begin as u64, "byte {byte}");
            }
            Err(other) => panic!("byte {byte}: {other}"),
        }
    }
}

#[test]
fn a_sealed_group_is_proven_and_damage_to_it_refused() {
    let disk = SimDisk::new(4);
    let (mut opened, _) = reopen(disk.clone(), small()).unwrap();
    let seen = append(&mut opened, some_entry(&SeededEntropy::new(3), 100));
    commit(&mut opened).unwrap();
    opened.committer.seal().unwrap();
    let bytes = disk.contents("0000000001.segment");
    let first = ends(&[seen]).remove(0);
    for byte in 4096..first.next_multiple_of(8) {
        let mut bad = bytes.clone();
        bad[byte] ^= 0x10;
        let refused = reopen(disk_with(bad), small()).err();
        if !(first..first.next_multiple_of(8)).contains(&byte) {
            let refused = matches!(refused, Some(Error::Damaged { .. }));
            assert!(refused, "damage of what was durable is refused: byte {byte}");
        }
    }
}

/// Whatever happens to a file, a read gives the right bytes or an error.
#[test]
fn a_read_of_damaged_bytes_is_refused() {
    let disk = SimDisk::new(4);
    let (mut opened, _) = reopen(disk.clone(), small()).unwrap();
    let entry = Entry { blobs: vec![Blob::new(vec![5; 300].into())], ..Entry::default() };
    let address = append(&mut opened, entry).addresses[0];
    commit(&mut opened).unwrap();
    let reader = opened.reader.clone();
    assert_eq!(reader.read(address).unwrap(), vec![5; 300]);
    for wrong in [
        BlobAddr { position: address.position + 1, ..address },
        BlobAddr { length: address.length - 1, ..address },
        BlobAddr { length: u32::MAX, ..address },
        BlobAddr { position: u32::MAX, ..address },
    ] {
        assert!(matches!(reader.read(wrong), Err(Error::Damaged { .. })), "{wrong:?}");
    }
    assert!(matches!(reader.read(BlobAddr { segment: 9, ..address }), Err(Error::Io { .. })));
}

/// A journal of four segments and a bit, each changed in some way.
fn many_segments() -> (SimDisk, Vec<Seen>) {
    let disk = SimDisk::new(4);
    let seen = written(&disk, &small(), 120);
    assert!(disk.names().len() >= 4, "{:?}", disk.names());
    (disk, seen)
}

#[test]
fn lost_swapped_and_foreign_segments_are_named() {
    let (disk, all) = many_segments();
    let name = |number: u32| format!("{number:010}.segment");
    let names = disk.names();
    for lost in &names {
        let bad = disk.restart();
        bad.lose(lost);
        match reopen(bad, small()) {
            Err(Error::Missing { file }) => assert_eq!(&file, lost),
            // The last file is prepared and empty, or holds the tail.
            Ok((_, seen)) => assert!(lost == names.last().unwrap() && seen == all),
            Err(other) => panic!("{lost}: {other}"),
        }
    }
    let swapped = disk.restart();
    swapped.replace(&name(1), disk.contents(&name(2)));
    swapped.replace(&name(2), disk.contents(&name(1)));
    assert!(matches!(reopen(swapped, small()), Err(Error::Damaged { offset: 0, .. })));
    let other = SimDisk::new(5);
    written(&other, &small(), 120);
    let foreign = disk.restart();
    foreign.replace(&name(2), other.contents(&name(2)));
    assert!(matches!(reopen(foreign, small()), Err(Error::Damaged { offset: 0, .. })));
    // Old bytes in a recycled segment do not look alive.
    let recycled = disk.restart();
    let mut bytes = recycled.contents(names.last().unwrap())[..4096].to_vec();
    bytes.extend_from_slice(&disk.contents(&name(1))[4096..]);
    let last_is_empty = disk.contents(names.last().unwrap())[4096..].iter().all(|byte| *byte == 0);
    if last_is_empty {
        recycled.replace(names.last().unwrap(), bytes);
        assert_eq!(reopen(recycled, small()).unwrap().1, all);
    }
}

/// Blocks of 4 KiB exchanged, zeroed or repeated anywhere before the last group.
#[test]
fn misplaced_blocks_are_refused() {
    let (disk, all) = many_segments();
    let entropy = SeededEntropy::new(6);
    for round in 0..200 {
        let bad = disk.restart();
        let number = entropy.next_u64() % (disk.names().len() as u64 - 2) + 1;
        let name = format!("{number:010}.segment");
        let mut bytes = bad.contents(&name);
        let block = |bytes: &[u8]| 4096 * (entropy.next_u64() as usize % (bytes.len() / 4096));
        let (from, to) = (block(&bytes), block(&bytes));
        match round % 3 {
            0 => bytes[to..to + 4096].fill(0),
            1 => bytes.copy_within(from..from + 4096, to),
            _ => {
                let kept = bytes[to..to + 4096].to_vec();
                bytes.copy_within(from..from + 4096, to);
                bytes[from..from + 4096].copy_from_slice(&kept);
            }
        }
        let changed = bytes != bad.contents(&name);
        bad.replace(&name, bytes);
        match reopen(bad, small()) {
            Err(Error::Damaged { .. }) => assert!(changed),
            Err(other) => panic!("{other}"),
            Ok((_, seen)) => {
                assert_eq!(seen, all, "round {round}");
                assert!(!changed || round % 3 != 1);
            }
        }
    }
}

fn plain(bytes: usize) -> Entry {
    Entry { meta: vec![3; bytes], ..Entry::default() }
}

/// A seal has no LSN that a later frame could miss, but the later group was written after its sync.
#[test]
fn a_damaged_seal_does_not_take_the_group_behind_it_along() {
    let disk = SimDisk::new(4);
    let (mut opened, _) = reopen(disk.clone(), small()).unwrap();
    append(&mut opened, plain(8));
    commit(&mut opened).unwrap();
    opened.committer.seal().unwrap();
    append(&mut opened, plain(8));
    commit(&mut opened).unwrap();
    let mut bytes = disk.contents("0000000001.segment");
    let seal = 4096 + 80 + 88;
    assert_eq!(bytes[seal + 12], 2);
    bytes[seal] ^= 1;
    let refused = reopen(disk_with(bytes), small()).err();
    assert!(matches!(refused, Some(Error::Damaged { offset, .. }) if offset == seal as u64));
}

/// Two entries in one unsynced group, of which the first is torn and the second one whole.
fn half_a_group(first_bytes: usize) -> (SimDisk, usize) {
    let disk = SimDisk::new(4);
    let (mut opened, _) = reopen(disk.clone(), small()).unwrap();
    append(&mut opened, plain(first_bytes));
    append(&mut opened, plain(16));
    commit(&mut opened).unwrap();
    let first = 4096 + 80;
    let mut bytes = disk.contents("0000000001.segment");
    bytes[first] ^= 1;
    (disk_with(bytes), first)
}

/// What is left of a torn group must never follow a new frame, wherever that ends.
#[test]
fn the_rest_of_a_torn_group_never_comes_back() {
    let (disk, _) = half_a_group(400);
    let (mut opened, seen) = reopen(disk.clone(), small()).unwrap();
    assert_eq!(seen, []);
    // With the boot frame before it, this one ends where the second old entry begins.
    let mut kept = vec![append(&mut opened, plain(400 - 80))];
    commit(&mut opened).unwrap();
    let (mut opened, seen) = reopen(disk.clone(), small()).unwrap();
    assert_eq!(seen, kept);
    kept.push(append(&mut opened, plain(1)));
    commit(&mut opened).unwrap();
    assert_eq!(reopen(disk, small()).unwrap().1, kept);
}

/// The torn group is gone from disk before the boot frame can be there, which might end where
/// an old entry begins.
#[test]
fn the_cut_is_durable_before_the_boot_frame() {
    let (torn, first) = half_a_group(0);
    for call in 0..20 {
        for seed in 0..8 {
            let disk = torn.restart();
            disk.fail_at(call, crate::testing::Fault::Stop);
            drop(reopen(disk.clone(), small()));
            let after = disk.crash(Loss::Writes, seed);
            let (_, seen) = reopen(after, small()).expect("torn, not damaged");
            assert_eq!(seen, [], "call {call}, seed {seed}, first {first}");
        }
    }
}
