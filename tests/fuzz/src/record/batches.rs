//! Record batches in each codec, and bombs: little that unfolds to much.

use super::keep;
use anyhow::Context;
use bytes::Bytes;
use std::io::Write;
use topics::BatchBuilder;
use topics::batch::HEADER_BYTES;

/// Attributes of a batch: the codecs' numbers.
const NAMES: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];
/// What a bomb of each codec unfolds to: as much as its ratio and a small corpus allow.
const BOMB_BYTES: [usize; 5] = [0, 48 << 20, 1 << 20, 20 << 20, 48 << 20];

pub(super) fn record() -> anyhow::Result<()> {
    let mut builder = BatchBuilder::new();
    let headers = [("a".to_owned(), Some(Bytes::from_static(b"b"))), ("c".to_owned(), None)];
    builder.push(1_700_000_000_000, Some(b"key"), Some(b"value"), &headers);
    builder.push(1_700_000_000_500, None, None, &[]);
    builder.push(1_700_000_001_000, Some(b""), Some(&[7; 300]), &[]);
    let (_, blob) = builder.build().ok().context("a batch")?;
    let (header, area) = blob.bytes().split_at(HEADER_BYTES);
    for (codec, name) in (0u8..).zip(NAMES) {
        keep("record-batch", name, &batch(codec, header, &compress(codec, area)?))?;
        let zeros = vec![0; BOMB_BYTES[usize::from(codec)]];
        if codec > 0 {
            let bomb = batch(codec, header, &compress(codec, &zeros)?);
            keep("record-batch", &format!("{name}-bomb"), &bomb)?;
        }
    }
    // snappy-java's framing: blocks with their lengths.
    let block = compress(2, area)?;
    let length = u32::try_from(block.len())?.to_be_bytes();
    let framed = [b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01", &length[..], &block].concat();
    keep("record-batch", "snappy-java", &batch(2, header, &framed))?;
    let mut idempotent = batch(0, header, area);
    idempotent[1 + 43..1 + 57].copy_from_slice(&[0, 0, 0, 0, 0, 0, 3, 0xe8, 0, 0, 0, 0, 0, 0]);
    keep("record-batch", "idempotent", &idempotent)?;
    keep("record-batch", "as-it-is", &[&[9], &blob.bytes()[..]].concat())
}

fn batch(codec: u8, header: &[u8], area: &[u8]) -> Vec<u8> {
    [&[codec], header, area].concat()
}

fn compress(codec: u8, plain: &[u8]) -> anyhow::Result<Vec<u8>> {
    Ok(match codec {
        0 => plain.to_vec(),
        1 => {
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
            gzip.write_all(plain)?;
            gzip.finish()?
        }
        2 => snap::raw::Encoder::new().compress_vec(plain)?,
        3 => {
            let mut lz4 = lz4_flex::frame::FrameEncoder::new(Vec::new());
            lz4.write_all(plain)?;
            lz4.finish()?
        }
        _ => zstd::bulk::compress(plain, 3)?,
    })
}
