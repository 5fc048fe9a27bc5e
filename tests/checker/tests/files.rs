//! Histories survive the way through a file, and the death of their writer.

use checker::{Answer, Call, Delivery, Line, Outcome, Partition, Phase, Sink, Writer, read};

fn send(value: u64) -> Call {
    Call::Send {
        producer: "a".into(),
        delivery: Delivery::Idempotent,
        topic: "t".into(),
        partition: None,
        key: Some("k".into()),
        value,
        digest: u64::MAX - value,
        repeats: None,
    }
}

fn written(folder: &tempfile::TempDir) -> (std::path::PathBuf, Vec<Line>) {
    let path = folder.path().join("7.jsonl");
    let mut writer = Writer::create(&path, 7).expect("written");
    let op = writer.invoke(5, send(1)).expect("written");
    let sent = Outcome::Ok(Answer::Sent { partition: 0, offset: Some(3) });
    writer.settle(op, 9, sent.clone()).expect("written");
    writer.put(Line::Phase { at_us: 10, phase: Phase::Final }).expect("written");
    let end = Call::EndOffset(Partition { topic: "t".into(), partition: 0 });
    let last = writer.invoke(11, end.clone()).expect("written");
    assert_eq!((op.0, op.1, last.1), (7, 1, 2));
    let lines = vec![
        Line::Invoke { op, at_us: 5, call: send(1) },
        Line::Return { op, at_us: 9, result: sent },
        Line::Phase { at_us: 10, phase: Phase::Final },
        Line::Invoke { op: last, at_us: 11, call: end },
    ];
    (path, lines)
}

#[test]
fn what_is_written_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let (path, lines) = written(&folder);
    assert_eq!(read(&path).unwrap(), lines);
    assert!(Writer::create(&path, 7).is_err(), "another life needs another file");
}

#[test]
fn a_torn_last_line_is_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let (path, lines) = written(&folder);
    let bytes = std::fs::read(&path).unwrap();
    for cut in 0..bytes.len() {
        std::fs::write(&path, &bytes[..cut]).unwrap();
        let whole = bytes[..cut].iter().filter(|byte| **byte == b'\n').count();
        assert_eq!(read(&path).unwrap(), lines[..whole]);
    }
}

#[test]
fn damage_elsewhere_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (path, _) = written(&folder);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[3] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let error = read(&path).unwrap_err().to_string();
    assert!(error.contains("7.jsonl:1:"), "{error}");
}
