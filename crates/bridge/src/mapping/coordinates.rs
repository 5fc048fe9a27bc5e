//! A record's coordinates as JSON: the header field `mainstay-record`, and the argument of
//! routes with `argument = "record"`.

use crate::Record;
use crate::route::ValueEncoding;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Serialize;
use serde_json::value::RawValue;

/// `{"topic", "partition", "offset", "timestamp", "key", "key_base64"?, "headers"}`. A key that
/// is not UTF-8 is null, and stands in `key_base64`. Headers are `[name, base64 or null]` pairs
/// in the record's order.
#[derive(Debug, Serialize)]
pub(super) struct Coordinates<'a> {
    topic: &'a str,
    partition: i32,
    offset: i64,
    timestamp: i64,
    key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_base64: Option<String>,
    headers: Vec<(&'a str, Option<String>)>,
}

impl<'a> Coordinates<'a> {
    pub(super) fn of(topic: &'a str, partition: i32, record: &'a Record) -> Coordinates<'a> {
        let (key, key_base64) = match record.key.as_deref().map(|k| (k, std::str::from_utf8(k))) {
            None => (None, None),
            Some((_, Ok(text))) => (Some(text), None),
            Some((bytes, Err(_))) => (None, Some(BASE64.encode(bytes))),
        };
        let headers = record
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_ref().map(|value| BASE64.encode(value))));
        Coordinates {
            topic,
            partition,
            offset: record.offset,
            timestamp: record.timestamp_ms,
            key,
            key_base64,
            headers: headers.collect(),
        }
    }

    pub(super) fn to_json(&self) -> Vec<u8> {
        // Strings and numbers only: this cannot fail.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// The coordinates and the value: `value` as the JSON it is (a tombstone is null), or
/// `value_base64` for routes whose values are bytes.
#[derive(Debug, Serialize)]
pub(super) struct RecordArgument<'a> {
    #[serde(flatten)]
    coordinates: &'a Coordinates<'a>,
    #[serde(flatten)]
    value: Value<'a>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Value<'a> {
    Value(Option<&'a RawValue>),
    ValueBase64(Option<String>),
}

impl<'a> RecordArgument<'a> {
    pub(super) fn new(
        coordinates: &'a Coordinates<'a>,
        encoding: ValueEncoding,
        value: Option<&'a [u8]>,
    ) -> Result<RecordArgument<'a>, String> {
        let value = match encoding {
            ValueEncoding::Bytes => Value::ValueBase64(value.map(|value| BASE64.encode(value))),
            ValueEncoding::Json => Value::Value(
                value
                    .map(serde_json::from_slice::<&RawValue>)
                    .transpose()
                    .map_err(|error| error.to_string())?,
            ),
        };
        Ok(RecordArgument { coordinates, value })
    }

    pub(super) fn to_json(&self) -> Vec<u8> {
        // As above; the raw value was checked when it was read.
        serde_json::to_vec(self).unwrap_or_default()
    }
}
