//! Kafka's wire: the bytes of a whole connection, and one request of one API in one version.
//! What is decoded is asked of the machine, and its answer is encoded.

use super::block_on;
use kafka::fuzzing::{self, Ended};

/// Frames, as a client sends them.
pub(crate) fn connection(bytes: &[u8]) -> bool {
    block_on(fuzzing::connection(bytes)) == Ended::Served
}

/// API key and version, two bytes each, and the body of a request.
pub(crate) fn request(bytes: &[u8]) -> bool {
    let Some((head, body)) = bytes.split_first_chunk::<4>() else { return false };
    let [key, version] = [[head[0], head[1]], [head[2], head[3]]].map(i16::from_be_bytes);
    // Every API and every version that exists is as near as any other number.
    let apis: Vec<_> = fuzzing::apis().collect();
    let known = apis.iter().find(|api| api.0 == key);
    let (key, lowest, highest, _) =
        known.copied().unwrap_or_else(|| apis[usize::from(key.unsigned_abs()) % apis.len()]);
    let version = if (lowest..=highest).contains(&version) {
        version
    } else {
        lowest + version.rem_euclid(highest - lowest + 1)
    };
    block_on(fuzzing::connection(&frame(key, version, body))) != Ended::Refused
}

/// A request as it is on the wire.
pub fn frame(key: i16, version: i16, body: &[u8]) -> Vec<u8> {
    let is_flexible = fuzzing::apis().any(|api| api.0 == key && version >= api.3);
    let mut frame = vec![0; 4];
    frame.extend_from_slice(&key.to_be_bytes());
    frame.extend_from_slice(&version.to_be_bytes());
    frame.extend_from_slice(&7i32.to_be_bytes());
    frame.extend_from_slice(&[0, 4]);
    frame.extend_from_slice(b"fuzz");
    if is_flexible {
        frame.push(0);
    }
    frame.extend_from_slice(body);
    let length = i32::try_from(frame.len() - 4).unwrap_or(i32::MAX);
    frame[..4].copy_from_slice(&length.to_be_bytes());
    frame
}
