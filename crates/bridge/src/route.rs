//! A route as declared, and as validated: which topics go to which workflows, and how.
//!
//! Invariants: a [`Route`] can be carried out as it is; every combination that makes no sense is
//! refused when it is read. Refuses, by name, each value that is reserved but not implemented
//! and each key that its mode does not use: nothing in a configuration is ever ignored.

mod words;

use crate::template::{self, Template};
use std::time::Duration;
use words::{JsonInput, duration, one_of, text};

pub use topics::RESERVED_PREFIX as GROUP_PREFIX;

/// The reserved task queue that the node itself serves (`mainstay.publish`).
pub const RESERVED_TASK_QUEUE: &str = "mainstay";
/// Suffix of the topic that takes what cannot be delivered.
pub const DEAD_LETTER_SUFFIX: &str = ".dead-letter";
/// Kafka's limit for topic names, less the suffix, so that each topic can have its dead letters.
pub const TOPIC_NAME_BYTES_MAX: usize = 249 - DEAD_LETTER_SUFFIX.len();
/// Limit for a route's name; with the prefix it still makes a handy group id.
pub const NAME_BYTES_MAX: usize = 200;
/// Topics of one route.
pub const TOPICS_MAX: usize = 100;
/// Temporal's limit for names of types, signals, queues and namespaces.
pub const TEMPORAL_NAME_BYTES_MAX: usize = 1_000;

/// What a configuration says, not yet checked. `None` where it says nothing.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs, reason = "the fields are the configuration's keys, see Route")]
pub struct Spec {
    pub name: Option<String>,
    pub topics: Option<Vec<String>>,
    pub mode: Option<String>,
    pub workflow_type: Option<String>,
    pub task_queue: Option<String>,
    pub signal: Option<String>,
    pub workflow_id: Option<String>,
    pub value: Option<String>,
    pub argument: Option<String>,
    pub on_refused: Option<String>,
    pub on_closed: Option<String>,
    pub namespace: Option<String>,
    pub start: Option<String>,
    /// JSON texts.
    pub input: Option<Vec<String>>,
    pub task_timeout: Option<String>,
    pub run_timeout: Option<String>,
    pub execution_timeout: Option<String>,
}

/// A route that can be carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Its identity: another name is another route, with its own position.
    pub name: String,
    /// Topics it reads, each once.
    pub topics: Vec<String>,
    /// What a record becomes.
    pub mode: Mode,
    /// How a record names its workflow.
    pub workflow_id: Template,
    /// How the value's bytes travel.
    pub value: ValueEncoding,
    /// What the signal's (or start's) argument is.
    pub argument: Argument,
    /// What becomes of a record that cannot be mapped or is refused for good.
    pub on_refused: OnRefused,
    /// What becomes of a record whose workflow has closed.
    pub on_closed: OnClosed,
    /// Temporal's namespace.
    pub namespace: String,
    /// Where a topic is read from when the route meets it for the first time.
    pub start: StartAt,
}

/// What a record becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A signal; the workflow is started first if it does not run.
    SignalWithStart(StartOptions, String),
    /// A start; the argument is the last of its inputs.
    Start(StartOptions),
    /// A signal to a workflow that runs.
    Signal(String),
}

/// How a workflow is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartOptions {
    /// Workflow type.
    pub workflow_type: String,
    /// Task queue.
    pub task_queue: String,
    /// JSON texts, one an argument.
    pub input: Vec<String>,
    /// workflow_task_timeout.
    pub task_timeout: Option<Duration>,
    /// workflow_run_timeout.
    pub run_timeout: Option<Duration>,
    /// workflow_execution_timeout.
    pub execution_timeout: Option<Duration>,
}

/// How the value's bytes travel. The bytes are never changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueEncoding {
    /// Exactly one JSON document (`json/plain`), which is checked.
    Json,
    /// Any bytes (`binary/plain`).
    Bytes,
}

/// What the argument is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Argument {
    /// The record's value.
    Value,
    /// One JSON object: the record's coordinates, key and headers, and its value.
    Record,
}

/// What becomes of a record that cannot be delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnRefused {
    /// It goes to `<topic>.dead-letter` with its reason.
    DeadLetter,
}

/// What becomes of a record whose workflow has closed. With [`Mode::Start`] this is about a
/// workflow id that has been used before: a running one counts as well, except that `Start`
/// (start again) refuses a record whose workflow still runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnClosed {
    /// Another run is started.
    Start,
    /// Nothing happens; it is counted.
    Ignore,
    /// It goes to `<topic>.dead-letter`.
    DeadLetter,
}

/// Where a topic is read from at first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartAt {
    /// Its first record.
    Earliest,
    /// What comes after the moment in which the route met the topic.
    Latest,
}

/// A key of the configuration, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{key}`: {problem}")]
pub struct Error {
    /// The key.
    pub key: &'static str,
    /// For lists, which element.
    pub index: Option<usize>,
    /// What is wrong.
    #[source]
    pub problem: Problem,
}

/// What can be wrong with a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages are the documentation")]
pub enum Problem {
    #[error("is missing")]
    Missing,
    #[error("must not be empty")]
    Empty,
    #[error("is {bytes} bytes long; {limit} are allowed")]
    TooLong { bytes: usize, limit: usize },
    #[error("has {count} elements; {limit} are allowed")]
    TooMany { count: usize, limit: usize },
    #[error("\"{value}\" is not one of {known}")]
    Unknown { value: String, known: &'static str },
    #[error("\"{value}\" is reserved, and not implemented in this release; use one of {known}")]
    NotImplemented { value: String, known: &'static str },
    #[error("has no meaning with mode = \"{mode}\"; remove it")]
    Unused { mode: &'static str },
    #[error("\"start\" has no meaning with mode = \"signal\", which never starts a workflow")]
    SignalCannotStart,
    #[error("\"{value}\" may hold letters, digits, '.', '_' and '-' only, and be neither . nor ..")]
    BadName { value: String },
    #[error("\"{value}\" is given twice")]
    Twice { value: String },
    #[error("the task queue \"mainstay\" is reserved for the node's own activities")]
    ReservedTaskQueue,
    #[error("\"{value}\" is no duration; write a whole number and ms, s, m, h or d, as in \"30s\"")]
    Duration { value: String },
    #[error("is not one JSON document: {reason}")]
    NotJson { reason: String },
    #[error(transparent)]
    Template(#[from] template::Error),
}

impl Problem {
    fn at(self, key: &'static str) -> Error {
        Error { key, index: None, problem: self }
    }

    fn at_element(self, key: &'static str, index: usize) -> Error {
        Error { key, index: Some(index), problem: self }
    }
}

impl Route {
    /// Checks what was declared.
    pub fn new(spec: Spec) -> Result<Route, Error> {
        let mode = mode(&spec)?;
        Ok(Route {
            name: name(&spec)?,
            topics: topics(&spec)?,
            workflow_id: match &spec.workflow_id {
                Some(text) => text.parse(),
                None => "{key}".parse(),
            }
            .map_err(|error| Problem::Template(error).at("workflow_id"))?,
            value: one_of(
                ("value", &spec.value),
                "\"json\", \"bytes\"",
                &[("json", ValueEncoding::Json), ("bytes", ValueEncoding::Bytes)],
                &["payload"],
            )?,
            argument: one_of(
                ("argument", &spec.argument),
                "\"value\", \"record\"",
                &[("value", Argument::Value), ("record", Argument::Record)],
                &[],
            )?,
            on_refused: one_of(
                ("on_refused", &spec.on_refused),
                "\"dead-letter\"",
                &[("dead-letter", OnRefused::DeadLetter)],
                &["retry", "park", "stop"],
            )?,
            on_closed: on_closed(&spec, &mode)?,
            namespace: match &spec.namespace {
                Some(_) => text("namespace", &spec.namespace, TEMPORAL_NAME_BYTES_MAX)?,
                None => "default".to_owned(),
            },
            start: one_of(
                ("start", &spec.start),
                "\"earliest\", \"latest\"",
                &[("earliest", StartAt::Earliest), ("latest", StartAt::Latest)],
                &[],
            )?,
            mode,
        })
    }

    /// The consumer group that shows this route's position.
    pub fn group(&self) -> String {
        format!("{GROUP_PREFIX}{}", self.name)
    }

    /// The configuration's word for the mode.
    pub fn mode_name(&self) -> &'static str {
        match self.mode {
            Mode::SignalWithStart(..) => "signal-with-start",
            Mode::Start(_) => "start",
            Mode::Signal(_) => "signal",
        }
    }
}

fn name(spec: &Spec) -> Result<String, Error> {
    let name = text("name", &spec.name, NAME_BYTES_MAX)?;
    if words::is_plain_name(&name) {
        Ok(name)
    } else {
        Err(Problem::BadName { value: name }.at("name"))
    }
}

fn topics(spec: &Spec) -> Result<Vec<String>, Error> {
    let topics = spec.topics.clone().ok_or_else(|| Problem::Missing.at("topics"))?;
    match topics.len() {
        0 => return Err(Problem::Empty.at("topics")),
        count if count > TOPICS_MAX => {
            return Err(Problem::TooMany { count, limit: TOPICS_MAX }.at("topics"));
        }
        _ => {}
    }
    for (index, topic) in topics.iter().enumerate() {
        topic_problem(topic, &topics[..index])
            .map_or(Ok(()), |problem| Err(problem.at_element("topics", index)))?;
    }
    Ok(topics)
}

fn topic_problem(topic: &str, before: &[String]) -> Option<Problem> {
    let (bytes, value) = (topic.len(), topic.to_owned());
    if topic.is_empty() {
        Some(Problem::Empty)
    } else if bytes > TOPIC_NAME_BYTES_MAX {
        Some(Problem::TooLong { bytes, limit: TOPIC_NAME_BYTES_MAX })
    } else if !words::is_plain_name(topic) {
        Some(Problem::BadName { value })
    } else if before.contains(&value) {
        Some(Problem::Twice { value })
    } else {
        None
    }
}

#[derive(Clone, Copy)]
enum ModeWord {
    SignalWithStart,
    Start,
    Signal,
}

fn mode(spec: &Spec) -> Result<Mode, Error> {
    let word = one_of(
        ("mode", &spec.mode),
        "\"signal-with-start\", \"start\", \"signal\"",
        &[
            ("signal-with-start", ModeWord::SignalWithStart),
            ("start", ModeWord::Start),
            ("signal", ModeWord::Signal),
        ],
        &["update"],
    )?;
    let signal = || text("signal", &spec.signal, TEMPORAL_NAME_BYTES_MAX);
    Ok(match word {
        ModeWord::SignalWithStart => Mode::SignalWithStart(start_options(spec)?, signal()?),
        ModeWord::Start => {
            unused("start", &[("signal", spec.signal.is_some())])?;
            Mode::Start(start_options(spec)?)
        }
        ModeWord::Signal => {
            unused(
                "signal",
                &[
                    ("workflow_type", spec.workflow_type.is_some()),
                    ("task_queue", spec.task_queue.is_some()),
                    ("input", spec.input.is_some()),
                    ("task_timeout", spec.task_timeout.is_some()),
                    ("run_timeout", spec.run_timeout.is_some()),
                    ("execution_timeout", spec.execution_timeout.is_some()),
                ],
            )?;
            Mode::Signal(signal()?)
        }
    })
}

fn unused(mode: &'static str, keys: &[(&'static str, bool)]) -> Result<(), Error> {
    match keys.iter().find(|(_, given)| *given) {
        Some((key, _)) => Err(Problem::Unused { mode }.at(key)),
        None => Ok(()),
    }
}

fn start_options(spec: &Spec) -> Result<StartOptions, Error> {
    let task_queue = text("task_queue", &spec.task_queue, TEMPORAL_NAME_BYTES_MAX)?;
    if task_queue == RESERVED_TASK_QUEUE {
        return Err(Problem::ReservedTaskQueue.at("task_queue"));
    }
    Ok(StartOptions {
        workflow_type: text("workflow_type", &spec.workflow_type, TEMPORAL_NAME_BYTES_MAX)?,
        task_queue,
        input: JsonInput::checked(spec.input.as_deref())?,
        task_timeout: duration("task_timeout", &spec.task_timeout)?,
        run_timeout: duration("run_timeout", &spec.run_timeout)?,
        execution_timeout: duration("execution_timeout", &spec.execution_timeout)?,
    })
}

fn on_closed(spec: &Spec, mode: &Mode) -> Result<OnClosed, Error> {
    let signal_only = matches!(mode, Mode::Signal(_));
    if signal_only && spec.on_closed.is_none() {
        return Ok(OnClosed::DeadLetter);
    }
    let on_closed = one_of(
        ("on_closed", &spec.on_closed),
        "\"start\", \"ignore\", \"dead-letter\"",
        &[
            ("start", OnClosed::Start),
            ("ignore", OnClosed::Ignore),
            ("dead-letter", OnClosed::DeadLetter),
        ],
        &[],
    )?;
    if signal_only && on_closed == OnClosed::Start {
        return Err(Problem::SignalCannotStart.at("on_closed"));
    }
    Ok(on_closed)
}

#[cfg(test)]
mod tests;
