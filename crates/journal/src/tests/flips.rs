//! T6: bits are flipped and blocks exchanged in files of every kind. What is read is exactly what
//! the frames that are still whole allow, and everything else is refused by name.
//!
//! Guaranteed is this: an entry is never dropped in silence as long as one frame is left that
//! was written after the entry had been durable, and that says so. What this leaves out: damage
//! to the last group before its seal (which is written after `idle_seal` without a new entry, or with
//! the close of the segment), and damage that also takes every later frame away, the seal included.
//! Both look like a torn tail and are cut.

use super::*;
use crate::frame::{Header, Kind, Place};
use crate::segment::{SegmentHeader, number_of};
use std::collections::BTreeMap;
use std::ops::Range;

pub(super) type Files = BTreeMap<String, Vec<u8>>;

/// A frame of the journal before it was damaged.
pub(super) struct Framed {
    pub(super) file: String,
    pub(super) bytes: Range<usize>,
    pub(super) header: Header,
}

struct Written {
    all: Vec<Seen>,
    files: Files,
    frames: Vec<Framed>,
}

pub(super) fn files_of(disk: &SimDisk) -> Files {
    disk.names().into_iter().map(|name| (name.clone(), disk.contents(&name))).collect()
}

/// Several lives, groups of several entries, seals, rolls, a tail with or without a seal, and a
/// segment that was prepared ahead.
fn many_segments(seed: u64) -> Written {
    let disk = SimDisk::new(4 + seed);
    disk.replace("LOCK", b"locked".to_vec());
    let entropy = SeededEntropy::new(seed);
    let mut all = Vec::new();
    for life in 0..3 {
        let (mut opened, seen) = reopen(disk.clone(), small()).unwrap();
        assert_eq!(seen, all);
        for round in 0..25 {
            for _ in 0..=entropy.next_u64() % 3 {
                all.push(append(&mut opened, some_entry(&entropy, 700)));
            }
            commit(&mut opened).unwrap();
            if round % 5 == 4 && (life < 2 || round < 24 || seed.is_multiple_of(2)) {
                opened.committer.seal().unwrap();
            }
        }
    }
    let files = files_of(&disk);
    let frames = frames_of(&files);
    let entries = frames.iter().filter(|frame| frame.header.kind == Kind::Entry).count();
    assert_eq!(entries, all.len());
    assert!(files.len() >= 6, "{:?}", files.keys());
    Written { all, files, frames }
}

pub(super) fn frames_of(files: &Files) -> Vec<Framed> {
    let mut frames = Vec::new();
    for (name, bytes) in files.iter().filter(|(name, _)| number_of(name).is_some()) {
        let SegmentHeader { number: segment, salt, .. } = SegmentHeader::decode(bytes).unwrap();
        let mut start = 4096;
        while let Some(rest) = bytes.get(start..) {
            let place = Place { salt, segment, position: start as u32 };
            let Some(header) = Header::decode(rest, place) else { break };
            let end = start + 80 + header.length as usize;
            frames.push(Framed { file: name.clone(), bytes: start..end, header });
            start = end.next_multiple_of(8);
        }
    }
    frames
}

/// What opening a damaged journal must do.
#[derive(Debug, PartialEq)]
enum Due {
    /// Read this many entries.
    Read(usize),
    /// Refuse, and name the file and the offset.
    Refuse(String, u64),
    /// Refuse because of `VERSION`.
    Version,
}

impl Written {
    fn changed(&self, bad: &Files, file: &str, range: Range<usize>) -> bool {
        self.files[file][range.clone()] != bad[file][range]
    }

    fn is_whole(&self, bad: &Files, frame: &Framed) -> bool {
        !self.changed(bad, &frame.file, frame.bytes.clone())
    }

    fn has_header(&self, bad: &Files, frame: &Framed) -> bool {
        !self.changed(bad, &frame.file, frame.bytes.start..frame.bytes.start + 80)
    }

    fn due(&self, bad: &Files) -> Due {
        if bad["VERSION"] != self.files["VERSION"] {
            return Due::Version;
        }
        let segments = self.files.keys().filter(|name| number_of(name).is_some());
        for name in segments {
            if self.changed(bad, name, 0..32) {
                return Due::Refuse(name.clone(), 0);
            }
        }
        let Some(first) = self.frames.iter().position(|frame| !self.is_whole(bad, frame)) else {
            return Due::Read(self.all.len());
        };
        let (before, rest) = self.frames.split_at(first);
        let entries = before.iter().filter(|frame| frame.header.kind == Kind::Entry).count();
        let start = rest[0].bytes.start;
        let epoch = before.last().map_or(0, |frame| frame.header.boot_epoch);
        let proven = rest.iter().filter(|frame| self.has_header(bad, frame)).any(|later| {
            later.file != rest[0].file
                || later.header.synced as usize > start
                || later.header.durable.0 as usize > entries
                || later.header.boot_epoch > epoch
        });
        match proven || first == 0 {
            true => Due::Refuse(rest[0].file.clone(), start as u64),
            false => Due::Read(entries),
        }
    }

    /// How many entries the frames that are left prove to have been durable.
    fn proven(&self, bad: &Files) -> usize {
        let mut proven = 0;
        for later in self.frames.iter().filter(|frame| self.has_header(bad, frame)) {
            let synced = later.header.synced as usize;
            let before = self.frames.iter().filter(|frame| {
                let earlier = frame.file < later.file;
                let below = frame.file == later.file && frame.bytes.end <= synced;
                frame.header.kind == Kind::Entry && (earlier || below)
            });
            proven = proven.max(before.count()).max(later.header.durable.0 as usize);
        }
        proven
    }

    /// Opens a damaged journal, and checks that it does what it must.
    fn check(&self, bad: &Files, context: &str) -> Due {
        let disk = SimDisk::new(1);
        for (name, bytes) in bad {
            disk.replace(name, bytes.clone());
        }
        let done = match reopen(disk, small()) {
            Ok((_, seen)) => {
                assert_eq!(seen, self.all[..seen.len()], "{context}");
                assert!(seen.len() >= self.proven(bad), "{context}");
                Due::Read(seen.len())
            }
            Err(Error::Damaged { file, offset, .. }) => Due::Refuse(file, offset),
            Err(Error::Version { .. }) => Due::Version,
            Err(other) => panic!("{context}: {other}"),
        };
        assert_eq!(done, self.due(bad), "{context}");
        done
    }

    /// Places of every kind, by the kind's name.
    fn places(&self) -> BTreeMap<&'static str, Vec<(String, Range<usize>)>> {
        let mut places: BTreeMap<&'static str, Vec<(String, Range<usize>)>> = BTreeMap::new();
        let mut put = |kind: &'static str, file: &str, range: Range<usize>| {
            if !range.is_empty() {
                places.entry(kind).or_default().push((file.to_owned(), range));
            }
        };
        for (name, bytes) in &self.files {
            if number_of(name).is_none() {
                put(if name == "LOCK" { "lock" } else { "version" }, name, 0..bytes.len());
                continue;
            }
            let frames = || self.frames.iter().filter(|frame| &frame.file == name);
            let end = frames().next_back().map_or(4096, |frame| frame.bytes.end);
            let prepared = frames().next().is_none();
            put(if prepared { "prepared header" } else { "header" }, name, 0..32);
            put("header padding", name, 32..4096);
            put(if prepared { "prepared zeros" } else { "zeros" }, name, end..bytes.len());
            for Framed { bytes: Range { start, end }, header, .. } in frames() {
                let (table, meta) = (header.table_bytes() as usize, header.meta_bytes as usize);
                let kind = match header.kind {
                    Kind::Entry => "entry",
                    Kind::Seal => "seal",
                    Kind::Boot => "boot",
                    Kind::Close => "close",
                };
                put(kind, name, *start..start + 80);
                put("table", name, start + 80..start + 80 + table);
                put("meta", name, start + 80 + table..start + 80 + table + meta);
                put("blob", name, start + 80 + table + meta..*end);
                put("padding", name, *end..end.next_multiple_of(8).min(bytes.len()));
            }
        }
        places
    }
}

/// 2,000 in all, or 20,000.
fn rounds() -> u64 {
    if long() { 5_000 } else { 500 }
}

#[test]
fn t6_flipped_bits_are_refused_or_cost_only_what_nothing_proves() {
    let mut images = BTreeMap::<&str, u64>::new();
    let (mut refused, mut cut) = (0, 0);
    for seed in 0..4 {
        let written = many_segments(seed);
        let entropy = SeededEntropy::new(seed);
        let below = |bound: usize| (entropy.next_u64() % bound as u64) as usize;
        let places = written.places();
        for (round, (kind, ranges)) in (0..rounds()).zip(places.iter().cycle()) {
            let (file, range) = &ranges[below(ranges.len())];
            let (byte, bit) = (range.start + below(range.len()), below(8));
            let mut bad = written.files.clone();
            bad.get_mut(file).unwrap()[byte] ^= 1 << bit;
            let context = format!("seed {seed}, round {round}: {kind}, {file} {byte}.{bit}");
            match written.check(&bad, &context) {
                Due::Read(entries) => cut += u64::from(entries < written.all.len()),
                _ => refused += 1,
            }
            *images.entry(kind).or_default() += 1;
        }
    }
    assert_eq!(images.values().sum::<u64>(), 4 * rounds());
    assert_eq!(images.len(), 15, "every kind of place: {images:?}");
    assert!(images.values().all(|count| *count >= rounds() / 15), "{images:?}");
    // A single flip costs something only in the last group, where that has no seal.
    assert!(refused > rounds() && cut > 0 && cut < rounds() / 5, "{refused} {cut}");
}

#[test]
fn t6_exchanged_blocks_are_refused_or_cost_only_what_nothing_proves() {
    let (mut images, mut refused) = (0, 0);
    for seed in 0..4 {
        let written = many_segments(seed);
        let entropy = SeededEntropy::new(100 + seed);
        let below = |bound: usize| (entropy.next_u64() % bound as u64) as usize;
        let names: Vec<&String> =
            written.files.keys().filter(|name| number_of(name).is_some()).collect();
        for round in 0..rounds() {
            let block = if round % 2 == 0 { 512 } else { 4096 };
            let from = names[below(names.len())];
            let to = if round % 3 == 0 { names[below(names.len())] } else { from };
            let start = |name: &String| block * below(written.files[name].len() / block);
            let (at, other) = (start(from), start(to));
            let mut bad = written.files.clone();
            let bytes = bad[from][at..at + block].to_vec();
            let others = bad[to][other..other + block].to_vec();
            bad.get_mut(to).unwrap()[other..other + block].copy_from_slice(&bytes);
            match round % 5 {
                // Written twice, in the wrong place: what should be there is somewhere else.
                0 => {}
                1 => bad.get_mut(from).unwrap()[at..at + block].fill(0),
                _ => bad.get_mut(from).unwrap()[at..at + block].copy_from_slice(&others),
            }
            let context = format!("seed {seed}, round {round}: {from} {at} to {to} {other}");
            refused += u64::from(!matches!(written.check(&bad, &context), Due::Read(_)));
            images += 1;
        }
    }
    assert_eq!(images, 4 * rounds());
    assert!(refused > 2 * rounds(), "{refused}");
}

/// What the oracle above leans on: each frame says how much was durable when it was written, no
/// more and, up to the group before, no less.
#[test]
fn frames_prove_all_that_was_acknowledged_before_them() {
    let disk = SimDisk::new(7);
    let (mut opened, _) = reopen(disk.clone(), small()).unwrap();
    let entropy = SeededEntropy::new(7);
    let mut acknowledged = Vec::new();
    for round in 0..60 {
        for _ in 0..=entropy.next_u64() % 3 {
            append(&mut opened, some_entry(&entropy, 500));
        }
        let mut before = opened.appender.durable().0;
        while let Some(group) = opened.committer.try_group().unwrap() {
            let crate::Group::Committed { durable, entries, .. } = group else { panic!() };
            acknowledged.extend(vec![before; entries]);
            before = durable.0;
        }
        if round % 4 == 0 {
            opened.committer.seal().unwrap();
        }
    }
    let frames = frames_of(&files_of(&disk));
    let mut entries = 0;
    for frame in &frames {
        match frame.header.kind {
            Kind::Entry => {
                assert_eq!(frame.header.durable.0, acknowledged[entries]);
                entries += 1;
            }
            Kind::Seal | Kind::Boot => assert_eq!(frame.header.durable.0, entries as u64),
            Kind::Close => assert!(frame.header.durable.0 <= entries as u64),
        }
    }
    assert_eq!(entries, acknowledged.len());
    assert!(frames.iter().any(|frame| frame.header.kind == Kind::Close));
}
