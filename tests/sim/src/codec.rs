//! The four codecs of record batches, as clients use them.

use anyhow::{Result, bail};
use bytes::{Bytes, BytesMut};
use kafka_protocol::records::Compression;
use std::io::{Read, Write};

/// Every codec.
pub(crate) const ALL: [Compression; 5] = [
    Compression::None,
    Compression::Gzip,
    Compression::Snappy,
    Compression::Lz4,
    Compression::Zstd,
];

/// Folds records into the batch.
pub(crate) fn compress(
    plain: &mut BytesMut,
    into: &mut BytesMut,
    compression: Compression,
) -> Result<()> {
    let folded = match compression {
        Compression::None => plain.to_vec(),
        Compression::Gzip => {
            let mut encoder =
                flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(plain)?;
            encoder.finish()?
        }
        Compression::Snappy => snap::raw::Encoder::new().compress_vec(plain)?,
        Compression::Lz4 => {
            let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
            encoder.write_all(plain)?;
            encoder.finish()?
        }
        Compression::Zstd => zstd::bulk::compress(plain, 1)?,
    };
    into.extend_from_slice(&folded);
    Ok(())
}

/// Unfolds the records of a batch.
pub(crate) fn decompress(folded: &mut Bytes, compression: Compression) -> Result<Bytes> {
    /// More is not sent by anybody here.
    const UNFOLDED_BYTES_MAX: usize = 4 << 20;
    let plain = match compression {
        Compression::None => folded.to_vec(),
        Compression::Gzip => whole(flate2::read::GzDecoder::new(&folded[..]))?,
        Compression::Snappy => snap::raw::Decoder::new().decompress_vec(folded)?,
        Compression::Lz4 => whole(lz4_flex::frame::FrameDecoder::new(&folded[..]))?,
        Compression::Zstd => zstd::bulk::decompress(folded, UNFOLDED_BYTES_MAX)?,
    };
    if plain.len() > UNFOLDED_BYTES_MAX {
        bail!("the batch unfolds to {} bytes", plain.len());
    }
    Ok(Bytes::from(plain))
}

fn whole(mut from: impl Read) -> Result<Vec<u8>> {
    let mut plain = Vec::new();
    from.read_to_end(&mut plain)?;
    Ok(plain)
}
