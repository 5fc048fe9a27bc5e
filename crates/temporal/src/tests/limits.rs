//! Requests that are too large, not protobuf, not gzip, or not HTTP at all.

use super::fake::{Answer, Client, Fake, Running, frame};
use crate::options::Options;
use flate2::Compression;
use flate2::write::GzEncoder;
use prost::Message;
use std::io::Write;
use std::time::Duration;
use temporalio_protos::temporal::api::workflowservice::v1::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tonic::transport::Channel;
use tonic::{Code, Status};
use workflows::{Ask, Reply};

fn signalled(ask: &Ask) -> Answer {
    match ask {
        Ask::SignalWorkflowExecution(_) => Answer::Reply(Reply::SignalWorkflowExecution),
        _ => Answer::Never,
    }
}

async fn running(options: Options) -> Running {
    Running::start(Fake::new(signalled).0, options).await
}

/// A signal whose encoded length is `length`.
fn signal(length: usize) -> SignalWorkflowExecutionRequest {
    let mut signal = SignalWorkflowExecutionRequest { identity: "x".into(), ..Default::default() };
    while signal.encoded_len() < length {
        let missing = length - signal.encoded_len();
        signal.identity.push_str(&"x".repeat(missing.div_ceil(2)));
    }
    assert_eq!(signal.encoded_len(), length);
    signal
}

#[tokio::test]
async fn a_request_may_be_as_large_as_the_limit_and_no_larger() {
    let running = running(Options { request_bytes_max: 100_000, ..Options::default() }).await;
    let client = running.client.clone();
    let () = client.call("SignalWorkflowExecution", signal(100_000)).await.unwrap();
    let sent: Result<(), Status> = client.call("SignalWorkflowExecution", signal(100_001)).await;
    let status = sent.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(status.message(), "grpc: received message larger than max (100001 vs. 100000)");
    running.stop().await;
}

/// The default limit, with a body that the server does not read to its end.
#[tokio::test]
async fn a_request_far_beyond_the_limit_is_refused_and_the_connection_lives() {
    let running = running(Options::default()).await;
    let client = running.client.clone();
    for _ in 0..3 {
        let sent: Result<(), Status> =
            client.call("SignalWorkflowExecution", signal(64 << 20)).await;
        let status = sent.unwrap_err();
        assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
        assert!(status.message().starts_with("grpc: received message larger than max"));
        let () = client.call("SignalWorkflowExecution", signal(100)).await.unwrap();
    }
    running.stop().await;
}

/// Requests that never end: what they have sent is held, up to the budget and no further.
#[tokio::test]
async fn unfinished_requests_have_a_budget_together() {
    let options = Options { receive_bytes_max: 300_000, ..Options::default() };
    let running = running(options).await;
    let mut unfinished = JoinSet::new();
    for _ in 0..8 {
        // Announces 200,000 bytes and sends half of them.
        let mut half = frame(false, &[0; 200_000]);
        half.truncate(100_000);
        let client = running.client.clone();
        unfinished.spawn(async move { client.send_unfinished("ShutdownWorker", half).await });
    }
    for _ in 0..5 {
        let status = unfinished.join_next().await.unwrap().unwrap().unwrap();
        assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
        assert_eq!(status.message(), "too many requests are being received");
    }
    assert_eq!(unfinished.len(), 3, "three have found room");
    unfinished.shutdown().await;
    // Their room is free again as soon as the server has heard of their end.
    let client = running.client.clone();
    while client.call::<_, ()>("SignalWorkflowExecution", signal(200_000)).await.is_err() {}
    running.stop().await;
}

/// The next connection waits until one is closed.
#[tokio::test]
async fn connections_have_a_limit() {
    let running = running(Options { connections_max: 1, ..Options::default() }).await;
    let Running { client: first, address, .. } = &running;
    let () = first.call("SignalWorkflowExecution", signal(100)).await.unwrap();
    let channel = Channel::from_shared(format!("http://{address}")).unwrap().connect_lazy();
    let second = tokio::spawn(async move {
        Client(channel).call::<_, ()>("SignalWorkflowExecution", signal(100)).await
    });
    for _ in 0..20 {
        let () = first.call("SignalWorkflowExecution", signal(100)).await.unwrap();
        assert!(!second.is_finished());
    }
    let stopping = running.without_client();
    second.await.unwrap().unwrap();
    stopping.stop().await;
}

/// A client that does not finish its request cannot hold up the end.
#[tokio::test]
async fn the_server_stops_in_time_whatever_clients_do() {
    let (fake, mut events) = Fake::new(|_| Answer::Never);
    let running = Running::start(fake, Options::default()).await;
    let client = running.client.clone();
    let mut half = frame(false, &[0; 2000]);
    half.truncate(1000);
    let unfinished =
        tokio::spawn(async move { client.send_unfinished("ShutdownWorker", half).await });
    let client = running.client.clone();
    let unanswered =
        tokio::spawn(async move { client.call::<_, ()>("SignalWorkflowExecution", ()).await });
    // On one connection, requests arrive in the order in which they were sent.
    events.recv().await.unwrap();
    let began = tokio::time::Instant::now();
    running.stop().await;
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    unfinished.abort();
    unanswered.abort();
}

/// A thousandfold bomb: 256 MiB in 256 KiB. It is unpacked up to the limit and no further.
#[tokio::test]
async fn a_gzip_bomb_is_refused_at_the_limit() {
    let mut bomb = GzEncoder::new(Vec::new(), Compression::best());
    let zeros = vec![0u8; 1 << 20];
    for _ in 0..256 {
        bomb.write_all(&zeros).unwrap();
    }
    let bomb = bomb.finish().unwrap();
    assert!(bomb.len() < 1 << 19, "{}", bomb.len());
    let running = running(Options::default()).await;
    let before = peak_memory_bytes();
    let method = "SignalWorkflowExecution";
    let (status, _) = running.client.send_raw(method, frame(true, &bomb), Some("gzip")).await;
    let status = status.unwrap();
    assert_eq!(status.code(), Code::ResourceExhausted);
    let want = "grpc: received message after decompression larger than max 4194304";
    assert_eq!(status.message(), want);
    let grown = peak_memory_bytes() - before;
    assert!(grown < 128 << 20, "memory grew by {grown} bytes");
    running.stop().await;
}

/// The high-water mark of this process, which other tests share: a coarse upper bound.
fn peak_memory_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

#[tokio::test]
async fn what_is_not_protobuf_or_not_gzip_is_the_clients_mistake() {
    let running = running(Options::default()).await;
    let elements = [0x22u8, 0].repeat(20_001);
    for (what, bytes, encoding, code, text) in [
        ("protobuf", frame(false, &[0xff; 40]), None, Code::InvalidArgument, "invalid protobuf"),
        ("length", frame(false, &[0x0a, 0xff, 0xff, 0xff, 0x7f]), None, Code::InvalidArgument, ""),
        ("elements", frame(false, &elements), None, Code::InvalidArgument, "more than 20000"),
        ("gzip", frame(true, b"no gzip"), Some("gzip"), Code::InvalidArgument, "decompressing"),
        ("flag", frame(true, b""), None, Code::Internal, "compressed-flag"),
        ("encoding", frame(true, b""), Some("brotli"), Code::Unimplemented, "brotli"),
        ("half a frame", vec![0, 0, 0, 0, 9, 1], None, Code::Internal, ""),
        ("no frame", vec![], None, Code::Internal, ""),
        (
            "announced only",
            vec![0, 0xff, 0xff, 0xff, 0xff],
            None,
            Code::ResourceExhausted,
            "grpc: ",
        ),
    ] {
        let (status, _) =
            running.client.send_raw("RespondWorkflowTaskCompleted", bytes, encoding).await;
        let status = status.unwrap();
        assert_eq!(status.code(), code, "{what}: {status:?}");
        assert!(status.message().contains(text), "{what}: {status:?}");
    }
    let () = running.client.call("SignalWorkflowExecution", signal(100)).await.unwrap();
    running.stop().await;
}

#[tokio::test]
async fn what_is_not_http2_gets_a_closed_connection() {
    let running = running(Options::default()).await;
    for bytes in [
        b"GET / HTTP/1.1\r\nhost: x\r\n\r\n".to_vec(),
        vec![0xa5; 4096],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff".to_vec(),
    ] {
        let mut socket = TcpStream::connect(running.address).await.unwrap();
        // The server may close while we still write.
        let _ = socket.write_all(&bytes).await;
        let _ = socket.read_to_end(&mut Vec::new()).await;
    }
    let () = running.client.call("SignalWorkflowExecution", signal(100)).await.unwrap();
    running.stop().await;
}
