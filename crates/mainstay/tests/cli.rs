//! The built binary, as a person or a script meets it.

#![allow(clippy::unwrap_used, reason = "a test stops where something is missing")]

use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const ROUTE: &str = r#"[[route]]
name = "orders"
topics = ["orders", "old-orders"]
workflow_type = "OrderSaga"
task_queue = "sagas"
signal = "order"
"#;

fn mainstay(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mainstay"));
    command.args(arguments).stdin(Stdio::null()).env_remove("RUST_LOG").env_remove("MAINSTAY_LOG");
    command
}

/// Exit code, stdout, stderr.
fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    told(mainstay(arguments).output().unwrap())
}

fn told(output: Output) -> (Option<i32>, String, String) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn written(directory: &TempDir, text: &str) -> String {
    let path = directory.path().join("mainstay.toml");
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// A node on free ports. Killed when dropped.
struct Served {
    child: Child,
    ready: Value,
}

impl Served {
    fn start(data: &Path, more: &[&str]) -> Served {
        let data = data.to_str().unwrap();
        let free = ["--kafka", "127.0.0.1:0", "--temporal", "127.0.0.1:0", "--json"];
        let arguments: Vec<&str> = ["serve", "--data", data].into_iter().chain(free).collect();
        let mut command = mainstay(&arguments);
        let mut child =
            command.args(more).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let Ok(ready) = serde_json::from_str(&line) else {
            panic!("not ready: {:?}", told(child.wait_with_output().unwrap()))
        };
        Served { child, ready }
    }

    fn address(&self, front: &str) -> &str {
        self.ready[front].as_str().unwrap()
    }

    fn connect(&self, front: &str) -> TcpStream {
        let stream = TcpStream::connect(self.address(front)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream
    }

    /// How it ended, how long that took, and what it had said.
    fn signal(mut self, signal: &str) -> (Option<i32>, Duration, String) {
        let started = Instant::now();
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
        let status = self.child.wait().unwrap();
        let took = started.elapsed();
        let mut said = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (status.code(), took, said)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // Both fail if it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_check_tells_what_would_run() {
    let directory = TempDir::new().unwrap();
    let file = written(&directory, &format!("[kafka]\nlisten = \"[::1]:19092\"\n{ROUTE}"));
    let (code, out, err) =
        run(&["serve", "--check", "--config", &file, "--temporal", "127.0.0.1:5"]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    let want = format!(
        "{file}: ok\n  Kafka     [::1]:19092\n  Temporal  127.0.0.1:5\n  \
         route     orders: orders, old-orders -> OrderSaga on sagas, signal order \
         (signal-with-start)\n"
    );
    assert_eq!(out, want);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "nothing is made");
}

#[test]
fn a_wrong_configuration_is_refused_with_its_place() {
    let directory = TempDir::new().unwrap();
    let data = directory.path().join("data");
    let file = written(&directory, &format!("{ROUTE}on_refused = \"stop\"\n"));
    for extra in [&["--check"][..], &["--data", data.to_str().unwrap()]] {
        let arguments: Vec<&str> =
            ["serve", "--config", &file].into_iter().chain(extra.iter().copied()).collect();
        let (code, out, err) = run(&arguments);
        assert_eq!((code, out.as_str()), (Some(2), ""));
        let want = format!("mainstay: {file}:7:14: `on_refused`: \"stop\" is reserved, and not");
        assert!(err.starts_with(&want), "{err}");
        assert!(err.ends_with("7 | on_refused = \"stop\"\n  |              ^^^^^^\n"), "{err}");
    }
    assert!(!data.exists(), "refused before anything is made");
    for missing in ["none.toml", "."] {
        let path = directory.path().join(missing);
        let (code, _, err) = run(&["serve", "--check", "--config", path.to_str().unwrap()]);
        assert_eq!(code, Some(2));
        assert!(err.starts_with("mainstay: cannot read the configuration "), "{err}");
    }
}

#[test]
fn a_wrong_command_line_is_refused() {
    for (arguments, want) in [
        (&["serve"][..], "--data <DIR>"),
        (&["serve", "--data"], "a value is required"),
        (&["serve", "--check", "--kafka", "nowhere"], "is no address to listen on"),
        (&["serve", "--check", "--kafka", "0.0.0.0:9092"], "[kafka] would listen on 0.0.0.0:9092"),
        (&["serve", "--check", "--port", "1"], "unexpected argument '--port'"),
        (&["serv"], "unrecognized subcommand 'serv'"),
        (&[], "Usage: mainstay <COMMAND>"),
    ] {
        let (code, out, err) = run(arguments);
        assert_eq!((code, out.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(err.contains(want), "{arguments:?}: {err}");
    }
    let insecure = ["serve", "--check", "--kafka", "0.0.0.0:9092", "--insecure"];
    assert_eq!(run(&insecure).0, Some(0));
    let output = mainstay(&["serve", "--check"]).env("MAINSTAY_LOG", "a=b=c").output().unwrap();
    let (code, _, err) = told(output);
    assert_eq!(code, Some(2));
    assert!(err.starts_with("mainstay: MAINSTAY_LOG=\"a=b=c\" is no log filter: "), "{err}");
}

#[test]
fn a_node_answers_on_both_ports_and_stops_within_a_second() {
    let directory = TempDir::new().unwrap();
    let data = directory.path().join("deep/data");
    let file = written(&directory, ROUTE);
    for signal in ["-TERM", "-INT"] {
        let served = Served::start(&data, &["--config", &file]);
        // A client with an open connection that it does not use, and one that is cut off.
        let (_idle, _other) = (served.connect("kafka"), served.connect("temporal"));
        assert!(api_versions(served.connect("kafka")), "Kafka answers");
        let (code, took, said) = served.signal(signal);
        assert_eq!(code, Some(0), "{said}");
        assert!(took < Duration::from_secs(1), "{took:?}");
        assert!(said.contains("is ready after") && said.contains("route     orders: "), "{said}");
    }
}

#[test]
fn a_directory_and_a_port_are_used_once() {
    let directory = TempDir::new().unwrap();
    let served = Served::start(directory.path(), &[]);
    let data = directory.path().to_str().unwrap();
    let any = ["--kafka", "127.0.0.1:0", "--temporal", "127.0.0.1:0"];
    let second: Vec<&str> = ["serve", "--data", data].into_iter().chain(any).collect();
    let (code, _, err) = run(&second);
    assert_eq!(code, Some(1));
    assert!(err.contains(&format!("data directory {data} is in use by another process")), "{err}");

    let other = directory.path().join("other");
    let other = other.to_str().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let occupied = [served.address("kafka"), served.address("temporal")];
    let (code, _, err) =
        run(&["serve", "--data", other, "--kafka", occupied[0], "--temporal", &taken]);
    let want = format!("the Kafka address {} is in use by another program", occupied[0]);
    assert!(code == Some(1) && err.contains(&want), "{err}");
    let (code, _, err) =
        run(&["serve", "--data", other, "--kafka", &taken, "--temporal", occupied[1]]);
    let want = format!("the Temporal address {} is in use by another program", occupied[1]);
    assert!(code == Some(1) && err.contains(&want) && err.contains("--temporal"), "{err}");
}

/// Damage, loss and a newer format end the start, with one line that names the file.
#[test]
fn a_directory_that_is_not_whole_is_refused_by_name() {
    let good = TempDir::new().unwrap();
    assert_eq!(Served::start(good.path(), &[]).signal("-TERM").0, Some(0));
    let segment = std::fs::read(good.path().join("0000000001.segment")).unwrap();
    let mut damaged = segment.clone();
    // In the first entry, which later frames prove.
    damaged[4096 + 80 + 20] ^= 1;
    let known = "has format \"unstable 2\"; this release knows \"unstable 1\" only";
    for (file, bytes, said) in [
        ("0000000001.segment", Some(damaged), "0000000001.segment is damaged at offset 4176: "),
        ("0000000001.segment", Some(Vec::new()), "0000000001.segment is damaged at offset 0: "),
        ("0000000001.segment", None, "0000000001.segment is missing; the journal cannot be read"),
        ("1.segment", Some(segment), "1.segment is no file of a journal; move it away, or use"),
        ("VERSION", Some(b"unstable 2\n".to_vec()), known),
    ] {
        let directory = copy_of(good.path());
        let path = directory.path().join(file);
        match bytes {
            Some(bytes) => std::fs::write(path, bytes).unwrap(),
            None => std::fs::remove_file(path).unwrap(),
        }
        let (code, out, err) = run(&["serve", "--data", directory.path().to_str().unwrap()]);
        assert_eq!((code, out.as_str()), (Some(1), ""), "{said}: {err}");
        // A build for tests says first what it is.
        let ours = |line: &&str| !line.is_empty() && !line.starts_with("THIS BUILD HAS PLANTED");
        let lines: Vec<&str> = err.lines().filter(ours).collect();
        let [line] = lines.as_slice() else { panic!("one line: {err}") };
        assert!(
            line.starts_with("mainstay: cannot open the node: ") && line.contains(said),
            "{err}"
        );
    }
}

fn copy_of(data: &Path) -> TempDir {
    let copy = TempDir::new().unwrap();
    for entry in std::fs::read_dir(data).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    copy
}

/// What a directory holds survives kill -9: it is the same cluster.
#[test]
fn a_killed_node_comes_back() {
    let directory = TempDir::new().unwrap();
    let first = Served::start(directory.path(), &[]);
    let cluster = first.ready["cluster_id"].clone();
    assert_eq!(cluster.as_str().map(str::len), Some(22));
    let (code, ..) = first.signal("-KILL");
    assert_eq!(code, None);
    let second = Served::start(directory.path(), &[]);
    assert_eq!(second.ready["cluster_id"], cluster);
    assert_eq!(second.signal("-TERM").0, Some(0));
}

/// A route meets its topic and shows its position as a consumer group; without its
/// configuration, the position is pointed out.
#[test]
fn a_route_is_known_by_its_name() {
    let directory = TempDir::new().unwrap();
    let file = written(&directory, ROUTE);
    let data = directory.path().join("data");
    let served = Served::start(&data, &["--config", &file]);
    let mut kafka = served.connect("kafka");
    // Metadata v0 makes the topic.
    ask(&mut kafka, (3, 0), &[&1_i32.to_be_bytes()[..], &text("orders")].concat());
    let started = Instant::now();
    while committed(&mut kafka, "mainstay-route-orders", "orders") != 0 {
        assert!(started.elapsed() < Duration::from_secs(10), "the route has met its topic");
    }
    assert_eq!(committed(&mut kafka, "mainstay-route-other", "orders"), -1);
    let (_, _, said) = served.signal("-TERM");
    assert!(!said.contains("is not configured"), "{said}");
    let (_, _, said) = Served::start(&data, &[]).signal("-TERM");
    assert!(said.contains("is not configured (any more)") && said.contains("orders"), "{said}");
}

/// OffsetFetch v1 of partition 0.
fn committed(kafka: &mut TcpStream, group: &str, topic: &str) -> i64 {
    let (one, partition) = (1_i32.to_be_bytes(), 0_i32.to_be_bytes());
    let body = [&text(group)[..], &one, &text(topic), &one, &partition].concat();
    let answer = ask(kafka, (9, 1), &body);
    // Topics, the topic's name, partitions, the partition.
    let at = 4 + text(topic).len() + 4 + 4;
    i64::from_be_bytes(answer[at..at + 8].try_into().unwrap())
}

/// Kafka's ApiVersions v0: whether it is answered without an error.
fn api_versions(mut kafka: TcpStream) -> bool {
    ask(&mut kafka, (18, 0), &[])[..2] == [0, 0]
}

/// A Kafka request by hand, with header v1 and no client id: the body of its answer.
fn ask(kafka: &mut TcpStream, (key, version): (i16, i16), body: &[u8]) -> Vec<u8> {
    let correlation = 7_i32.to_be_bytes();
    let head = [&key.to_be_bytes()[..], &version.to_be_bytes(), &correlation, &[0xff; 2]].concat();
    let length = u32::try_from(head.len() + body.len()).unwrap().to_be_bytes();
    kafka.write_all(&[&length[..], &head, body].concat()).unwrap();
    let mut length = [0; 4];
    kafka.read_exact(&mut length).unwrap();
    let mut answer = vec![0; usize::try_from(u32::from_be_bytes(length)).unwrap()];
    kafka.read_exact(&mut answer).unwrap();
    assert_eq!(answer[..4], correlation);
    answer.split_off(4)
}

fn text(text: &str) -> Vec<u8> {
    [&u16::try_from(text.len()).unwrap().to_be_bytes()[..], text.as_bytes()].concat()
}
