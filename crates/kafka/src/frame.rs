//! Requests cut out of the byte stream: four bytes of length, then the request.
//!
//! The buffer of a frame grows with the bytes that have arrived, never with the length that was
//! announced, and ends exactly as large as the frame, so that a slice of it pins no more. A frame
//! that is large waits for its share of the budgets after its first bytes: many announced frames
//! cost little, and those that hold a share always end, by arriving or by stalling.

use crate::{
    budget::{Budgets, SMALL_BYTES, Share},
    options::Limits,
};
use bytes::Bytes;
use std::time::Duration;
use tokio::{
    io::{AsyncRead, AsyncReadExt, BufReader},
    time::timeout,
};

/// Bytes read from the socket at once when frames are small.
const READ_BUFFER_BYTES: usize = 64 << 10;
/// A frame's buffer begins with so many bytes at most, and when they have arrived, grows to so
/// many times what it holds.
const FIRST_STEP_BYTES: usize = 16 << 10;
const GROWTH: usize = 4;

/// Why the next request cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The length is negative or above the limit.
    #[error("a frame of {announced} bytes was announced; the limit is {max}")]
    Length {
        /// As announced.
        announced: i32,
        /// The limit.
        max: usize,
    },
    /// Nothing arrived for too long in the middle of a frame.
    #[error("the frame did not arrive within {0:?}")]
    Stalled(Duration),
    /// No request for too long.
    #[error("no request for {0:?}")]
    Idle(Duration),
    /// The connection broke in the middle of a frame, or otherwise.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// A request's bytes and its share of the budgets, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Request {
    /// Everything after the length.
    pub(crate) bytes: Bytes,
    /// Dropped when the answer has left.
    pub(crate) share: Share,
}

/// Reads frames.
#[derive(Debug)]
pub(crate) struct FrameReader<R> {
    stream: BufReader<R>,
    budgets: Budgets,
    request_bytes_max: usize,
    stall_max: Duration,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    /// Reads from `stream`.
    pub(crate) fn new(stream: R, budgets: Budgets, limits: &Limits) -> FrameReader<R> {
        FrameReader {
            stream: BufReader::with_capacity(READ_BUFFER_BYTES, stream),
            budgets,
            request_bytes_max: limits.request_bytes_max,
            stall_max: limits.request_stall_max,
        }
    }

    /// The next request, or `None` if the client has closed the connection between two.
    pub(crate) async fn next(&mut self) -> Result<Option<Request>, Error> {
        let Some(length) = self.length().await? else { return Ok(None) };
        let mut bytes = Vec::new();
        // A small request is here as a whole before it has a share, a large one in part.
        self.fill(&mut bytes, length.min(SMALL_BYTES)).await?;
        let share = self.budgets.share(length).await;
        self.fill(&mut bytes, length).await?;
        Ok(Some(Request { bytes: Bytes::from(bytes), share }))
    }

    /// Reads until `bytes` is `length` long. Who has a share must not keep it for long: besides
    /// the stall there is a second for each MiB, and no more.
    async fn fill(&mut self, bytes: &mut Vec<u8>, length: usize) -> Result<(), Error> {
        let within = self.stall_max + Duration::from_secs((length >> 20) as u64);
        let filled = timeout(within, self.fill_unhurried(bytes, length)).await;
        filled.map_err(|_| Error::Stalled(within))?
    }

    async fn length(&mut self) -> Result<Option<usize>, Error> {
        let mut prefix = [0; 4];
        if self.stream.read(&mut prefix[..1]).await? == 0 {
            return Ok(None);
        }
        timeout(self.stall_max, self.stream.read_exact(&mut prefix[1..]))
            .await
            .map_err(|_| Error::Stalled(self.stall_max))??;
        let announced = i32::from_be_bytes(prefix);
        let max = self.request_bytes_max;
        match usize::try_from(announced) {
            Ok(length) if length <= max => Ok(Some(length)),
            _ => Err(Error::Length { announced, max }),
        }
    }

    async fn fill_unhurried(&mut self, bytes: &mut Vec<u8>, length: usize) -> Result<(), Error> {
        while bytes.len() < length {
            if bytes.len() == bytes.capacity() {
                let step = (bytes.len() * (GROWTH - 1)).max(FIRST_STEP_BYTES);
                bytes.reserve_exact(step.min(length - bytes.len()));
            }
            let missing = (bytes.capacity().min(length) - bytes.len()) as u64;
            if (&mut self.stream).take(missing).read_buf(bytes).await? == 0 {
                return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::ServerBudget;
    use std::time::Duration;
    use tokio::io::AsyncWriteExt;

    fn limits() -> Limits {
        Limits { request_bytes_max: 1 << 20, ..Limits::default() }
    }

    fn reader<R: AsyncRead + Unpin>(stream: R, limits: &Limits) -> FrameReader<R> {
        let server = ServerBudget::new(limits);
        FrameReader::new(stream, Budgets::of_connection(&server, limits), limits)
    }

    #[tokio::test]
    async fn frames_up_to_the_limit_arrive_and_their_buffers_are_exact() {
        for length in [0usize, 1, 4, 8_192, 16_383, 16_384, 16_385, 700_001, 1 << 20] {
            let body: Vec<u8> = (0..length).map(|i| i as u8).collect();
            let mut stream = (length as i32).to_be_bytes().to_vec();
            stream.extend_from_slice(&body);
            stream.extend_from_slice(&[0, 0, 0, 1, 42]);
            let mut frames = reader(stream.as_slice(), &limits());
            let request = frames.next().await.unwrap().unwrap();
            assert_eq!(request.bytes, body);
            let next = frames.next().await.unwrap().unwrap();
            assert_eq!(next.bytes.as_ref(), &[42]);
            assert!(frames.next().await.unwrap().is_none());
        }
    }

    #[tokio::test]
    async fn bad_lengths_and_half_frames_are_errors() {
        for announced in [-1, i32::MIN, i32::MAX, (1 << 20) + 1] {
            let stream = announced.to_be_bytes();
            let outcome = reader(stream.as_slice(), &limits()).next().await;
            assert!(matches!(outcome, Err(Error::Length { .. })), "{announced}");
        }
        let half = [0, 0, 0, 9, 1, 2];
        assert!(matches!(reader(half.as_slice(), &limits()).next().await, Err(Error::Io(_))));
    }

    #[tokio::test]
    async fn an_announced_length_allocates_nothing() {
        let (mut client, server) = tokio::io::duplex(64);
        let mut frames = reader(server, &limits());
        client.write_all(&(1_000_000i32).to_be_bytes()).await.unwrap();
        client.write_all(&[7; 10]).await.unwrap();
        let mut bytes = Vec::new();
        assert_eq!(frames.length().await.unwrap(), Some(1_000_000));
        let filling = frames.fill(&mut bytes, 1_000_000);
        tokio::select! {
            biased;
            _ = filling => panic!("the frame is not complete"),
            () = std::future::ready(()) => {}
        }
        assert!(bytes.capacity() <= FIRST_STEP_BYTES, "{}", bytes.capacity());
    }

    #[tokio::test(start_paused = true)]
    async fn a_stalled_frame_gives_its_share_back() {
        let limits = limits();
        let server = ServerBudget::new(&limits);
        let (mut client, stream) = tokio::io::duplex(1 << 20);
        let budgets = Budgets::of_connection(&server, &limits);
        let mut frames = FrameReader::new(stream, budgets, &limits);
        client.write_all(&(1_000_000i32).to_be_bytes()).await.unwrap();
        client.write_all(&vec![7; 100_000]).await.unwrap();
        let before = server.large().available_permits();
        // A byte now and then does not help.
        let dripping = async {
            loop {
                tokio::time::advance(Duration::from_secs(9)).await;
                client.write_all(&[7]).await.unwrap();
            }
        };
        let outcome = tokio::select! {
            outcome = frames.next() => outcome,
            () = dripping => unreachable!("it never ends"),
        };
        assert!(matches!(outcome, Err(Error::Stalled(after)) if after == Duration::from_secs(30)));
        assert_eq!(server.large().available_permits(), before);
    }

    #[tokio::test]
    async fn a_frame_waits_until_the_budget_has_room() {
        let limits = Limits { in_flight_bytes_max: 1 << 20, ..limits() };
        let server = ServerBudget::new(&limits);
        let stream = [0, 0, 0, 1, 42, 0, 0, 0, 1, 43];
        let budgets = Budgets::of_connection(&server, &limits);
        let mut frames = FrameReader::new(stream.as_slice(), budgets, &limits);
        let all = server.small().clone().acquire_many_owned(1 << 20).await.unwrap();
        let waiting = frames.next();
        tokio::pin!(waiting);
        tokio::select! {
            biased;
            _ = &mut waiting => panic!("there was no room"),
            () = std::future::ready(()) => {}
        }
        drop(all);
        assert_eq!(waiting.await.unwrap().unwrap().bytes.as_ref(), &[42]);
    }
}
