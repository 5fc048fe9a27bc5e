//! The bytes on disk. A change here is a change of the journal's format: it needs a new version
//! of the op, and the old one must still be read.

use super::*;
use crate::proto::{Attributes, enums};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn id(number: u128) -> Id {
    Uuid::from_u128(number).into()
}

fn timer_fired(event_id: i64) -> HistoryEvent {
    HistoryEvent {
        event_id,
        event_type: enums::EventType::TimerFired as i32,
        attributes: Some(Attributes::TimerFiredEventAttributes(
            history::TimerFiredEventAttributes { timer_id: "t".into(), started_event_id: 5 },
        )),
        ..HistoryEvent::default()
    }
}

/// One of each kind, with its number and its body in hexadecimal.
fn samples() -> Vec<(Op, u16, &'static str)> {
    let (run, namespace) = (id(1), id(2));
    let task = WorkflowTaskState {
        scheduled_event_id: 2,
        started_event_id: 3,
        attempt: 1,
        sticky_queue: Some("s".into()),
        scheduled_at: 4,
        started_at: 5,
        original_scheduled_at: 6,
        start_to_close: 7,
        schedule_to_start_deadline: 8,
        identity: "i".into(),
        request_id: "r".into(),
        history_size_bytes: 9,
        suggest_continue_as_new_reasons: vec![1],
        close_attempted: true,
    };
    let state = ActivityState {
        attempt: 2,
        scheduled_at: 3,
        started_at: 4,
        backing_off: true,
        first_scheduled_at: 5,
        identity: "i".into(),
        request_id: "r".into(),
        last_heartbeat_at: 6,
        heartbeat_details: Some(common::Payloads::default()),
        last_failure: Some(failure::Failure::default()),
        last_worker_identity: "w".into(),
        cancel_requested_event_id: 7,
        last_attempt_ended_at: 8,
    };
    let sticky = Some(Sticky { queue: "s".into(), schedule_to_start: 5 });
    let workflow_id = "w".to_owned();
    vec![
        (
            Op::NamespaceRegistered(NamespaceRegistered {
                id: namespace,
                name: "n".into(),
                description: "d".into(),
                owner_email: "e".into(),
                retention_seconds: 1,
                data: [("k".to_owned(), "v".to_owned())].into(),
            }),
            100,
            "0a0911020000000000000012016e1a0164220165280132060a016b120176",
        ),
        (
            Op::RunCreated(RunCreated {
                run,
                namespace,
                workflow_id: workflow_id.clone(),
                request_id: "r".into(),
                first_task_at: 1,
            }),
            101,
            "0a0911010000000000000012091102000000000000001a01772201722801",
        ),
        (
            Op::Events(Events {
                run: run.run(),
                events: vec![timer_fired(1), timer_fired(2), timer_fired(3)],
                flushed: vec![0, 2],
            }),
            102,
            "0a0911010000000000000012020002",
        ),
        (
            Op::Buffered(Buffered { run, events: vec![timer_fired(0)] }),
            103,
            "0a09110100000000000000120a1812aa01050a01741005",
        ),
        (
            Op::WorkflowTaskSet(WorkflowTaskSet { run, task: Some(task) }),
            104,
            "0a091101000000000000001220080210031801220173280430053806400748085201695a017260096a01017001",
        ),
        (
            Op::ActivitySet(ActivitySet { run, scheduled_event_id: 5, state }),
            105,
            "0a0911010000000000000010051a1d080210031804200128053201693a017240064a0052005a017760076808",
        ),
        (Op::StickySet(StickySet { run, sticky }), 106, "0a0911010000000000000012050a01731005"),
        (
            Op::RequestSeen(RequestSeen { namespace, workflow_id, request: id(3) }),
            107,
            "0a091102000000000000001201771a09110300000000000000",
        ),
    ]
}

#[test]
fn bodies_are_as_they_were() {
    for (op, kind, body) in samples() {
        let (mut bytes, mut blobs) = (Vec::new(), Vec::new());
        assert_eq!(op.encode(&mut bytes, &mut blobs), OpKind { kind, version: 1 });
        assert_eq!(hex(&bytes), body, "body of kind {kind}");
        let blobs: Vec<Bytes> = blobs.iter().map(|blob| blob.bytes().clone()).collect();
        let read = Op::decode(OpKind { kind, version: 1 }, &bytes, &blobs).unwrap();
        assert_eq!(read, op);
    }
}

#[test]
fn what_is_newer_or_damaged_is_refused() {
    for (op, kind, _) in samples() {
        let (mut bytes, mut blobs) = (Vec::new(), Vec::new());
        op.encode(&mut bytes, &mut blobs);
        let newer = Op::decode(OpKind { kind, version: 2 }, &bytes, &[]);
        assert!(matches!(newer, Err(OpError::UnknownKind(_))), "kind {kind}");
        let cut = bytes.get(..bytes.len() - 1).unwrap();
        let cut = Op::decode(OpKind { kind, version: 1 }, cut, &[]);
        assert!(matches!(cut, Err(OpError::Malformed { .. })), "kind {kind}: {cut:?}");
    }
    let unknown = Op::decode(OpKind { kind: 199, version: 1 }, &[], &[]);
    assert!(matches!(unknown, Err(OpError::UnknownKind(_))));
}

#[test]
fn a_started_workflow_task_ends_its_batch() {
    let event = |kind| HistoryEvent { event_type: kind as i32, ..HistoryEvent::default() };
    use enums::EventType as T;
    let kinds = [T::WorkflowTaskCompleted, T::TimerFired, T::WorkflowTaskStarted, T::TimerFired];
    let events: Vec<HistoryEvent> = kinds.into_iter().map(event).collect();
    assert_eq!(split_batches(&events), [0..3, 3..4]);
    assert_eq!(split_batches(events.get(..3).unwrap()).len(), 1);
    assert_eq!(split_batches(&[]), []);
}
