//! The clients of M2: they keep a number of requests in flight, and do nothing else.

use super::super::sample_node;
use super::request;
use super::{Counting, Course, IN_FLIGHT, Window};
use anyhow::{Context, Result};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use node::Handle;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// No response to a produce of one batch is longer.
const RESPONSE_BYTES_MAX: usize = 1 << 10;

/// Asks the node itself.
pub(crate) async fn ask(handle: &Handle, batch_bytes: usize, course: &Course) -> Result<Window> {
    let batch = sample_node::batch(batch_bytes)?;
    let mut counting = Counting::new(course);
    let mut asked = FuturesUnordered::new();
    for _ in 0..IN_FLIGHT {
        asked.push(sample_node::produce(handle, &batch));
    }
    loop {
        asked.next().await.context("something is in flight")??;
        if let Some(window) = counting.answered()? {
            return Ok(window);
        }
        asked.push(sample_node::produce(handle, &batch));
    }
}

/// Asks the Kafka front at the other end of `stream`.
pub(crate) async fn send<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    batch_bytes: usize,
    course: &Course,
) -> Result<Window> {
    let frame = request::produce(batch_bytes)?;
    let mut counting = Counting::new(course);
    for _ in 0..IN_FLIGHT {
        stream.write_all(&frame).await?;
    }
    let mut response = vec![0; RESPONSE_BYTES_MAX];
    loop {
        let length = usize::try_from(stream.read_i32().await?)?;
        let response = response.get_mut(..length).context("a long response")?;
        stream.read_exact(response).await?;
        request::check(response)?;
        if let Some(window) = counting.answered()? {
            return Ok(window);
        }
        stream.write_all(&frame).await?;
    }
}
