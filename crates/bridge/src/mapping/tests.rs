//! Records and what they become, field by field.

use super::*;
use crate::delivery::Fate;
use crate::route::Spec;
use base::{TopicId, Uuid};
use serde_json::{Value, json};

const PARTITION: PartitionId = PartitionId { topic: TopicId(Uuid::from_u128(1)), index: 3 };

fn spec() -> Spec {
    let text = |text: &str| Some(text.to_owned());
    Spec {
        name: text("orders"),
        topics: Some(vec!["orders".to_owned()]),
        workflow_type: text("OrderSaga"),
        task_queue: text("sagas"),
        signal: text("order"),
        run_timeout: text("1500ms"),
        ..Spec::default()
    }
}

fn mapper(spec: Spec) -> Mapper {
    Mapper::new(Arc::new(Route::new(spec).unwrap()), "orders".into(), "cluster".into())
}

fn record(value: Option<&[u8]>) -> Record {
    Record {
        offset: 42,
        timestamp_ms: 1_700_000_000_123,
        key: Some(Bytes::from_static(b"o-1")),
        value: value.map(Bytes::copy_from_slice),
        headers: vec![
            ("a".into(), Some(Bytes::from_static(b"1"))),
            ("null".into(), None),
            ("a".into(), Some(Bytes::from_static(b"2"))),
        ],
    }
}

/// Encoding and data of a payload.
fn text(payload: &common::Payload) -> (&str, &str) {
    let encoding = std::str::from_utf8(&payload.metadata["encoding"]).unwrap();
    (encoding, std::str::from_utf8(&payload.data).unwrap())
}

fn signal_with_start(
    spec: Spec,
    record: &Record,
) -> service::SignalWithStartWorkflowExecutionRequest {
    match mapper(spec).map(PARTITION, 40, record).unwrap().action {
        Action::SignalWithStart(request) => *request,
        other => panic!("{other:?}"),
    }
}

fn argument(spec: Spec, record: &Record) -> common::Payload {
    let mut arguments = signal_with_start(spec, record).signal_input.unwrap().payloads;
    assert_eq!(arguments.len(), 1);
    arguments.remove(0)
}

fn mode(mode: &str) -> Spec {
    let mode = Some(mode.to_owned());
    match mode.as_deref() {
        Some("start") => Spec { mode, signal: None, ..spec() },
        _ => Spec { mode, workflow_type: None, task_queue: None, run_timeout: None, ..spec() },
    }
}

#[test]
fn a_record_becomes_a_signal_with_start() {
    let value = b" {\"b\": 1,\n\"a\": 2.50} ";
    let record = record(Some(value));
    let delivery = mapper(spec()).map(PARTITION, 40, &record).unwrap();
    assert_eq!((delivery.first, delivery.last, delivery.fate()), (40, 42, Fate::Delivered));
    let request = signal_with_start(spec(), &record);
    let queue = request.task_queue.unwrap();
    assert_eq!(
        [
            request.namespace.as_str(),
            &request.workflow_id,
            &request.workflow_type.unwrap().name,
            &queue.name,
            &request.signal_name,
            &request.identity,
        ],
        ["default", "o-1", "OrderSaga", "sagas", "order", "mainstay-route-orders"]
    );
    assert_eq!(queue.kind, i32::from(TaskQueueKind::Normal));
    assert_eq!(request.input, None);
    let timeout = request.workflow_run_timeout.unwrap();
    assert_eq!((timeout.seconds, timeout.nanos), (1, 500_000_000));
    assert_eq!(request.workflow_execution_timeout, None);
    assert_eq!(request.workflow_id_reuse_policy, WorkflowIdReusePolicy::AllowDuplicate as i32);
    let argument = &request.signal_input.unwrap().payloads[0];
    assert_eq!(text(argument), ("json/plain", std::str::from_utf8(value).unwrap()));
    assert!(Uuid::parse_str(&request.request_id).is_ok_and(|id| id.get_version_num() == 5));
    let (encoding, coordinates) = text(&request.header.as_ref().unwrap().fields[RECORD_HEADER]);
    assert_eq!(encoding, "json/plain");
    assert_eq!(
        coordinates,
        r#"{"topic":"orders","partition":3,"offset":42,"timestamp":1700000000123,"key":"o-1","headers":[["a","MQ=="],["null",null],["a","Mg=="]]}"#
    );
}

#[test]
fn modes_and_policies_choose_the_request() {
    let record = record(Some(b"1"));
    let input = Some(vec!["\"eu\"".to_owned(), "{\"x\":1}".to_owned()]);
    let start = Spec { input: input.clone(), on_closed: Some("ignore".into()), ..mode("start") };
    let Action::Start(start) = mapper(start).map(PARTITION, 42, &record).unwrap().action else {
        panic!("no start")
    };
    let inputs: Vec<_> = start.input.as_ref().unwrap().payloads.iter().map(text).collect();
    let json_plain = |text| ("json/plain", text);
    assert_eq!(inputs, [json_plain("\"eu\""), json_plain("{\"x\":1}"), json_plain("1")]);
    assert_eq!(start.workflow_id_reuse_policy, WorkflowIdReusePolicy::RejectDuplicate as i32);
    assert!(start.header.unwrap().fields.contains_key(RECORD_HEADER));

    let Action::Signal(signal) = mapper(mode("signal")).map(PARTITION, 42, &record).unwrap().action
    else {
        panic!("no signal")
    };
    let execution = signal.workflow_execution.unwrap();
    assert_eq!((execution.workflow_id.as_str(), execution.run_id.as_str()), ("o-1", ""));
    assert_eq!((signal.signal_name.as_str(), signal.request_id), ("order", start.request_id));
    assert!(signal.header.unwrap().fields.contains_key(RECORD_HEADER));

    let started = signal_with_start(Spec { input, ..spec() }, &record).input.unwrap();
    assert_eq!(started.payloads.iter().map(text).collect::<Vec<_>>(), inputs[..2]);
}

#[test]
fn values_travel_unchanged() {
    let bytes = || Spec { value: Some("bytes".into()), ..spec() };
    for (spec, value, want) in [
        (spec(), Some(&b"null"[..]), ("json/plain", "null")),
        (spec(), Some(b"1e999"), ("json/plain", "1e999")),
        (spec(), None, ("binary/null", "")),
        (bytes(), Some(b"not json"), ("binary/plain", "not json")),
        (bytes(), Some(b""), ("binary/plain", "")),
        (bytes(), None, ("binary/null", "")),
    ] {
        assert_eq!(text(&argument(spec, &record(value))), want);
    }
}

#[test]
fn the_record_can_be_the_argument() {
    let json_route = || Spec { argument: Some("record".into()), ..spec() };
    let bytes_route = || Spec { value: Some("bytes".into()), ..json_route() };
    let parse = |payload: common::Payload| -> Value {
        assert_eq!(payload.metadata["encoding"], b"json/plain");
        serde_json::from_slice(&payload.data).unwrap()
    };
    let mut want = json!({
        "topic": "orders", "partition": 3, "offset": 42, "timestamp": 1_700_000_000_123_i64,
        "key": "o-1", "headers": [["a", "MQ=="], ["null", null], ["a", "Mg=="]],
        "value": {"amount": 5},
    });
    let payload = argument(json_route(), &record(Some(b"{\"amount\": 5}")));
    assert!(text(&payload).1.ends_with("\"value\":{\"amount\": 5}}"), "as it was written");
    assert_eq!(parse(payload), want);
    want["value"] = Value::Null;
    assert_eq!(parse(argument(json_route(), &record(None))), want);

    let fields = want.as_object_mut().unwrap();
    fields.remove("value");
    fields.insert("value_base64".into(), json!("/w=="));
    fields.insert("key".into(), Value::Null);
    fields.insert("key_base64".into(), json!("/g=="));
    let by_topic = Spec { workflow_id: Some("{topic}".into()), ..bytes_route() };
    let record = Record { key: Some(Bytes::from_static(b"\xfe")), ..record(Some(b"\xff")) };
    assert_eq!(parse(argument(by_topic, &record)), want);
}

#[test]
fn one_json_document_is_exactly_one() {
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    for good in
        ["{}", "[1,2]", "\"x\"", "0", "-1.5e-3", "true", " \r\n\tnull ", "{\"a\":1,\"a\":2}"]
    {
        assert_eq!(check_json(good.as_bytes()), Ok(()), "{good}");
    }
    assert_eq!(check_json(deep.as_bytes()), Ok(()), "depth costs no stack");
    for bad in [
        &b""[..],
        b" ",
        b"{} {}",
        b"{}x",
        b"1 2",
        b"{",
        b"[1,]",
        b"nul",
        b"'x'",
        b"{a:1}",
        b"01",
        b"NaN",
        b"\xef\xbb\xbf{}",
        b"\"\xff\"",
        b"\"\xed\xa0\x80\"",
        b"\"\n\"",
        b"{}\0",
    ] {
        assert!(check_json(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn what_cannot_be_mapped_is_dead_lettered_byte_for_byte() {
    let mapper = mapper(spec());
    let broken = record(Some(b"{} x"));
    let reason = mapper.map(PARTITION, 42, &broken).unwrap_err().to_string();
    assert!(reason.starts_with("the record's value is not one JSON document"), "{reason}");
    let delivery = mapper.dead_letter(PARTITION, 41, &broken, &reason);
    assert_eq!((delivery.first, delivery.last, delivery.fate()), (41, 42, Fate::DeadLettered));
    let Action::DeadLetter(letter) = delivery.action else { panic!("no dead letter") };
    assert_eq!(letter.topic, "orders.dead-letter");
    assert_eq!((&letter.key, &letter.value), (&broken.key, &broken.value));
    assert_eq!(letter.timestamp_ms, broken.timestamp_ms);
    let (kept, added) = letter.headers.split_at(broken.headers.len());
    assert_eq!(kept, broken.headers);
    let added: Vec<_> = added
        .iter()
        .map(|(name, value)| (name.as_str(), std::str::from_utf8(value.as_ref().unwrap()).unwrap()))
        .collect();
    assert_eq!(
        added,
        [
            ("mainstay.route", "orders"),
            ("mainstay.reason", reason.as_str()),
            ("mainstay.topic", "orders"),
            ("mainstay.partition", "3"),
            ("mainstay.offset", "42"),
        ]
    );

    let batch = mapper.dead_batch(PARTITION, (7, 8, 9), &Bytes::from_static(b"batch"), "why");
    assert_eq!((batch.first, batch.last), (7, 9));
    let Action::DeadLetter(letter) = batch.action else { panic!("no dead letter") };
    assert_eq!((letter.key, letter.value.as_deref()), (None, Some(&b"batch"[..])));
    let value = |name: &str| {
        letter.headers.iter().find(|(n, _)| n == name).and_then(|(_, value)| value.clone()).unwrap()
    };
    assert_eq!(
        (&value("mainstay.offset")[..], &value("mainstay.last-offset")[..]),
        (&b"8"[..], &b"9"[..])
    );
}
