//! Crate `kafka-protocol` as an oracle: what it encodes we decode to the same values, and what we
//! encode it decodes to the same values, for every API in every version, with random values.

mod admin;
mod groups;
mod log;

use crate::{
    api::Api,
    table::{self, Key},
    wire::{Frame, Piece, Reader, Writer},
};
use base::{Entropy, SeededEntropy, Uuid};
use bytes::{Bytes, BytesMut};
use kafka_protocol::{
    messages::{BrokerId, GroupId, TopicName},
    protocol::{Decodable, Encodable, StrBytes},
};
use std::fmt::Debug;
use topics::ErrorCode;

/// Rounds of random values per version.
const ROUNDS: u64 = 40;

/// Encodes with the oracle, decodes with ours. Values are compared as they print, because the
/// machine's own types need no equality otherwise.
fn requests<A: Api, O: Encodable>(
    key: Key,
    versions: impl Iterator<Item = i16> + Clone,
    make: impl Fn(&mut Dice, i16) -> (O, A::Request),
) where
    A::Request: Debug,
{
    let entry = table::find(key as i16).unwrap();
    for version in versions {
        for seed in 0..ROUNDS {
            let mut dice = Dice(SeededEntropy::new(seed));
            let (oracle, expected) = make(&mut dice, version);
            let mut bytes = BytesMut::new();
            oracle.encode(&mut bytes, version).unwrap();
            keep_for_fuzzing(key, version, seed, &bytes);
            let mut reader = Reader::new(bytes.freeze());
            reader.set_flexible(entry.is_flexible(version));
            let decoded = A::decode(&mut reader, version)
                .unwrap_or_else(|error| panic!("{key:?} v{version} seed {seed}: {error}"));
            assert_eq!(format!("{decoded:?}"), format!("{expected:?}"), "{key:?} v{version}");
            assert_eq!(reader.remaining(), 0, "{key:?} v{version} seed {seed}");
        }
    }
}

/// With `FUZZ_CORPUS` set, to a folder: some requests go there, as `tests/fuzz` wants them.
fn keep_for_fuzzing(key: Key, version: i16, seed: u64, body: &[u8]) {
    let Some(folder) = std::env::var_os("FUZZ_CORPUS").filter(|_| seed == 1) else { return };
    let input = [&(key as i16).to_be_bytes(), &version.to_be_bytes(), body].concat();
    let name = format!("{key:?}-v{version}");
    std::fs::write(std::path::Path::new(&folder).join(name), input).unwrap();
}

/// Encodes with ours, decodes with the oracle.
fn responses<A: Api, O: Decodable + Debug + PartialEq>(
    key: Key,
    versions: impl Iterator<Item = i16> + Clone,
    make: impl Fn(&mut Dice, i16) -> (A::Response, O),
) {
    let entry = table::find(key as i16).unwrap();
    for version in versions {
        for seed in 0..ROUNDS {
            let mut dice = Dice(SeededEntropy::new(seed));
            let (response, expected) = make(&mut dice, version);
            let mut writer = Writer::new(entry.is_flexible(version));
            A::encode(&mut writer, version, &response);
            let mut bytes = flatten(writer.finish().unwrap());
            let decoded = O::decode(&mut bytes, version)
                .unwrap_or_else(|error| panic!("{key:?} v{version} seed {seed}: {error}"));
            assert_eq!(decoded, expected, "{key:?} v{version} seed {seed}");
            assert!(bytes.is_empty(), "{key:?} v{version} seed {seed}");
        }
    }
}

/// All versions of the table.
fn all(key: Key) -> impl Iterator<Item = i16> + Clone {
    let entry = table::find(key as i16).unwrap();
    entry.version_min..=entry.version_max
}

/// The bytes of a frame; batches become so many zeros.
fn flatten(frame: Frame) -> Bytes {
    let mut bytes = BytesMut::new();
    for piece in frame.pieces {
        match piece {
            Piece::Bytes(piece) => bytes.extend_from_slice(&piece),
            Piece::Batch(batch, _) => bytes.resize(bytes.len() + batch.address.length as usize, 0),
        }
    }
    assert_eq!(bytes.len(), frame.length as usize);
    bytes.freeze()
}

/// Random values.
struct Dice(SeededEntropy);

impl Dice {
    fn below(&mut self, limit: u64) -> usize {
        (self.0.next_u64() % limit) as usize
    }

    fn bool(&mut self) -> bool {
        self.below(2) == 0
    }

    fn i8(&mut self) -> i8 {
        self.0.next_u64() as i8
    }

    fn i16(&mut self) -> i16 {
        self.0.next_u64() as i16
    }

    fn i32(&mut self) -> i32 {
        self.0.next_u64() as i32
    }

    fn i64(&mut self) -> i64 {
        self.0.next_u64() as i64
    }

    fn uuid(&mut self) -> Uuid {
        Uuid::from_u64_pair(self.0.next_u64(), self.0.next_u64())
    }

    /// Sometimes empty, sometimes long enough for a length of two bytes, not only ASCII.
    fn string(&mut self) -> String {
        let length = [0, 1, 5, 20, 200][self.below(5)];
        (0..length).map(|_| ['a', 'Z', '0', '.', '-', 'ß', '漢'][self.below(7)]).collect()
    }

    fn bytes(&mut self) -> Bytes {
        let length = [0, 1, 60, 300][self.below(4)];
        (0..length).map(|_| self.0.next_u64() as u8).collect()
    }

    fn maybe<T>(&mut self, make: impl FnOnce(&mut Dice) -> T) -> Option<T> {
        self.bool().then(|| make(self))
    }

    fn list<T>(&mut self, mut make: impl FnMut(&mut Dice) -> T) -> Vec<T> {
        (0..self.below(4)).map(|_| make(self)).collect()
    }

    fn error(&mut self) -> ErrorCode {
        use ErrorCode::{InvalidTopic, None, OffsetOutOfRange, UnknownServerError, UnknownTopicId};
        [None, UnknownServerError, OffsetOutOfRange, InvalidTopic, UnknownTopicId][self.below(5)]
    }
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn maybe_text(maybe: Option<&String>) -> Option<StrBytes> {
    maybe.map(|maybe| text(maybe))
}

fn topic_name(name: &str) -> TopicName {
    TopicName(text(name))
}

fn group_id(group: &str) -> GroupId {
    GroupId(text(group))
}

const NODE: BrokerId = BrokerId(1);
