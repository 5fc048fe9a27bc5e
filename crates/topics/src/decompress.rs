//! Unfolds a compressed record area, never beyond a limit.
//!
//! Invariant: no buffer is larger than the limit (plus one codec's fixed block), whatever the
//! input announces. Refused: unknown framings, damaged streams, and anything that would grow
//! beyond the limit.

use crate::batch::Codec;
use bytes::Bytes;
use std::io::Read;

/// snappy-java's stream header; Kafka's Java client writes it, librdkafka writes raw snappy.
const XERIAL_MAGIC: &[u8] = b"\x82SNAPPY\0";
/// Magic, version and lowest compatible version.
const XERIAL_HEADER_BYTES: usize = 16;
/// A snappy element of 3 bytes copies at most 64.
const SNAPPY_RATIO_MAX: usize = 64;
/// A buffer that is read into begins with so much.
const FIRST_STEP_BYTES: usize = 16 << 10;
/// First guess of how far zstd unfolds, and the factor of every further guess.
const ZSTD_GROWTH: usize = 4;

/// Why an area cannot be unfolded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A decompression bomb, or a limit that is too small.
    #[error("the records unfold to more than {limit_bytes} bytes")]
    TooLarge {
        /// The limit.
        limit_bytes: usize,
    },
    /// The stream is not what the codec says.
    #[error("damaged {codec:?} stream: {reason}")]
    Damaged {
        /// The codec.
        codec: Codec,
        /// What the decoder said.
        reason: String,
    },
}

/// The unfolded bytes of `area`, at most `limit_bytes`.
pub(crate) fn decompress(codec: Codec, area: &[u8], limit_bytes: usize) -> Result<Bytes, Error> {
    let plain = match codec {
        Codec::None => area.to_vec(),
        Codec::Gzip => read_bounded(codec, flate2::read::MultiGzDecoder::new(area), limit_bytes)?,
        Codec::Lz4 => read_bounded(codec, lz4_flex::frame::FrameDecoder::new(area), limit_bytes)?,
        Codec::Snappy => snappy(area, limit_bytes)?,
        Codec::Zstd => zstd(area, limit_bytes)?,
    };
    if plain.len() > limit_bytes {
        return Err(Error::TooLarge { limit_bytes });
    }
    Ok(plain.into())
}

/// Reads at most one byte more than allowed; the buffer grows with what is read.
fn read_bounded(codec: Codec, mut from: impl Read, limit_bytes: usize) -> Result<Vec<u8>, Error> {
    let most = limit_bytes.saturating_add(1);
    let mut plain = Vec::new();
    while plain.len() < most {
        let step = FIRST_STEP_BYTES.min(most - plain.len());
        grow(&mut plain, step, most);
        let room = (plain.capacity().min(most) - plain.len()) as u64;
        let read = from.by_ref().take(room).read_to_end(&mut plain);
        if (read.map_err(|error| damaged(codec, error))? as u64) < room {
            break;
        }
    }
    Ok(plain)
}

/// Makes room for `bytes` more, or for as much again as there is, but never for more than `most`
/// in all: a vector left to itself would double beyond it. The last step goes all the way, so that
/// at most half of `most` is ever copied.
fn grow(plain: &mut Vec<u8>, bytes: usize, most: usize) {
    if plain.capacity() - plain.len() < bytes {
        let (there, left) = (plain.len(), most.saturating_sub(plain.len()));
        let again = if left <= there.saturating_mul(2) { left } else { there };
        plain.reserve_exact(bytes.max(again));
    }
}

fn snappy(area: &[u8], limit_bytes: usize) -> Result<Vec<u8>, Error> {
    if !area.starts_with(XERIAL_MAGIC) {
        let mut plain = Vec::new();
        snappy_block(area, &mut plain, limit_bytes)?;
        return Ok(plain);
    }
    let truncated = || damaged(Codec::Snappy, "a block is cut off");
    let mut rest = area.get(XERIAL_HEADER_BYTES..).ok_or_else(truncated)?;
    let mut plain = Vec::new();
    while let Some((prefix, after)) = rest.split_first_chunk::<4>() {
        let bytes = usize::try_from(u32::from_be_bytes(*prefix)).unwrap_or(usize::MAX);
        let block = after.get(..bytes).ok_or_else(truncated)?;
        snappy_block(block, &mut plain, limit_bytes)?;
        rest = &after[bytes..];
    }
    if rest.is_empty() { Ok(plain) } else { Err(truncated()) }
}

/// Appends one raw snappy block. Its announced length is believed only as far as the limit and
/// the format's best ratio allow.
fn snappy_block(block: &[u8], plain: &mut Vec<u8>, limit_bytes: usize) -> Result<(), Error> {
    let announced =
        snap::raw::decompress_len(block).map_err(|error| damaged(Codec::Snappy, error))?;
    if announced > limit_bytes.saturating_sub(plain.len()) {
        return Err(Error::TooLarge { limit_bytes });
    }
    if announced > block.len().saturating_mul(SNAPPY_RATIO_MAX) {
        return Err(damaged(Codec::Snappy, "the announced length is impossible"));
    }
    let start = plain.len();
    grow(plain, announced, limit_bytes);
    plain.resize(start + announced, 0);
    let written = snap::raw::Decoder::new()
        .decompress(block, &mut plain[start..])
        .map_err(|error| damaged(Codec::Snappy, error))?;
    plain.truncate(start + written);
    Ok(())
}

/// In one pass into a buffer, not as a stream: a stream would allocate the window that the frame
/// announces, up to 128 MiB. The buffer grows until it suffices or reaches the limit.
fn zstd(area: &[u8], limit_bytes: usize) -> Result<Vec<u8>, Error> {
    let mut decoder =
        zstd::bulk::Decompressor::new().map_err(|error| damaged(Codec::Zstd, error))?;
    let mut capacity = area.len().saturating_mul(ZSTD_GROWTH).clamp(1, limit_bytes.max(1));
    loop {
        match decoder.decompress(area, capacity) {
            Ok(plain) => return Ok(plain),
            Err(error) if error.to_string().contains("too small") => {
                if capacity >= limit_bytes {
                    return Err(Error::TooLarge { limit_bytes });
                }
                capacity = capacity.saturating_mul(ZSTD_GROWTH).min(limit_bytes);
            }
            Err(error) => return Err(damaged(Codec::Zstd, error)),
        }
    }
}

fn damaged(codec: Codec, reason: impl ToString) -> Error {
    Error::Damaged { codec, reason: reason.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn no_buffer_is_larger_than_the_limit() {
        let limit_bytes = 100_000;
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        gzip.write_all(&vec![0; 300_000]).unwrap();
        let bomb = gzip.finish().unwrap();
        let plain = flate2::read::MultiGzDecoder::new(bomb.as_slice());
        let read = read_bounded(Codec::Gzip, plain, limit_bytes).unwrap();
        assert_eq!((read.len(), read.capacity()), (limit_bytes + 1, limit_bytes + 1));
        let block = snap::raw::Encoder::new().compress_vec(&[7; 30_000]).unwrap();
        let mut plain = Vec::new();
        for _ in 0..3 {
            snappy_block(&block, &mut plain, limit_bytes).unwrap();
        }
        assert!(snappy_block(&block, &mut plain, limit_bytes).is_err());
        assert_eq!(plain.len(), 90_000);
        assert!(plain.capacity() <= limit_bytes, "{}", plain.capacity());
    }
}
