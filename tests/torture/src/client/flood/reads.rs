//! Readers that ask for as much as there is, again and again, and never read a byte of it.

use std::time::Duration;

use anyhow::Result;
use bytes::{BufMut, BytesMut};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::TOPIC;
use crate::client::World;
use crate::random::Random;

const CONNECTIONS: u64 = 200;
/// Requests that are sent at once; one more each second.
const REQUESTS: usize = 20;
const PACE: Duration = Duration::from_secs(1);
/// Fetch, in the oldest form that the node knows.
const FETCH: i16 = 1;
const VERSION: i16 = 4;
/// What a request asks for.
const BYTES: i32 = 50 << 20;

pub(super) async fn run(world: &World) -> Result<()> {
    let mut readers = JoinSet::new();
    for number in 0..CONNECTIONS {
        let mut random = Random::new(world.seed, u64::from(world.process) << 16 | number);
        let address = world.addresses.kafka;
        readers.spawn(async move {
            loop {
                let request = fetch(random.below(TOPIC.1 as u64) as i32);
                // A node may close a connection that does not move: then there is another one.
                let _ = never_read(address, &request).await;
            }
        });
    }
    while readers.join_next().await.is_some() {}
    Ok(())
}

async fn never_read(address: std::net::SocketAddr, request: &[u8]) -> std::io::Result<()> {
    let mut pace = tokio::time::interval(PACE);
    pace.tick().await;
    let mut connection = TcpStream::connect(address).await?;
    connection.write_all(&request.repeat(REQUESTS)).await?;
    loop {
        pace.tick().await;
        connection.write_all(request).await?;
    }
}

/// A frame that asks for a partition from its first record.
fn fetch(partition: i32) -> Vec<u8> {
    let mut body = BytesMut::new();
    body.put_i16(FETCH);
    body.put_i16(VERSION);
    body.put_i32(1); // correlation id
    put_string(&mut body, "flood");
    body.put_i32(-1); // replica id: a client
    body.put_i32(500); // max wait, ms
    body.put_i32(1); // min bytes
    body.put_i32(BYTES);
    body.put_i8(0); // isolation level
    body.put_i32(1); // topics
    put_string(&mut body, TOPIC.0);
    body.put_i32(1); // partitions
    body.put_i32(partition);
    body.put_i64(0); // offset
    body.put_i32(BYTES);
    let mut frame = BytesMut::new();
    frame.put_i32(body.len() as i32);
    frame.extend_from_slice(&body);
    frame.to_vec()
}

fn put_string(buffer: &mut BytesMut, text: &str) {
    buffer.put_i16(text.len() as i16);
    buffer.put_slice(text.as_bytes());
}
