//! Mutations of inputs, seeded. Own code, because nothing kept on the stable toolchain fits: the
//! libraries either bring a harness of their own or need coverage, which `guided/` has.
//!
//! It knows what encodings have in common: lengths before what they count, in either byte order
//! and as varints, and fields that may be repeated, left out, or taken from another input.

use crate::INPUT_BYTES_MAX;
use base::{Entropy, SeededEntropy};

/// Numbers at which decoders break.
const EDGES: [u64; 16] = [
    0,
    1,
    2,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0x8000,
    0xffff,
    1 << 20,
    1 << 24,
    0x7fff_fffe,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x7fff_ffff_ffff_ffff,
];
/// Mutations of one input.
const MUTATIONS_MAX: usize = 6;

/// Makes inputs.
pub(crate) struct Mutator {
    dice: SeededEntropy,
    corpus: Vec<Vec<u8>>,
}

impl Mutator {
    /// The same seed and corpus give the same inputs.
    pub(crate) fn new(seed: u64, corpus: Vec<Vec<u8>>) -> Mutator {
        Mutator { dice: SeededEntropy::new(seed), corpus }
    }

    /// The next input.
    pub(crate) fn next(&mut self) -> Vec<u8> {
        let mut input = self.any().to_vec();
        for _ in 0..=self.below(MUTATIONS_MAX) {
            self.mutate(&mut input);
        }
        input.truncate(INPUT_BYTES_MAX);
        input
    }

    fn any(&self) -> &[u8] {
        if self.corpus.is_empty() { &[] } else { &self.corpus[self.below(self.corpus.len())] }
    }

    fn mutate(&self, input: &mut Vec<u8>) {
        match self.below(11) {
            0 => self.with_byte(input, |byte, random| byte ^ (1 << (random % 8))),
            1 => self.with_byte(input, |_, random| random as u8),
            2 => self.with_byte(input, |byte, random| {
                byte.wrapping_add((random % 9) as u8).wrapping_sub(4)
            }),
            3 => self.overwrite(input, &self.number(self.edge())),
            4 => self.change_length(input),
            5 => self.varint(input),
            6 => input.truncate(self.below(input.len() + 1)),
            7 => drop(input.drain(self.range(input.len()))),
            8 => self.duplicate(input),
            9 => {
                let random: Vec<u8> = (0..self.below(9)).map(|_| self.below(256) as u8).collect();
                self.insert(input, &random);
            }
            _ => self.splice(input),
        }
    }

    fn with_byte(&self, input: &mut [u8], change: impl Fn(u8, u64) -> u8) {
        let at = self.below(input.len().max(1));
        if let Some(byte) = input.get_mut(at) {
            *byte = change(*byte, self.dice.next_u64());
        }
    }

    fn edge(&self) -> u64 {
        EDGES[self.below(EDGES.len())].wrapping_add(self.below(3) as u64).wrapping_sub(1)
    }

    /// A number as it may stand in a message: 1, 2, 4 or 8 bytes, in either order.
    fn number(&self, value: u64) -> Vec<u8> {
        let bytes = 1 << self.below(4);
        let mut number = value.to_le_bytes()[..bytes].to_vec();
        if self.below(2) == 0 {
            number.reverse();
        }
        number
    }

    fn overwrite(&self, input: &mut [u8], with: &[u8]) {
        let at = self.below(input.len() + 1);
        let room = input.len() - at;
        let length = with.len().min(room);
        input[at..at + length].copy_from_slice(&with[..length]);
    }

    /// Looks for a number that may be the length of what follows, and makes it another one.
    fn change_length(&self, input: &mut [u8]) {
        let start = self.below(input.len().max(1));
        let is_big = self.below(2) == 0;
        let size = 2 << self.below(2);
        let read = |bytes: &[u8]| {
            let add = |value: usize, byte: &u8| value << 8 | usize::from(*byte);
            if is_big { bytes.iter().fold(0, add) } else { bytes.iter().rev().fold(0, add) }
        };
        for at in start..input.len().saturating_sub(size) {
            let length = read(&input[at..at + size]);
            if length > 0 && length <= input.len() - at - size {
                let near = (length as u64).wrapping_add(self.below(9) as u64).wrapping_sub(4);
                let value = if self.below(2) == 0 { near } else { self.edge() };
                let mut bytes = value.to_le_bytes()[..size].to_vec();
                if is_big {
                    bytes.reverse();
                }
                input[at..at + size].copy_from_slice(&bytes);
                return;
            }
        }
    }

    /// Puts a varint of up to ten bytes in the place of a byte.
    fn varint(&self, input: &mut Vec<u8>) {
        let mut value = if self.below(2) == 0 { self.edge() } else { self.dice.next_u64() };
        let mut bytes = Vec::new();
        while value >= 0x80 {
            bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        bytes.push(value as u8);
        let at = self.below(input.len().max(1)).min(input.len());
        let end = (at + 1).min(input.len());
        input.splice(at..end, bytes);
    }

    /// Repeats a part, up to many times.
    fn duplicate(&self, input: &mut Vec<u8>) {
        let part = input[self.range(input.len())].to_vec();
        let times = [1, 1, 2, 16, 256, 4_096][self.below(6)];
        let times = times.min(INPUT_BYTES_MAX / part.len().max(1));
        self.insert(input, &part.repeat(times));
    }

    /// Puts a part of another input somewhere.
    fn splice(&self, input: &mut Vec<u8>) {
        let other = self.any();
        let part = other[self.range(other.len())].to_vec();
        if self.below(2) == 0 {
            self.overwrite(input, &part);
        } else {
            self.insert(input, &part);
        }
    }

    fn insert(&self, input: &mut Vec<u8>, part: &[u8]) {
        let at = self.below(input.len() + 1);
        input.splice(at..at, part.iter().copied());
    }

    fn range(&self, length: usize) -> std::ops::Range<usize> {
        let start = self.below(length + 1);
        let longest = if self.below(2) == 0 { 16 } else { length };
        start..(start + self.below(longest + 1)).min(length)
    }

    fn below(&self, limit: usize) -> usize {
        (self.dice.next_u64() % limit.max(1) as u64) as usize
    }
}
