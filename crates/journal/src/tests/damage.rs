//! Single damages, each by hand; the many are in `flips` and `tail`.

use super::*;

fn disk_with(bytes: Vec<u8>) -> SimDisk {
    let disk = SimDisk::new(4);
    disk.replace("0000000001.segment", bytes);
    disk
}

#[test]
fn a_sealed_group_is_proven_and_damage_to_it_refused() {
    let disk = SimDisk::new(4);
    let (mut opened, _) = reopen(disk.clone(), small()).unwrap();
    let seen = append(&mut opened, some_entry(&SeededEntropy::new(3), 100));
    commit(&mut opened).unwrap();
    opened.committer.seal().unwrap();
    let bytes = disk.contents("0000000001.segment");
    let blobs: usize = seen.blobs.iter().map(Bytes::len).sum();
    let first = 4096 + 80 + 80 + 8 * seen.blobs.len() + seen.meta.len() + blobs;
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
        let refused = matches!(reader.read(wrong), Err(Error::Damaged { .. }));
        assert!(refused, "a wrong byte is served: {wrong:?}");
    }
    assert!(matches!(reader.read(BlobAddr { segment: 9, ..address }), Err(Error::Io { .. })));
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

/// The header's CRC is right in all of these, so only a defect can have written them. Found by
/// fuzzing: the boot frame had no place, and the start panicked.
#[test]
fn a_capacity_that_cannot_be_is_refused() {
    let disk = SimDisk::new(4);
    let (mut opened, _) = reopen(disk.clone(), small()).unwrap();
    append(&mut opened, Entry { meta: vec![1; 64], ..Entry::default() });
    commit(&mut opened).unwrap();
    let bytes = disk.contents("0000000001.segment");
    // A boot frame, and the entry's.
    let end = 4_096 + 80 + 80 + 64;
    let salt = u64::from_le_bytes(bytes[20..28].try_into().unwrap());
    for (capacity, reason) in [
        (0, "no segment has such a capacity"),
        (4_096 + 152, "no segment has such a capacity"),
        (4_096 + 161, "no segment has such a capacity"),
        (end, "it leaves no room for the end of its segment"),
        (end + 152, "it leaves no room for the end of its segment"),
    ] {
        let header = crate::segment::SegmentHeader { number: 1, capacity, salt };
        let mut odd = bytes.clone();
        odd[..4_096].copy_from_slice(&header.encode());
        let Err(error) = reopen(disk_with(odd), small()) else {
            panic!("capacity {capacity} is accepted");
        };
        assert!(error.to_string().contains(reason), "capacity {capacity}: {error}");
    }
}
