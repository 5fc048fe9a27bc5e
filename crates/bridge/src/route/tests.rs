//! Every default, and every value that is refused.

use super::*;

fn spec() -> Spec {
    let text = |text: &str| Some(text.to_owned());
    Spec {
        name: text("orders"),
        topics: Some(vec!["orders".to_owned()]),
        workflow_type: text("OrderSaga"),
        task_queue: text("orders"),
        signal: text("order"),
        ..Spec::default()
    }
}

fn signal_only() -> Spec {
    Spec { mode: Some("signal".to_owned()), workflow_type: None, task_queue: None, ..spec() }
}

#[test]
fn what_is_not_said_has_a_default() {
    let route = Route::new(spec()).unwrap();
    let Mode::SignalWithStart(start, signal) = &route.mode else { panic!("{route:?}") };
    assert_eq!((start.workflow_type.as_str(), start.task_queue.as_str()), ("OrderSaga", "orders"));
    assert_eq!((start.run_timeout, start.input.len(), signal.as_str()), (None, 0, "order"));
    assert_eq!(route.workflow_id, "{key}".parse().unwrap());
    assert_eq!((route.value, route.argument), (ValueEncoding::Json, Argument::Value));
    assert_eq!((route.on_closed, route.start), (OnClosed::Start, StartAt::Earliest));
    assert_eq!(
        (route.namespace.as_str(), route.group().as_str()),
        ("default", "mainstay-route-orders")
    );
    assert_eq!(Route::new(signal_only()).unwrap().on_closed, OnClosed::DeadLetter);
}

#[test]
fn durations_have_units() {
    for (text, want_ms) in
        [("250ms", 250), ("10s", 10_000), ("5m", 300_000), ("2h", 7_200_000), ("1d", 86_400_000)]
    {
        let route = Route::new(Spec { run_timeout: Some(text.to_owned()), ..spec() }).unwrap();
        let Mode::SignalWithStart(start, _) = route.mode else { panic!() };
        assert_eq!(start.run_timeout, Some(Duration::from_millis(want_ms)), "{text}");
    }
    for text in ["", "10", "s", "0s", "-1s", "1.5s", "1 s", "1w", "99999999999d"] {
        let error = Route::new(Spec { run_timeout: Some(text.to_owned()), ..spec() }).unwrap_err();
        assert_eq!(error.problem, Problem::Duration { value: text.to_owned() });
        assert_eq!(error.key, "run_timeout");
    }
}

/// Each change of a good route, and the message it must give.
#[test]
fn what_cannot_be_carried_out_is_refused_by_name() {
    let some = |text: &str| Some(text.to_owned());
    let long = "x".repeat(1_001);
    let cases: Vec<(Spec, &str)> = vec![
        (Spec { name: None, ..spec() }, "`name`: is missing"),
        (Spec { name: some(""), ..spec() }, "`name`: must not be empty"),
        (Spec { name: some("a b"), ..spec() }, "`name`: \"a b\" may hold letters"),
        (Spec { name: some(&long), ..spec() }, "`name`: is 1001 bytes long; 200 are allowed"),
        (Spec { topics: None, ..spec() }, "`topics`: is missing"),
        (Spec { topics: Some(vec![]), ..spec() }, "`topics`: must not be empty"),
        (Spec { topics: Some(vec!["..".into()]), ..spec() }, "`topics`: \"..\" may hold"),
        (
            Spec { topics: Some(vec!["t".repeat(238)]), ..spec() },
            "`topics`: is 238 bytes long; 237",
        ),
        (
            Spec { topics: Some(vec!["a".into(), "b".into(), "a".into()]), ..spec() },
            "`topics`: \"a\" is given twice",
        ),
        (Spec { topics: Some(vec!["a".into(); 101]), ..spec() }, "`topics`: has 101 elements; 100"),
        (Spec { workflow_type: None, ..spec() }, "`workflow_type`: is missing"),
        (Spec { task_queue: some("mainstay"), ..spec() }, "`task_queue`: the task queue"),
        (Spec { signal: None, ..spec() }, "`signal`: is missing"),
        (Spec { signal: some(&long), ..spec() }, "`signal`: is 1001 bytes long; 1000 are allowed"),
        (Spec { mode: some("update"), ..spec() }, "`mode`: \"update\" is reserved, and not impl"),
        (Spec { mode: some("Signal"), ..spec() }, "`mode`: \"Signal\" is not one of \"signal-with"),
        (Spec { mode: some("start"), ..spec() }, "`signal`: has no meaning with mode = \"start\""),
        (
            Spec { mode: some("signal"), ..spec() },
            "`workflow_type`: has no meaning with mode = \"s",
        ),
        (Spec { input: Some(vec![]), ..signal_only() }, "`input`: has no meaning with mode"),
        (Spec { on_closed: some("start"), ..signal_only() }, "`on_closed`: \"start\" has no mean"),
        (Spec { on_closed: some("retry"), ..spec() }, "`on_closed`: \"retry\" is not one of"),
        (Spec { on_refused: some("stop"), ..spec() }, "`on_refused`: \"stop\" is reserved"),
        (Spec { on_refused: some("retry"), ..spec() }, "`on_refused`: \"retry\" is reserved"),
        (Spec { value: some("payload"), ..spec() }, "`value`: \"payload\" is reserved"),
        (Spec { value: some("avro"), ..spec() }, "`value`: \"avro\" is not one of \"json\""),
        (Spec { argument: some("key"), ..spec() }, "`argument`: \"key\" is not one of"),
        (Spec { start: some("middle"), ..spec() }, "`start`: \"middle\" is not one of"),
        (Spec { namespace: some(""), ..spec() }, "`namespace`: must not be empty"),
        (Spec { workflow_id: some("{kee}"), ..spec() }, "`workflow_id`: unknown placeholder {kee}"),
        (Spec { input: Some(vec!["{".into()]), ..spec() }, "`input`: is not one JSON document"),
        (Spec { input: Some(vec!["1".into(); 101]), ..spec() }, "`input`: has 101 elements; 100"),
    ];
    for (spec, want) in cases {
        let error = Route::new(spec).expect_err(want).to_string();
        assert!(error.starts_with(want), "wanted {want}\n   got {error}");
    }
}
