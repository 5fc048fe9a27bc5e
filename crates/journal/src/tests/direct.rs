//! Frames that bypass the page cache: the file holds what a plain file would.

use crate::{Disk, DiskFile, RealDisk};
use base::Entropy;
use base::SeededEntropy;
use std::io::IoSlice;

/// Frames of all sizes, one behind the other, with zeros ahead of them and reopened now and then;
/// what is read through the cache and past it is what was written.
#[test]
fn a_file_holds_the_frames_as_they_were_written() {
    let directory = tempfile::tempdir().unwrap();
    let disk = RealDisk::open(directory.path()).unwrap();
    let entropy = SeededEntropy::new(5);
    let below = |bound: u64| (entropy.next_u64() % bound) as usize;
    let mut file = disk.create("frames").unwrap();
    file.write_all_at(&mut [IoSlice::new(b"header")], 0).unwrap();
    file.sync_data().unwrap();
    let mut written = b"header".to_vec();
    let mut longest = 0;
    for round in 0..300 {
        let sizes = [0, below(16), below(5_000), below(40_000), (round % 40 / 39) * (5 << 20)];
        let parts: Vec<Vec<u8>> =
            sizes.map(|size| (0..size).map(|at| (at + round) as u8 | 1).collect()).into();
        let mut slices: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
        file.write_frames_at(&mut slices, written.len() as u64).unwrap();
        written.extend(parts.concat());
        match below(8) {
            0 => {
                let block = u64::from(file.block_bytes());
                let from = (written.len() as u64).next_multiple_of(block);
                file.write_zeros_at(from, from + below(100_000) as u64).unwrap();
            }
            1 => file = disk.open("frames").unwrap(),
            _ => {}
        }
        let from = below(written.len() as u64);
        let length = below((written.len() - from) as u64 + 1);
        longest = longest.max(length);
        let wanted = &written[from..from + length];
        assert!(file.read_bytes_at(from as u64, length).unwrap() == wanted, "round {round}");
        let mut cached = vec![0; length.min(4_096)];
        let count = file.read_at(&mut cached, from as u64).unwrap();
        assert!(cached[..count] == wanted[..count], "round {round}, from the cache");
    }
    assert!(longest > 1 << 20, "large blobs have a way of their own");
    file.sync_data().unwrap();
    let found = std::fs::read(directory.path().join("frames")).unwrap();
    assert!(found[..written.len()] == written[..]);
    assert!(found[written.len()..].iter().all(|byte| *byte == 0), "zeros come after the frames");
    let end = found.len() as u64;
    assert_eq!(file.read_bytes_at(end - 3, 10).unwrap().len(), 3, "a read ends with the file");
    assert_eq!(file.read_bytes_at(end + 9_000, 10).unwrap().len(), 0);
}
