//! What people write: configurations, routes, arguments.

use super::keep;
use fuzz_targets::Fields;

const EVERYTHING: &str = r#"
insecure = true
[kafka]
listen = "0.0.0.0:19092"
advertised = "kafka.example.org:9092"
[temporal]
listen = "[::1]:17233"
[limits]
kafka_request_bytes = 1048576
route_parked_count = 5
[[route]]
name = "orders"
topics = ["orders", "old-orders"]
workflow_type = "OrderSaga"
task_queue = "orders"
signal = "order"
workflow_id = "{topic}-{key}-{header:customer}"
value = "bytes"
on_closed = "ignore"
argument = "record"
input = ["eu", 5, 1.5, true, { a = [1, 2] }]
task_timeout = "3s"
[[route]]
name = "seen"
topics = ["orders"]
mode = "signal"
signal = "seen"
"#;

pub(super) fn record() -> anyhow::Result<()> {
    keep("config", "example", include_bytes!("../../../../crates/mainstay/example.toml"))?;
    keep("config", "everything", EVERYTHING.as_bytes())?;
    keep("config", "external", b"[kafka]\nbootstrap = \"a:1\"\n")?;
    keep("config", "nested", format!("a = {}", "[".repeat(5_000)).as_bytes())?;
    keep("config", "dotted", format!("{}a = 1", "a.".repeat(5_000)).as_bytes())?;
    for (name, mode, value, argument) in [
        ("signal-with-start", "", "json", "value"),
        ("start", "start", "bytes", "record"),
        ("signal", "signal", "json", "record"),
    ] {
        let is_signal = mode == "signal";
        let of_start = |text: &'static str| if is_signal { "" } else { text };
        keep(
            "route",
            name,
            &parts(&[
                b"orders",
                b"orders,old-orders",
                mode.as_bytes(),
                of_start("OrderSaga").as_bytes(),
                of_start("q").as_bytes(),
                if mode == "start" { b"" } else { b"order" },
                b"{{{key}}}-{topic}/{partition}/{offset}-{header:h}",
                value.as_bytes(),
                argument.as_bytes(),
                of_start("ignore").as_bytes(),
                of_start("1\n{\"a\":[null]}").as_bytes(),
                of_start("30s").as_bytes(),
                &7i64.to_le_bytes(),
                &1_700_000_000_000i64.to_le_bytes(),
                b"key",
                b"{\"total\": 1.50}",
                b"h",
                b"value",
                b"null",
                b"",
            ]),
        )?;
    }
    let full = br#"{"topic":"t","key":"k","value":{"b": 1.50,"a" :[ ]},"headers":[["h","1"],["h",null]],"partition":3}"#;
    keep("publish", "full", &parts(&[b"json/plain", full]))?;
    let base64 = br#"{"topic":"t","key_base64":"AP8=","value_base64":"AA=="}"#;
    keep("publish", "base64", &parts(&[b"json/plain", base64]))?;
    keep("publish", "tombstone", &parts(&[b"json/plain", br#"{"topic":"t","value":null}"#]))?;
    let head = br#"{"topic":"t"}"#;
    keep("publish", "second", &parts(&[b"json/plain", head, b"binary/encrypted", b"\x01raw"]))?;
    keep("publish", "encrypted", &parts(&[b"binary/encrypted", b"x"]))?;
    let nested = format!(r#"{{"topic":"t","value":{}"#, "[".repeat(20_000));
    keep("publish", "nested", &parts(&[b"json/plain", nested.as_bytes()]))?;
    keep("temporal-tokens", "page", &[&[0, 1, 2], &[7; 40][..]].concat())?;
    keep("temporal-tokens", "deadline", b"\x0170S")?;
    keep("temporal-tokens", "task", &[&[2, 0x0a, 18][..], &[9; 40]].concat())?;
    let page = |flags: u8, size: u8, next: i64, end: i64| {
        [&[3, flags, size][..], &next.to_le_bytes(), &end.to_le_bytes(), b"\x0a\x02\x08\x09"]
            .concat()
    };
    keep("temporal-tokens", "sealed-task-page", &page(4, 1, 2, 4))?;
    keep("temporal-tokens", "sealed-history-page", &page(0, 1, 2, 3))?;
    keep("temporal-tokens", "sealed-page-backwards", &page(4, 0, i64::MAX, i64::MIN))?;
    keep("temporal-tokens", "sealed-wait", &page(1, 0, 1_000, 1))?;
    // Of a task: its kind, its scheduled event and its attempt.
    keep("temporal-tokens", "sealed-task", &[4, 6])?;
    keep("temporal-tokens", "sealed-activity", &[4, 3, 0x10, 2, 0x18, 5, 0x20, 1])?;
    keep("temporal-tokens", "sealed-query", &[4, 4, 0x10, 3])?;
    keep(
        "temporal-tokens",
        "sealed-edges",
        &[&[4, 5, 0x18][..], &[0xff; 9], &[1, 0x20, 0x7f]].concat(),
    )
}

fn parts(parts: &[&[u8]]) -> Vec<u8> {
    let mut input = Vec::new();
    parts.iter().for_each(|part| Fields::push(&mut input, part));
    input
}
