//! Record batches: header, codecs, records. First as they came, then with length, codec and CRC
//! put right, so that a mutation reaches what lies behind the checksum; and what may be appended
//! then is produced, fetched and looked up by timestamp.

use super::block_on;
use super::kafka::frame;
use ::bridge::pump::Limits;
use bytes::Bytes;
use topics::{BatchHeader, Records};

/// Of the headers: what lies where.
const LENGTH_AT: std::ops::Range<usize> = 8..12;
const CRC_AT: std::ops::Range<usize> = 17..21;
const CODEC_AT: usize = 22;
const CODEC_MASK: u8 = 0b111;

/// A byte (the codec to write into the header, from 8 on: leave it as it is), and a batch.
pub(crate) fn batch(bytes: &[u8]) -> bool {
    let Some((codec, batch)) = bytes.split_first() else { return false };
    let mut batch = batch.to_vec();
    read(&Bytes::copy_from_slice(&batch));
    if batch.len() <= CODEC_AT {
        return false;
    }
    batch[16] = 2;
    if *codec <= CODEC_MASK {
        batch[CODEC_AT] = batch[CODEC_AT] & !CODEC_MASK | codec;
    }
    let length = (batch.len() - LENGTH_AT.end) as i32;
    batch[LENGTH_AT].copy_from_slice(&length.to_be_bytes());
    let crc = base::hash::crc32c(&batch[CRC_AT.end..]);
    batch[CRC_AT].copy_from_slice(&crc.to_be_bytes());
    let batch = Bytes::from(batch);
    let is_good = read(&batch);
    if BatchHeader::parse(&batch).is_ok() {
        exchange(&batch);
    }
    is_good
}

/// Whether all records can be read, as far as a route unfolds them.
fn read(batch: &Bytes) -> bool {
    let _ = BatchHeader::parse(batch);
    let unfolded_bytes_max = Limits::default().decoded_bytes;
    let Ok(mut records) = Records::open(batch, 1_000, unfolded_bytes_max) else { return false };
    records.all(|record| record.is_ok())
}

/// Produce v9, Fetch v12 and ListOffsets v7 of topic `t`, partition 0, twice each.
fn exchange(batch: &Bytes) {
    let mut produce = vec![0, 0xff, 0xff, 0, 0, 0, 1, 2, 2, b't', 2, 0, 0, 0, 0];
    varint(&mut produce, batch.len() + 1);
    produce.extend_from_slice(batch);
    produce.extend_from_slice(&[0, 0, 0]);
    let mut fetch = vec![0xff; 4];
    fetch.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 1, 0, 0x7f, 0, 0, 0]);
    fetch.extend_from_slice(&[0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]);
    fetch.extend_from_slice(&[2, 2, b't', 2, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]);
    fetch.extend_from_slice(&[0; 8]);
    fetch.extend_from_slice(&[0xff; 12]);
    fetch.extend_from_slice(&[0, 0x7f, 0, 0, 0, 0, 1, 1, 0]);
    let mut list = vec![0xff, 0xff, 0xff, 0xff, 0, 2, 2, b't', 2, 0, 0, 0, 0];
    list.extend_from_slice(&[0xff; 4]);
    list.extend_from_slice(&max_timestamp(batch));
    list.extend_from_slice(&[0, 0, 0]);
    let round = [frame(0, 9, &produce), frame(1, 12, &fetch), frame(2, 7, &list)].concat();
    block_on(kafka::fuzzing::connection(&round.repeat(2)));
}

/// As the header says: a lookup of it unfolds the batch.
fn max_timestamp(batch: &Bytes) -> [u8; 8] {
    let bytes = batch.get(35..43).and_then(|bytes| bytes.try_into().ok());
    bytes.unwrap_or_default()
}

fn varint(bytes: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}
