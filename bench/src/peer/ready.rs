//! When a peer answers: the same probes for all, so that cold starts can be compared.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use temporalio_client::{Connection, ConnectionOptions, GrpcCompression, Url};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::process::Process;

/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(1);
/// One attempt.
const ATTEMPT_MAX: Duration = Duration::from_secs(5);
/// `ApiVersions` version 0: its length, then key 18, version 0, correlation id 7, no client id.
const API_VERSIONS: [u8; 14] = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 0xff, 0xff];
/// The answer's length, correlation id and error code.
const ANSWER_BYTES: usize = 10;

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Probe<'a> {
    /// `ApiVersions` at this address.
    Kafka(&'a str),
    /// `GetSystemInfo` at this address.
    Temporal(&'a str),
}

/// Asks until there is an answer; fails when the process ends or `limit` has passed since its start.
pub(crate) async fn wait(process: &mut Process, limit: Duration, probe: Probe<'_>) -> Result<()> {
    loop {
        let answer = tokio::time::timeout(ATTEMPT_MAX, probe.ask()).await;
        let error = match answer {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => format!("{error:#}"),
            Err(_) => format!("no answer within {ATTEMPT_MAX:?}"),
        };
        process.check()?;
        if Instant::now() > process.began + limit {
            bail!("{probe:?} is not ready: {error}; its log:\n{}", process.log_tail());
        }
        tokio::time::sleep(PAUSE).await;
    }
}

impl Probe<'_> {
    async fn ask(self) -> Result<()> {
        match self {
            Probe::Kafka(address) => {
                let mut stream = TcpStream::connect(address).await?;
                stream.write_all(&API_VERSIONS).await?;
                let mut answer = [0; ANSWER_BYTES];
                stream.read_exact(&mut answer).await?;
                ensure!(answer[8..] == [0, 0], "ApiVersions is answered with an error");
            }
            Probe::Temporal(address) => {
                // A port that is not open is found out more cheaply than by a gRPC client.
                drop(TcpStream::connect(address).await?);
                let options = ConnectionOptions::new(Url::parse(&format!("http://{address}"))?)
                    .identity("bench")
                    .grpc_compression(GrpcCompression::None)
                    .build();
                // To connect is to ask for the system's information.
                Connection::connect(options).await?;
            }
        }
        Ok(())
    }
}
