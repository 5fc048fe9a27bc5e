//! The argument of `mainstay.publish`: one JSON object that says which record to append.
//!
//! ```text
//! { "topic": "…",                          required
//!   "key": "…" | null                      or "key_base64": "…"; neither: no key
//!   "value": any JSON                      or "value_base64": "…"; or a second argument, whose
//!                                          bytes are the value. null: a tombstone
//!   "headers": [["name", "text" | null]]   optional, in this order
//!   "partition": 0 }                       optional; by murmur2 of the key, or round robin
//! ```
//! The value's JSON text is taken as it is, byte for byte. Refused, with what is wrong: unknown or
//! doubled fields, payloads that are not `json/plain`, values that are given twice or not at all.

use crate::ask::Place;
use base64::Engine;
use bytes::Bytes;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use temporalio_protos::temporal::api::common::v1::Payload;

/// A record as a workflow asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PublishArgument {
    pub(crate) topic: String,
    pub(crate) key: Option<Bytes>,
    pub(crate) value: Option<Bytes>,
    pub(crate) headers: Vec<(String, Option<Bytes>)>,
    pub(crate) place: Place,
}

/// Why an argument is refused. It will never be accepted, so the activity is not tried again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    #[error("mainstay.publish takes one or two arguments, not {count}")]
    Count { count: usize },
    #[error(
        "the argument has the encoding \"{encoding}\"; the node reads \"json/plain\" only, so it \
         must not be encrypted or compressed by a payload codec"
    )]
    Encoding { encoding: String },
    #[error("the argument is not what mainstay.publish takes: {reason}")]
    Json { reason: String },
    #[error("`{field}` is not base64: {reason}")]
    Base64 { field: &'static str, reason: String },
    #[error("`key` and `key_base64` are both given")]
    TwoKeys,
    #[error(
        "the value is given twice: `value`, `value_base64` and a second argument exclude each other"
    )]
    TwoValues,
    #[error(
        "there is no value: give `value` (null for a tombstone), `value_base64`, or a second argument"
    )]
    NoValue,
    #[error("`partition` must not be negative")]
    Partition,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    topic: String,
    #[serde(default)]
    key: Option<String>,
    #[serde(default)]
    key_base64: Option<String>,
    #[serde(default, deserialize_with = "given")]
    value: Option<Box<RawValue>>,
    #[serde(default)]
    value_base64: Option<String>,
    #[serde(default)]
    headers: Vec<(String, Option<String>)>,
    #[serde(default)]
    partition: Option<i32>,
}

/// `null` is given too: a tombstone.
fn given<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(from).map(Some)
}

impl PublishArgument {
    /// Reads the activity's input.
    pub(crate) fn parse(input: &[Payload]) -> Result<PublishArgument, Error> {
        let (first, second) = match input {
            [first] => (first, None),
            [first, second] => (first, Some(second)),
            _ => return Err(Error::Count { count: input.len() }),
        };
        let encoding = first.metadata.get("encoding").map(Vec::as_slice).unwrap_or_default();
        if encoding != b"json/plain" {
            let encoding = String::from_utf8_lossy(encoding).into_owned();
            return Err(Error::Encoding { encoding });
        }
        let fields: Fields = serde_json::from_slice(&first.data)
            .map_err(|error| Error::Json { reason: error.to_string() })?;
        fields.check(second)
    }
}

impl Fields {
    fn check(self, second: Option<&Payload>) -> Result<PublishArgument, Error> {
        let key = match (self.key, self.key_base64) {
            (Some(_), Some(_)) => return Err(Error::TwoKeys),
            (Some(key), None) => Some(Bytes::from(key)),
            (None, Some(text)) => Some(base64("key_base64", &text)?),
            (None, None) => None,
        };
        let value = match (self.value, self.value_base64, second) {
            (Some(json), None, None) if json.get() == "null" => None,
            (Some(json), None, None) => Some(Bytes::from(String::from(Box::<str>::from(json)))),
            (None, Some(text), None) => Some(base64("value_base64", &text)?),
            (None, None, Some(second)) => Some(Bytes::copy_from_slice(&second.data)),
            (None, None, None) => return Err(Error::NoValue),
            _ => return Err(Error::TwoValues),
        };
        let place = match self.partition {
            Some(partition) if partition < 0 => return Err(Error::Partition),
            Some(partition) => Place::Partition(partition),
            None => Place::of_key(key.as_deref()),
        };
        let headers =
            self.headers.into_iter().map(|(name, value)| (name, value.map(Bytes::from))).collect();
        Ok(PublishArgument { topic: self.topic, key, value, headers, place })
    }
}

fn base64(field: &'static str, text: &str) -> Result<Bytes, Error> {
    base64::engine::general_purpose::STANDARD
        .decode(text)
        .map(Bytes::from)
        .map_err(|error| Error::Base64 { field, reason: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(encoding: &str, data: &[u8]) -> Payload {
        let metadata = [("encoding".to_owned(), encoding.as_bytes().to_vec())].into();
        Payload { metadata, data: data.to_vec(), ..Default::default() }
    }

    fn json(text: &str) -> Result<PublishArgument, Error> {
        PublishArgument::parse(&[payload("json/plain", text.as_bytes())])
    }

    fn value(text: &str) -> Option<Bytes> {
        json(text).unwrap().value
    }

    #[test]
    fn what_is_asked_for_is_what_is_written() {
        let full = json(
            r#"{"topic":"t","key":"k","value":{"b": 1.50,"a" :[ ]},
                "headers":[["h","1"],["h",null]],"partition":3}"#,
        );
        let expected = PublishArgument {
            topic: "t".to_owned(),
            key: Some(Bytes::from_static(b"k")),
            value: Some(Bytes::from_static(br#"{"b": 1.50,"a" :[ ]}"#)),
            headers: vec![("h".to_owned(), Some(Bytes::from_static(b"1"))), ("h".to_owned(), None)],
            place: Place::Partition(3),
        };
        assert_eq!(full, Ok(expected));
        assert_eq!(value(r#"{"topic":"t","key":null,"value":null}"#), None);
        assert_eq!(value(r#"{"topic":"t","value":"null"}"#).unwrap(), "\"null\"");
        assert_eq!(value(r#"{"topic":"t","value_base64":"AP8="}"#).unwrap()[..], [0, 255]);
        let keyed = json(r#"{"topic":"t","key_base64":"AA==","value":1}"#).unwrap();
        assert_eq!(keyed.key.unwrap()[..], [0]);
        assert_eq!(keyed.place, Place::KeyHash(base::hash::murmur2(&[0])));
        assert_eq!(json(r#"{"topic":"t","value":1}"#).unwrap().place, Place::Any);
        let head = payload("json/plain", br#"{"topic":"t"}"#);
        let second = payload("binary/encrypted", b"\x01raw");
        assert_eq!(PublishArgument::parse(&[head, second]).unwrap().value.unwrap(), "\x01raw");
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        let refused = |text: &str| json(text).unwrap_err();
        assert_eq!(refused(r#"{"topic":"t"}"#), Error::NoValue);
        assert_eq!(refused(r#"{"topic":"t","value":1,"value_base64":""}"#), Error::TwoValues);
        assert_eq!(refused(r#"{"topic":"t","key":"","key_base64":"","value":1}"#), Error::TwoKeys);
        assert_eq!(refused(r#"{"topic":"t","value":1,"partition":-1}"#), Error::Partition);
        for text in [
            r#"{"value":1}"#,
            r#"{"topic":"t","value":1,"kye":"k"}"#,
            r#"{"topic":"t","value":1,"value":2}"#,
            r#"{"topic":"t","value":1,"headers":{"a":"b"}}"#,
            r#"{"topic":"t","value":1} x"#,
            "",
        ] {
            assert!(matches!(refused(text), Error::Json { .. }), "{text}");
        }
        let base64 = refused(r#"{"topic":"t","value_base64":"%"}"#);
        assert!(matches!(base64, Error::Base64 { field: "value_base64", .. }));
        let encrypted = PublishArgument::parse(&[payload("binary/encrypted", b"x")]);
        assert_eq!(
            encrypted.unwrap_err(),
            Error::Encoding { encoding: "binary/encrypted".to_owned() }
        );
        assert_eq!(PublishArgument::parse(&[]).unwrap_err(), Error::Count { count: 0 });
    }
}
