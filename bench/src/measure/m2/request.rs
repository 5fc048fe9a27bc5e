//! One produce request as it is on the wire, and what has to be read of its answer.

use super::super::sample_node::{self, TOPIC};
use anyhow::{Context, Result, ensure};
use bytes::{BufMut, Bytes, BytesMut};

/// Produce, in the last version without tagged fields.
const API_KEY: i16 = 0;
const API_VERSION: i16 = 7;
const ACKS_ALL: i16 = -1;
const TIMEOUT_MS: i32 = 30_000;

/// A request with a batch of about `batch_bytes` for partition 0, its length in front.
pub(crate) fn produce(batch_bytes: usize) -> Result<Bytes> {
    let (_, batch) = sample_node::batch(batch_bytes)?;
    let mut body = BytesMut::new();
    body.put_i16(API_KEY);
    body.put_i16(API_VERSION);
    body.put_i32(0);
    put_string(&mut body, "bench");
    // No transactional id.
    body.put_i16(-1);
    body.put_i16(ACKS_ALL);
    body.put_i32(TIMEOUT_MS);
    body.put_i32(1);
    put_string(&mut body, TOPIC);
    body.put_i32(1);
    body.put_i32(0);
    body.put_i32(i32::try_from(batch.bytes().len())?);
    body.put_slice(batch.bytes());
    let mut frame = BytesMut::new();
    frame.put_i32(i32::try_from(body.len())?);
    frame.put(body);
    Ok(frame.freeze())
}

/// Fails if the response, without its length, refuses the batch.
pub(crate) fn check(response: &[u8]) -> Result<()> {
    // Correlation id, topics, the topic's name, partitions, the partition's index.
    let at = 4 + 4 + 2 + TOPIC.len() + 4 + 4;
    let code = response.get(at..).and_then(<[u8]>::first_chunk).context("a short response")?;
    let code = i16::from_be_bytes(*code);
    ensure!(code == 0, "a batch was refused with error {code}");
    Ok(())
}

fn put_string(into: &mut BytesMut, text: &str) {
    // Short constants.
    into.put_i16(text.len() as i16);
    into.put_slice(text.as_bytes());
}
