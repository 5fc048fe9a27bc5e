//! Record batches: what is refused, what is read, and that neither can be made to panic or to
//! take more memory than allowed.

mod support;

use bytes::{BufMut, Bytes, BytesMut};
use proptest::prelude::*;
use std::io::Write;
use support::{batch, from_producer, sealed};
use topics::records::{self, Header};
use topics::{BatchBuilder, BatchHeader, DecompressError, ErrorCode, Record, Records};

const LIMIT: usize = 1 << 20;

#[test]
fn only_one_sound_batch_is_let_in() {
    use ErrorCode::{
        CorruptMessage, InvalidRecord, TransactionalIdAuthorizationFailed,
        UnsupportedCompressionType,
    };
    let good = batch(3).1;
    let changed = |at: usize, bytes: &[u8]| {
        let mut batch = good.to_vec();
        batch[at..at + bytes.len()].copy_from_slice(bytes);
        batch
    };
    let twice = [good.as_ref(), good.as_ref()].concat();
    let mut torn = changed(61, &[0x7e]);
    torn.truncate(good.len());
    for (what, bytes, want) in [
        ("nothing", Bytes::new(), CorruptMessage),
        ("half a header", good.slice(..40), CorruptMessage),
        ("a header that is cut", good.slice(..16), CorruptMessage),
        ("cut off", good.slice(..good.len() - 1), InvalidRecord),
        ("two batches", twice.into(), InvalidRecord),
        ("magic 1", changed(16, &[1]).into(), InvalidRecord),
        ("a flipped bit", changed(70, &[0xff]).into(), CorruptMessage),
        ("a wrong CRC", changed(17, &[0, 0, 0, 0]).into(), CorruptMessage),
        ("length 2^31-1", changed(8, &i32::MAX.to_be_bytes()).into(), InvalidRecord),
        ("length -1", changed(8, &(-1i32).to_be_bytes()).into(), InvalidRecord),
        ("codec 5", sealed(changed(22, &[5])), UnsupportedCompressionType),
        ("transactional", sealed(changed(22, &[0x10])), TransactionalIdAuthorizationFailed),
        ("control", sealed(changed(22, &[0x20])), InvalidRecord),
        ("no records", sealed(changed(57, &0i32.to_be_bytes())), InvalidRecord),
        ("one record more", sealed(changed(57, &4i32.to_be_bytes())), InvalidRecord),
        ("2^31-1 records", sealed(changed(57, &i32::MAX.to_be_bytes())), InvalidRecord),
        ("a wrong last offset", sealed(changed(23, &7i32.to_be_bytes())), InvalidRecord),
        ("a producer without sequence", sealed(changed(43, &5i64.to_be_bytes())), InvalidRecord),
        ("a record over the end", sealed(torn), InvalidRecord),
    ] {
        let got = BatchHeader::parse(&bytes).expect_err(what);
        assert_eq!(got.code(), want, "{what}: {got}");
    }
    assert_eq!(BatchHeader::parse(&good).expect("sound"), batch(3).0);
    let (header, _) = from_producer(&good, 9, 1, i32::MAX - 1);
    assert_eq!(header.last_sequence(), 0, "sequences wrap to 0");
}

#[test]
fn counts_that_agree_with_each_other_but_not_with_the_bytes_are_refused() {
    let mut bytes = batch(1).1.to_vec();
    bytes[23..27].copy_from_slice(&(i32::MAX - 1).to_be_bytes());
    bytes[57..61].copy_from_slice(&i32::MAX.to_be_bytes());
    let bytes = sealed(bytes);
    let error = BatchHeader::parse(&bytes).expect_err("2^31-1 records in 20 bytes");
    assert_eq!(error.code(), ErrorCode::InvalidRecord);
    let read: Vec<_> = Records::open(&bytes, 0, LIMIT).expect("opens").collect();
    assert_eq!(read.len(), 2, "the record, and the error that ends it");
    assert!(read[1].is_err());
}

/// Compresses the record area of a batch; `codec` is Kafka's number.
fn compressed(batch: &Bytes, codec: u8, area: &[u8]) -> Bytes {
    let mut bytes = batch[..61].to_vec();
    bytes[22] = codec;
    bytes.extend_from_slice(area);
    let length = (bytes.len() - 12) as i32;
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    sealed(bytes)
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(plain).expect("in memory");
    encoder.finish().expect("in memory")
}

fn snappy(plain: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(plain).expect("in memory")
}

fn xerial(plain: &[u8]) -> Vec<u8> {
    let mut framed = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01".to_vec();
    for chunk in plain.chunks(7) {
        let block = snappy(chunk);
        framed.extend_from_slice(&(block.len() as u32).to_be_bytes());
        framed.extend_from_slice(&block);
    }
    framed
}

fn lz4(plain: &[u8]) -> Vec<u8> {
    let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
    encoder.write_all(plain).expect("in memory");
    encoder.finish().expect("in memory")
}

/// As a streaming producer writes it: without the content's size in the frame.
fn zstd_stream(plain: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).expect("in memory");
    encoder.write_all(plain).expect("in memory");
    encoder.finish().expect("in memory")
}

fn zstd_whole(plain: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(plain, 3).expect("in memory")
}

type Compress = fn(&[u8]) -> Vec<u8>;
const CODECS: [(&str, u8, Compress); 6] = [
    ("gzip", 1, gzip),
    ("raw snappy", 2, snappy),
    ("xerial snappy", 2, xerial),
    ("lz4", 3, lz4),
    ("zstd stream", 4, zstd_stream),
    ("zstd", 4, zstd_whole),
];

fn read(batch: &Bytes, limit_bytes: usize) -> Result<Vec<Record>, records::Error> {
    Records::open(batch, 100, limit_bytes)?.collect()
}

#[test]
fn every_codec_reads_the_same() {
    let plain = batch(50).1;
    let want = read(&plain, LIMIT).expect("plain");
    assert_eq!(want.len(), 50);
    assert_eq!((want[49].offset, want[49].timestamp_ms), (149, 1_049));
    for (name, codec, compress) in CODECS {
        let bytes = compressed(&plain, codec, &compress(&plain[61..]));
        BatchHeader::parse(&bytes).expect(name);
        assert_eq!(read(&bytes, LIMIT).expect(name), want, "{name}");
        assert_eq!(read(&bytes, plain.len() - 61).expect(name), want, "{name} at the limit");
        let error = read(&bytes, plain.len() - 62).expect_err(name);
        let limit_bytes = plain.len() - 62;
        let too_large = DecompressError::TooLarge { limit_bytes };
        assert_eq!(error, records::Error::Decompress(too_large), "{name} over the limit");
        let cut = compressed(&plain, codec, &compress(&plain[61..])[..40]);
        assert!(read(&cut, LIMIT).is_err(), "{name} cut off");
    }
}

#[test]
fn bombs_give_an_error() {
    let plain = batch(1).1;
    let zeros = vec![0u8; 64 << 20];
    for (name, codec, compress) in CODECS.into_iter().filter(|it| it.0 != "xerial snappy") {
        let bomb = compressed(&plain, codec, &compress(&zeros));
        let error = read(&bomb, LIMIT).expect_err(name);
        let too_large = DecompressError::TooLarge { limit_bytes: LIMIT };
        assert_eq!(error, records::Error::Decompress(too_large), "{name}");
    }
    // A snappy block that claims to be 1 MiB and is 4 bytes.
    let lie = compressed(&plain, 2, &[0xff, 0xff, 0x3f, 0]);
    assert!(matches!(read(&lie, LIMIT), Err(records::Error::Decompress(_))));
    // An xerial block that claims 4 GiB.
    let mut framed = xerial(b"x");
    framed[16..20].copy_from_slice(&u32::MAX.to_be_bytes());
    assert!(read(&compressed(&plain, 2, &framed), LIMIT).is_err());
}

#[test]
fn log_append_time_is_every_records_time() {
    let mut bytes = batch(2).1.to_vec();
    bytes[22] |= 1 << 3;
    bytes[35..43].copy_from_slice(&77i64.to_be_bytes());
    let read = read(&sealed(bytes), LIMIT).expect("readable");
    assert!(read.iter().all(|it| it.timestamp_ms == 77));
}

#[test]
fn placing_a_batch_keeps_its_crc() {
    let mut bytes = batch(2).1.to_vec();
    topics::batch::place(&mut bytes, 1_234, 5);
    assert_eq!(bytes[..8], 1_234i64.to_be_bytes());
    assert_eq!(bytes[12..16], 5i32.to_be_bytes());
    BatchHeader::parse(&bytes.into()).expect("still sound");
    topics::batch::place(&mut [], 0, 0);
}

/// One record written by hand: length, attributes, timestamp, offset, key, value, headers.
fn by_hand(record: &[u8]) -> Bytes {
    let mut bytes = BytesMut::from(&batch(1).1[..61]);
    bytes.put_u8((record.len() as u8) << 1);
    bytes.extend_from_slice(record);
    let mut bytes = bytes.to_vec();
    let length = (bytes.len() - 12) as i32;
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    sealed(bytes)
}

#[test]
fn records_are_checked_to_the_last_byte() {
    let overlong = [0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 1, 0];
    for (what, record, good) in [
        ("null key, null value", &[0, 0, 0, 1, 1, 0][..], true),
        ("empty key, value", &[0, 0, 0, 0, 2, b'v', 0], true),
        ("a header without value", &[0, 0, 0, 1, 1, 2, 2, b'h', 1], true),
        ("a header twice", &[0, 0, 0, 1, 1, 4, 2, b'h', 1, 2, b'h', 0], true),
        ("a byte left over", &[0, 0, 0, 1, 1, 0, 0], false),
        ("offset delta 1", &[0, 0, 2, 1, 1, 0], false),
        ("key length -2", &[0, 0, 0, 3, 1, 0], false),
        ("key over the end", &[0, 0, 0, 40, 1, 0], false),
        ("2^30 headers", &[0, 0, 0, 1, 1, 0x80, 0x80, 0x80, 0x80, 8], false),
        ("-1 headers", &[0, 0, 0, 1, 1, 1], false),
        ("a null header key", &[0, 0, 0, 1, 1, 2, 1, 1], false),
        ("a header key that is not UTF-8", &[0, 0, 0, 1, 1, 2, 2, 0xff, 1], false),
        ("a number of 11 bytes", &overlong, false),
        ("nothing", &[], false),
    ] {
        let bytes = by_hand(record);
        assert_eq!(BatchHeader::parse(&bytes).is_ok(), good, "check: {what}");
        assert_eq!(read(&bytes, LIMIT).is_ok(), good, "read: {what}");
        // Compressed, the same bytes are only looked at when they are read.
        let hidden = compressed(&bytes, 1, &gzip(&bytes[61..]));
        assert!(BatchHeader::parse(&hidden).is_ok(), "hidden: {what}");
        assert_eq!(read(&hidden, LIMIT).is_ok(), good, "hidden: {what}");
    }
}

#[test]
fn a_batch_needs_a_record() {
    assert!(BatchBuilder::new().build().is_err());
}

fn bytes_or_null() -> impl Strategy<Value = Option<Bytes>> {
    proptest::option::of(proptest::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from))
}

fn header() -> impl Strategy<Value = Header> {
    ("[a-zé]{0,6}", bytes_or_null())
}

fn record() -> impl Strategy<Value = Record> {
    let headers = proptest::collection::vec(header(), 0..4);
    (any::<i64>(), bytes_or_null(), bytes_or_null(), headers).prop_map(
        |(timestamp_ms, key, value, headers)| Record {
            offset: 0,
            timestamp_ms,
            key,
            value,
            headers,
        },
    )
}

proptest! {
    #[test]
    fn what_is_built_reads_back(
        records in proptest::collection::vec(record(), 1..20), base_offset in 0i64..1 << 40
    ) {
        let mut builder = BatchBuilder::new();
        for it in &records {
            builder.push(it.timestamp_ms, it.key.as_deref(), it.value.as_deref(), &it.headers);
        }
        let (header, blob) = builder.build().expect("records");
        prop_assert_eq!(BatchHeader::parse(blob.bytes()).expect("sound"), header);
        let read: Result<Vec<_>, _> =
            Records::open(blob.bytes(), base_offset, LIMIT).expect("opens").collect();
        let want = records.into_iter().zip(base_offset..);
        let want: Vec<_> = want.map(|(it, offset)| Record { offset, ..it }).collect();
        prop_assert_eq!(read.expect("readable"), want);
    }

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let bytes = Bytes::from(bytes);
        let _ = BatchHeader::parse(&bytes);
        prop_assert!(Records::open(&bytes, 0, LIMIT).is_err());
    }

    #[test]
    fn a_damaged_batch_never_panics_and_never_grows(
        count in 1i32..10, at in 21usize..200, by in 1u8.., codec in 0u8..8,
        area in proptest::collection::vec(any::<u8>(), 0..100),
    ) {
        let mut bytes = batch(count).1.to_vec();
        let at = 21 + at % (bytes.len() - 21);
        bytes[at] ^= by;
        let bytes = sealed(bytes);
        let sound = BatchHeader::parse(&bytes).is_ok();
        if let Ok(records) = Records::open(&bytes, 0, LIMIT) {
            let read: Vec<_> = records.collect();
            prop_assert!(read.len() <= count as usize + 1);
            let plain = bytes[22] & 7 == 0;
            prop_assert!(!(sound && plain) || read.iter().all(Result::is_ok));
        }
        let noise = compressed(&bytes, codec, &area);
        if let Ok(records) = Records::open(&noise, 0, LIMIT) {
            prop_assert!(records.count() <= LIMIT);
        }
    }
}
