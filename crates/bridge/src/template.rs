//! How a record names its workflow: `{key} {topic} {partition} {offset} {header:NAME}` between
//! literal text; `{{` and `}}` stand for braces.
//!
//! Invariants: a rendered id is never empty, is UTF-8 and at most [`WORKFLOW_ID_BYTES_MAX`] long.
//! Refuses, at parse time, whatever it does not know; at render time, a record with a missing
//! or empty part, because half an id would mix up strangers in one workflow.

use crate::Record;
use std::fmt::Write;
use std::str::FromStr;

/// Temporal's limit for workflow ids.
pub const WORKFLOW_ID_BYTES_MAX: usize = 1_000;

/// A parsed template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    Key,
    Topic,
    Partition,
    Offset,
    Header(String),
}

/// Where a record lies.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Topic name.
    pub topic: &'a str,
    /// Partition index.
    pub partition: i32,
}

/// Why a text is not a template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages are the documentation")]
pub enum Error {
    #[error("the template is empty")]
    Empty,
    #[error("the brace at byte {at} is never closed; write {{{{ for a literal brace")]
    Unclosed { at: usize },
    #[error("the closing brace at byte {at} has no partner; write }}}} for a literal brace")]
    Stray { at: usize },
    #[error(
        "unknown placeholder {{{name}}}; known are {{key}}, {{topic}}, {{partition}}, {{offset}} \
         and {{header:NAME}}"
    )]
    Unknown { name: String },
    #[error("{{header:NAME}} needs a name")]
    NamelessHeader,
}

/// Why a record has no workflow id. Such a record goes to the dead letters.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages are the documentation")]
pub enum Unrenderable {
    #[error("the record has no key")]
    NoKey,
    #[error("the record's key is empty")]
    EmptyKey,
    #[error("the record's key is not UTF-8")]
    KeyNotUtf8,
    #[error("the record has no header {name}")]
    NoHeader { name: String },
    #[error("the record's header {name} is empty")]
    EmptyHeader { name: String },
    #[error("the record's header {name} is not UTF-8")]
    HeaderNotUtf8 { name: String },
    #[error("the workflow id would be {bytes} bytes long; {WORKFLOW_ID_BYTES_MAX} are allowed")]
    TooLong { bytes: usize },
}

impl FromStr for Template {
    type Err = Error;

    fn from_str(text: &str) -> Result<Template, Error> {
        let mut parts = Parts::default();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (literal, tail) = rest.split_at(at);
            parts.literal(literal);
            let position = text.len() - tail.len();
            rest = if let Some(after) = tail.strip_prefix("{{") {
                parts.literal("{");
                after
            } else if let Some(after) = tail.strip_prefix("}}") {
                parts.literal("}");
                after
            } else if let Some(inner) = tail.strip_prefix('{') {
                let (name, after) =
                    inner.split_once('}').ok_or(Error::Unclosed { at: position })?;
                parts.0.push(placeholder(name)?);
                after
            } else {
                return Err(Error::Stray { at: position });
            };
        }
        parts.literal(rest);
        if parts.0.is_empty() { Err(Error::Empty) } else { Ok(Template { parts: parts.0 }) }
    }
}

impl Template {
    /// The id for `record`.
    pub fn render(&self, place: Place<'_>, record: &Record) -> Result<String, Unrenderable> {
        let mut id = String::new();
        for part in &self.parts {
            match part {
                Part::Literal(text) => id.push_str(text),
                Part::Key => id.push_str(key(record)?),
                Part::Topic => id.push_str(place.topic),
                Part::Partition => number(&mut id, i64::from(place.partition)),
                Part::Offset => number(&mut id, record.offset),
                Part::Header(name) => id.push_str(header(record, name)?),
            }
        }
        match id.len() {
            bytes if bytes > WORKFLOW_ID_BYTES_MAX => Err(Unrenderable::TooLong { bytes }),
            _ => Ok(id),
        }
    }
}

#[derive(Default)]
struct Parts(Vec<Part>);

impl Parts {
    fn literal(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        match self.0.last_mut() {
            Some(Part::Literal(before)) => before.push_str(text),
            _ => self.0.push(Part::Literal(text.to_owned())),
        }
    }
}

fn placeholder(name: &str) -> Result<Part, Error> {
    Ok(match name {
        "key" => Part::Key,
        "topic" => Part::Topic,
        "partition" => Part::Partition,
        "offset" => Part::Offset,
        _ => match name.strip_prefix("header:") {
            Some("") => return Err(Error::NamelessHeader),
            Some(header) => Part::Header(header.to_owned()),
            None => return Err(Error::Unknown { name: name.to_owned() }),
        },
    })
}

fn key(record: &Record) -> Result<&str, Unrenderable> {
    let key = record.key.as_ref().ok_or(Unrenderable::NoKey)?;
    if key.is_empty() {
        return Err(Unrenderable::EmptyKey);
    }
    std::str::from_utf8(key).map_err(|_| Unrenderable::KeyNotUtf8)
}

fn header<'a>(record: &'a Record, name: &str) -> Result<&'a str, Unrenderable> {
    let owned = || name.to_owned();
    // Of duplicates the last wins, as in the Java client's `lastHeader`.
    let Some((_, value)) = record.headers.iter().rev().find(|(header, _)| header == name) else {
        return Err(Unrenderable::NoHeader { name: owned() });
    };
    match value {
        Some(value) if !value.is_empty() => {
            std::str::from_utf8(value).map_err(|_| Unrenderable::HeaderNotUtf8 { name: owned() })
        }
        _ => Err(Unrenderable::EmptyHeader { name: owned() }),
    }
}

fn number(id: &mut String, value: i64) {
    // Writing to a String cannot fail.
    let _ = write!(id, "{value}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Header;
    use bytes::Bytes;

    fn record() -> Record {
        let header = |name: &str, value: Option<&'static [u8]>| -> Header {
            (name.to_owned(), value.map(Bytes::from_static))
        };
        Record {
            offset: 42,
            timestamp_ms: 7,
            key: Some(Bytes::from_static(b"k-1")),
            value: None,
            headers: vec![
                header("customer", Some(b"first")),
                header("customer", Some(b"last")),
                header("empty", Some(b"")),
                header("null", None),
                header("latin", Some(b"\xff")),
            ],
        }
    }

    fn render(template: &str, record: &Record) -> Result<String, String> {
        let template: Template = template.parse().map_err(|error: Error| error.to_string())?;
        template
            .render(Place { topic: "orders", partition: 3 }, record)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn records_name_their_workflow() {
        for (template, want) in [
            ("{key}", "k-1"),
            ("customer-{header:customer}", "customer-last"),
            ("{topic}/{partition}/{offset}", "orders/3/42"),
            ("{{{key}}}", "{k-1}"),
            ("{{key}}", "{key}"),
            ("a{{b}}c", "a{b}c"),
            ("the only one", "the only one"),
            ("ü{key}ü", "ük-1ü"),
        ] {
            assert_eq!(render(template, &record()).as_deref(), Ok(want), "{template}");
        }
    }

    #[test]
    fn a_missing_or_empty_part_has_no_id() {
        for (template, want) in [
            ("{header:none}", "the record has no header none"),
            ("{header:empty}", "the record's header empty is empty"),
            ("{header:null}", "the record's header null is empty"),
            ("{header:latin}", "the record's header latin is not UTF-8"),
        ] {
            assert_eq!(render(template, &record()).unwrap_err(), want, "{template}");
        }
        for (key, want) in [
            (None, "the record has no key"),
            (Some(&b""[..]), "the record's key is empty"),
            (Some(&b"\xc3\x28"[..]), "the record's key is not UTF-8"),
        ] {
            let record = Record { key: key.map(Bytes::from_static), ..record() };
            assert_eq!(render("x{key}", &record).unwrap_err(), want);
            assert_eq!(render("x", &record).as_deref(), Ok("x"), "the key is not asked for");
        }
    }

    #[test]
    fn an_id_may_have_a_thousand_bytes() {
        let with_key = |n: usize| Record { key: Some(vec![b'k'; n].into()), ..record() };
        assert_eq!(render("{key}", &with_key(1_000)).map(|id| id.len()), Ok(1_000));
        assert!(render("{key}", &with_key(1_001)).unwrap_err().contains("1001 bytes"));
        assert!(render("{key}{topic}", &with_key(995)).unwrap_err().contains("1001 bytes"));
    }

    #[test]
    fn what_is_no_template_is_refused() {
        for (template, want) in [
            ("", "the template is empty"),
            ("a{key", "the brace at byte 1 is never closed; write {{ for a literal brace"),
            ("a}b", "the closing brace at byte 1 has no partner; write }} for a literal brace"),
            ("{header:}", "{header:NAME} needs a name"),
            ("{}", "unknown placeholder {}"),
            ("{ key }", "unknown placeholder { key }"),
            ("{value}", "unknown placeholder {value}"),
        ] {
            let error = render(template, &record()).unwrap_err();
            assert!(error.starts_with(want), "{template}: {error}");
        }
    }
}
