//! What a file can say, and where it is said to be wrong.

use super::*;
use bridge::route::{Mode, OnClosed, ValueEncoding};
use std::time::Duration;

fn load(text: &str, overrides: &Overrides) -> Result<Config, String> {
    let source = Source::new(Path::new("m.toml"), text);
    Config::parse(&source, overrides).map_err(|error| error.to_string())
}

fn parse(text: &str) -> Result<Config, String> {
    load(text, &Overrides::default())
}

const ROUTE: &str = r#"[[route]]
name = "orders"
topics = ["orders"]
workflow_type = "OrderSaga"
task_queue = "orders"
signal = "order"
"#;

#[test]
fn nothing_said_is_the_default() {
    let config = parse("").unwrap();
    assert_eq!(config.kafka.to_string(), "127.0.0.1:9092");
    assert_eq!(config.temporal.to_string(), "127.0.0.1:7233");
    assert_eq!((config.advertised, config.routes.len()), (None, 0));
    assert_eq!(config.limits, Limits::default());
}

#[test]
fn everything_can_be_said() {
    let config = parse(
        r#"
        insecure = true
        [kafka]
        listen = "0.0.0.0:19092"
        advertised = "kafka.example.org:9092"
        [temporal]
        listen = "localhost:17233"
        [limits]
        kafka_request_bytes = 1048576
        route_parked_count = 5
        [[route]]
        name = "orders"
        topics = ["orders", "old-orders"]
        workflow_type = "OrderSaga"
        task_queue = "orders"
        signal = "order"
        workflow_id = "{topic}-{key}"
        value = "bytes"
        on_closed = "ignore"
        on_refused = "dead-letter"
        argument = "record"
        namespace = "shop"
        start = "latest"
        input = ["eu", 5, 1.5, true, { a = [1, 2] }]
        task_timeout = "3s"
        run_timeout = "1h"
        execution_timeout = "1d"
        [[route]]
        name = "closer"
        topics = ["closings"]
        mode = "signal"
        signal = "close"
        "#,
    )
    .unwrap();
    assert_eq!(config.kafka.to_string(), "0.0.0.0:19092");
    assert_eq!(config.temporal.to_string(), "127.0.0.1:17233");
    let advertised = config.advertised.unwrap();
    assert_eq!((advertised.host.as_str(), advertised.port), ("kafka.example.org", 9092));
    assert_eq!(config.limits.kafka_request_bytes, Some(1 << 20));
    assert_eq!(config.limits.route_parked_count, Some(5));
    let [orders, closer] = &config.routes[..] else { panic!("two routes") };
    let Mode::SignalWithStart(start, signal) = &orders.mode else { panic!("{orders:?}") };
    assert_eq!(start.input, [r#""eu""#, "5", "1.5", "true", r#"{"a":[1,2]}"#]);
    assert_eq!(start.task_timeout, Some(Duration::from_secs(3)));
    assert_eq!(start.execution_timeout, Some(Duration::from_secs(86_400)));
    assert_eq!((signal.as_str(), orders.namespace.as_str()), ("order", "shop"));
    assert_eq!((orders.value, orders.on_closed), (ValueEncoding::Bytes, OnClosed::Ignore));
    assert_eq!((closer.mode_name(), closer.on_closed), ("signal", OnClosed::DeadLetter));
}

#[test]
fn the_command_line_wins() {
    let local = |port: u16| Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    let overrides = Overrides { kafka: local(1), temporal: local(0), insecure: false };
    let public = "[kafka]\nlisten = \"0.0.0.0:9092\"";
    let config = load(public, &overrides).unwrap();
    assert_eq!(config.kafka.to_string(), "127.0.0.1:1");
    assert_eq!(config.temporal.to_string(), "127.0.0.1:0");

    let everywhere = "10.0.0.1:7233".parse().ok();
    let overrides = Overrides { temporal: everywhere, ..Overrides::default() };
    let error = load("", &overrides).unwrap_err();
    assert!(error.starts_with("[temporal] would listen on 10.0.0.1:7233"), "{error}");
    assert!(load("insecure = true", &overrides).is_ok());
    assert!(load(public, &Overrides { insecure: true, ..overrides }).is_ok());
}

/// The file, and how its error begins.
#[test]
fn errors_name_the_line() {
    let route = |change: &str| format!("{ROUTE}{change}\n");
    let after = |line: usize, rest: &str| format!("m.toml:{line}:{rest}");
    let cases = [
        ("kafka = 5".to_owned(), after(1, "9: invalid type: integer `5`")),
        ("\n[kafka]\nlisen = \"x\"".to_owned(), after(3, "1: unknown field `lisen`, expected one")),
        ("[kafak]".to_owned(), after(1, "2: unknown field `kafak`")),
        (
            "insecure = \"yes\"".to_owned(),
            after(1, "12: invalid type: string \"yes\", expected a b"),
        ),
        ("[kafka]\nlisten = 9092".to_owned(), after(2, "10: invalid type: integer `9092`")),
        ("[kafka]\nlisten = \"9092\"".to_owned(), after(2, "10: \"9092\" is no address to listen")),
        (
            "[kafka]\nlisten = \"a.b:1\"".to_owned(),
            after(2, "10: \"a.b:1\" is no address to listen"),
        ),
        ("[kafka]\nlisten = \"0.0.0.0:1\"".to_owned(), after(2, "10: [kafka] would listen on 0.0")),
        (
            "[kafka]\nadvertised = \"a b:1\"".to_owned(),
            after(2, "14: \"a b:1\" is no address to ad"),
        ),
        ("[kafka]\nadvertised = \"a:0\"".to_owned(), after(2, "14: \"a:0\" is no address to ad")),
        (
            "[kafka]\nbootstrap = \"a:1\"".to_owned(),
            after(2, "13: `[kafka] bootstrap` is reserved"),
        ),
        (
            "[temporal]\naddress = \"a\"".to_owned(),
            after(2, "11: `[temporal] address` is reserved"),
        ),
        ("[kafka]\n[kafka]".to_owned(), after(2, "2: duplicate key")),
        ("[kafka\n".to_owned(), after(1, "7: ")),
        ("a = \"\u{fc}\" b".to_owned(), after(1, "9: ")),
        (
            "[limits]\nroute_parked_count = 0".to_owned(),
            after(2, "22: 0 is not between 1 and 1000000"),
        ),
        (
            "[limits]\nroute_parked_count = -1".to_owned(),
            after(2, "22: invalid value: integer `-1`"),
        ),
        (
            "[limits]\nkafka_request_bytes = 1".to_owned(),
            after(2, "23: 1 is not between 65536 and"),
        ),
        ("[limits]\nroute_parked = 1".to_owned(), after(2, "1: unknown field `route_parked`")),
        (
            route("workflow = \"x\""),
            after(7, "1: unknown field `workflow`, expected one of `name`"),
        ),
        (
            route("value = \"payload\""),
            after(7, "9: `value`: \"payload\" is reserved, and not impl"),
        ),
        (
            route("workflow_id = \"{kee}\""),
            after(7, "15: `workflow_id`: unknown placeholder {kee}"),
        ),
        (route("signal = \"again\""), after(7, "1: duplicate key")),
        (route("run_timeout = 5"), after(7, "15: invalid type: integer `5`, expected a string")),
        (route("input = [1,\n 1979-05-27]"), after(8, "2: `input`: JSON has no dates")),
        (route("input = [nan]"), after(7, "10: `input`: JSON has no infinite numbers and no NaN")),
        (
            ROUTE.replace("[\"orders\"]", "[\"a\", \"b c\"]"),
            after(3, "16: `topics`: \"b c\" may hold"),
        ),
        (ROUTE.replace("[\"orders\"]", "[]"), after(3, "10: `topics`: must not be empty")),
        (ROUTE.replace("signal = \"order\"\n", ""), after(1, "1: `signal`: is missing")),
        (format!("{ROUTE}\n{ROUTE}"), after(9, "8: `name`: there is another route \"orders\"")),
        (format!("{ROUTE}\n[[route]]\nname = \"b\""), after(8, "1: `task_queue`: is missing")),
    ];
    for (text, want) in cases {
        let error = parse(&text).expect_err(&text);
        assert!(error.starts_with(&want), "{text}\nwanted {want}\n   got {error}");
    }
}

#[test]
fn the_place_is_shown() {
    let error = parse("[kafka]\n\tlisten = \"p\u{fc}rt\" # here").unwrap_err();
    let want = "is no address to listen on; write an IP address and a port, as in \
                \"127.0.0.1:9092\"";
    assert_eq!(
        error,
        format!(
            "m.toml:2:11: \"p\u{fc}rt\" {want}\n  |\n2 | \tlisten = \"p\u{fc}rt\" # here\n  | \t         ^^^^^^"
        )
    );
    // A value of many lines is marked on its first; a very long line is not shown.
    let error = parse(&format!("{ROUTE}value = '''\nx\n'''")).unwrap_err();
    assert!(error.ends_with("7 | value = '''\n  |         ^^^"), "{error}");
    let error = parse(&format!("[kafka]\nlisten = \"{}\"", "x".repeat(300))).unwrap_err();
    assert!(!error.contains('\n'), "{error}");
}

#[test]
fn files_that_are_no_text_are_refused() {
    let directory = tempfile::TempDir::new().unwrap();
    let path = directory.path().join("m.toml");
    let load = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        Config::load(Some(&path), &Overrides::default()).map_err(|error| error.to_string())
    };
    assert!(load(b"").is_ok());
    let error = load(b"# one\n# tw\xff\n").unwrap_err();
    assert!(error.contains("m.toml:2:5: this is not UTF-8\n"), "{error}");
    assert!(load(&[b'\n'; 1 << 20]).is_ok());
    let error = load(&[b'\n'; (1 << 20) + 1]).unwrap_err();
    assert!(error.ends_with("m.toml has more than 1048576 bytes"), "{error}");
    std::fs::remove_file(&path).unwrap();
    let error = Config::load(Some(&path), &Overrides::default()).unwrap_err().to_string();
    assert!(error.starts_with("cannot read the configuration "), "{error}");
}

/// The example that people copy from.
#[test]
fn the_example_shows_every_key() {
    let text = include_str!("../../example.toml");
    let config = parse(text).unwrap();
    assert_eq!(config.routes.len(), 2);
    // What is commented out is valid too, and together they name every key there is.
    let uncommented: String = text
        .lines()
        .filter(|line| !line.starts_with("#:"))
        .map(|line| format!("{}\n", line.strip_prefix("# ").unwrap_or(line)))
        .collect();
    let shown = parse(&uncommented).unwrap().limits;
    let (kafka, pump) = (kafka::Limits::default(), bridge::pump::Limits::default());
    let temporal = temporal::Options::default();
    let defaults = Limits {
        kafka_request_bytes: Some(kafka.request_bytes_max),
        kafka_connections_count: Some(kafka.connections_count_max),
        temporal_request_bytes: Some(temporal.request_bytes_max),
        temporal_connections_count: Some(temporal.connections_max),
        route_in_flight_count: Some(pump.in_flight_count),
        route_parked_count: Some(pump.parked_count),
        route_parked_bytes: Some(pump.parked_bytes),
    };
    assert_eq!(shown, defaults);
    let keys = "insecure listen advertised name topics mode workflow_type task_queue signal \
                workflow_id value argument on_refused on_closed namespace start input task_timeout \
                run_timeout execution_timeout kafka_request_bytes kafka_connections_count \
                temporal_request_bytes temporal_connections_count route_in_flight_count \
                route_parked_count route_parked_bytes";
    for key in keys.split_whitespace() {
        let named = uncommented.lines().any(|line| line.starts_with(&format!("{key} = ")));
        assert!(named, "{key} is not in the example");
    }
}

#[test]
fn addresses_are_what_they_say() {
    for (text, want) in [
        ("127.0.0.1:9092", Some("127.0.0.1:9092")),
        ("[::1]:0", Some("[::1]:0")),
        ("localhost:80", Some("127.0.0.1:80")),
        ("localhost", None),
        ("::1:80", None),
        ("127.0.0.1:65536", None),
        ("", None),
    ] {
        let got = address::parse(text).ok().map(|address| address.to_string());
        assert_eq!(got.as_deref(), want, "{text}");
    }
    for (text, want) in [
        ("kafka:9092", Some(("kafka", 9092))),
        ("[::1]:1", Some(("::1", 1))),
        ("10.0.0.1:1", Some(("10.0.0.1", 1))),
        ("kafka", None),
        (":1", None),
        ("a:b:1", None),
        ("a:99999", None),
    ] {
        let got = Advertised::parse(text).ok();
        assert_eq!(got.as_ref().map(|a| (a.host.as_str(), a.port)), want, "{text}");
    }
}
