//! The file as it is written: every key, with its place. No meaning here.

use bridge::route::Spec;
use serde::Deserialize;
use std::ops::Range;
use toml::Spanned;

type Text = Option<Spanned<String>>;

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) insecure: Option<bool>,
    #[serde(default)]
    pub(super) kafka: KafkaSection,
    #[serde(default)]
    pub(super) temporal: TemporalSection,
    #[serde(default)]
    pub(super) route: Vec<Spanned<RouteSection>>,
    #[serde(default)]
    pub(super) limits: LimitsSection,
}

/// `[kafka]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KafkaSection {
    pub(super) listen: Text,
    pub(super) advertised: Text,
    pub(super) bootstrap: Text,
}

/// `[temporal]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TemporalSection {
    pub(super) listen: Text,
    pub(super) address: Text,
}

/// `[limits]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LimitsSection {
    pub(super) kafka_request_bytes: Option<Spanned<u64>>,
    pub(super) kafka_connections_count: Option<Spanned<u64>>,
    pub(super) temporal_request_bytes: Option<Spanned<u64>>,
    pub(super) temporal_connections_count: Option<Spanned<u64>>,
    pub(super) route_in_flight_count: Option<Spanned<u64>>,
    pub(super) route_parked_count: Option<Spanned<u64>>,
    pub(super) route_parked_bytes: Option<Spanned<u64>>,
}

/// One `[[route]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RouteSection {
    name: Text,
    topics: Option<Spanned<Vec<Spanned<String>>>>,
    mode: Text,
    workflow_type: Text,
    task_queue: Text,
    signal: Text,
    workflow_id: Text,
    value: Text,
    argument: Text,
    on_refused: Text,
    on_closed: Text,
    namespace: Text,
    start: Text,
    input: Option<Spanned<Vec<Spanned<toml::Value>>>>,
    task_timeout: Text,
    run_timeout: Text,
    execution_timeout: Text,
}

impl RouteSection {
    /// What the bridge is to check.
    pub(super) fn spec(&self) -> Result<Spec, (Range<usize>, String)> {
        let text = |text: &Text| text.as_ref().map(|text| text.get_ref().clone());
        let topics = self
            .topics
            .as_ref()
            .map(|topics| topics.get_ref().iter().map(|topic| topic.get_ref().clone()).collect());
        Ok(Spec {
            name: text(&self.name),
            topics,
            mode: text(&self.mode),
            workflow_type: text(&self.workflow_type),
            task_queue: text(&self.task_queue),
            signal: text(&self.signal),
            workflow_id: text(&self.workflow_id),
            value: text(&self.value),
            argument: text(&self.argument),
            on_refused: text(&self.on_refused),
            on_closed: text(&self.on_closed),
            namespace: text(&self.namespace),
            start: text(&self.start),
            input: self.input()?,
            task_timeout: text(&self.task_timeout),
            run_timeout: text(&self.run_timeout),
            execution_timeout: text(&self.execution_timeout),
        })
    }

    /// Where a key's value stands, or one of its elements. `None` if the file does not have it.
    pub(super) fn span_of(&self, key: &str, index: Option<usize>) -> Option<Range<usize>> {
        let text = |text: &Text| text.as_ref().map(Spanned::span);
        match key {
            "name" => text(&self.name),
            "topics" => element(self.topics.as_ref()?, index),
            "mode" => text(&self.mode),
            "workflow_type" => text(&self.workflow_type),
            "task_queue" => text(&self.task_queue),
            "signal" => text(&self.signal),
            "workflow_id" => text(&self.workflow_id),
            "value" => text(&self.value),
            "argument" => text(&self.argument),
            "on_refused" => text(&self.on_refused),
            "on_closed" => text(&self.on_closed),
            "namespace" => text(&self.namespace),
            "start" => text(&self.start),
            "input" => element(self.input.as_ref()?, index),
            "task_timeout" => text(&self.task_timeout),
            "run_timeout" => text(&self.run_timeout),
            "execution_timeout" => text(&self.execution_timeout),
            _ => None,
        }
    }

    /// JSON's values, written as TOML's: all but null have their like.
    fn input(&self) -> Result<Option<Vec<String>>, (Range<usize>, String)> {
        let Some(input) = &self.input else { return Ok(None) };
        let text = |value: &Spanned<toml::Value>| match json(value.get_ref()) {
            Ok(json) => Ok(json.to_string()),
            Err(problem) => Err((value.span(), format!("`input`: {problem}"))),
        };
        input.get_ref().iter().map(text).collect::<Result<_, _>>().map(Some)
    }
}

fn element<T>(list: &Spanned<Vec<Spanned<T>>>, index: Option<usize>) -> Option<Range<usize>> {
    let element = index.and_then(|index| list.get_ref().get(index)).map(Spanned::span);
    Some(element.unwrap_or_else(|| list.span()))
}

fn json(value: &toml::Value) -> Result<serde_json::Value, &'static str> {
    use serde_json::Value;
    Ok(match value {
        toml::Value::String(text) => Value::from(text.as_str()),
        toml::Value::Integer(number) => Value::from(*number),
        toml::Value::Boolean(truth) => Value::from(*truth),
        toml::Value::Float(number) => serde_json::Number::from_f64(*number)
            .map(Value::Number)
            .ok_or("JSON has no infinite numbers and no NaN")?,
        toml::Value::Datetime(_) => return Err("JSON has no dates; write a string"),
        toml::Value::Array(values) => {
            Value::Array(values.iter().map(json).collect::<Result<_, _>>()?)
        }
        toml::Value::Table(table) => {
            let fields = table.iter().map(|(key, value)| Ok((key.clone(), json(value)?)));
            Value::Object(fields.collect::<Result<_, &'static str>>()?)
        }
    })
}
