//! `word key=value flag`, taken apart.

use base::Uuid;
use std::collections::HashMap;
use std::time::Duration;
use temporalio_protos::temporal::api::common::v1 as common;

/// One command of a script.
pub(crate) struct Words<'a> {
    pub(crate) plain: Vec<&'a str>,
    keyed: HashMap<&'a str, &'a str>,
}

impl<'a> Words<'a> {
    pub(crate) fn of(line: &'a str) -> Words<'a> {
        let (mut plain, mut keyed) = (Vec::new(), HashMap::new());
        for word in line.split_whitespace() {
            match word.split_once('=') {
                Some((key, value)) => _ = keyed.insert(key, value),
                None => plain.push(word),
            }
        }
        Words { plain, keyed }
    }

    /// The n-th plain word; empty if there is none.
    pub(crate) fn word(&self, n: usize) -> &'a str {
        self.plain.get(n).copied().unwrap_or_default()
    }

    pub(crate) fn flag(&self, name: &str) -> bool {
        self.plain.contains(&name)
    }

    pub(crate) fn key(&self, key: &str) -> Option<&'a str> {
        self.keyed.get(key).copied()
    }

    pub(crate) fn text(&self, key: &str, default: &str) -> String {
        self.key(key).unwrap_or(default).to_owned()
    }

    pub(crate) fn number<N: std::str::FromStr>(&self, key: &str, default: N) -> N {
        let Some(value) = self.key(key) else { return default };
        value.parse().ok().unwrap_or_else(|| panic!("{key}={value} is not a number"))
    }

    pub(crate) fn duration(&self, key: &str) -> Option<prost_types::Duration> {
        self.key(key).map(|text| match text.strip_prefix('-') {
            Some(text) => {
                prost_types::Duration { seconds: -proto_duration(span(text)).seconds, nanos: 0 }
            }
            None => proto_duration(span(text)),
        })
    }

    pub(crate) fn payloads(&self, key: &str) -> Option<common::Payloads> {
        self.key(key).map(payloads)
    }
}

/// `500ms`, `10s`, `2m`, `1h`.
pub(crate) fn span(text: &str) -> Duration {
    let split = text.find(|c: char| !c.is_ascii_digit()).expect("a unit");
    let (digits, unit) = text.split_at(split);
    let number: u64 = digits.parse().expect("digits");
    match unit {
        "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        "m" => Duration::from_secs(number * 60),
        "h" => Duration::from_secs(number * 3600),
        other => panic!("unknown unit {other}"),
    }
}

pub(crate) fn proto_duration(span: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(span.as_secs()).expect("seconds"),
        nanos: i32::try_from(span.subsec_nanos()).expect("nanoseconds"),
    }
}

pub(crate) fn payload(text: &str) -> common::Payload {
    let metadata = [("encoding".to_owned(), b"json/plain".to_vec())].into();
    common::Payload { metadata, data: text.as_bytes().to_vec(), ..Default::default() }
}

pub(crate) fn payloads(text: &str) -> common::Payloads {
    common::Payloads { payloads: vec![payload(text)] }
}

/// A run id that no run has.
pub(crate) fn stranger() -> Uuid {
    Uuid::from_u128(0xdead)
}
