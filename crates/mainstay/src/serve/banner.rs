//! What `serve` says when it is ready, and what a check says.

use super::running::Running;
use crate::config::Config;
use bridge::Route;
use bridge::route::Mode;
use serde::Serialize;
use std::path::Path;
use std::time::Duration;

/// The answer to `--check`.
pub(crate) fn checked(file: Option<&Path>, config: &Config) -> String {
    let file = file.map_or("the defaults".into(), Path::to_string_lossy);
    let Config { kafka, temporal, .. } = config;
    let routes = routes(config);
    format!("{file}: ok\n  Kafka     {kafka}\n  Temporal  {temporal}\n{routes}")
}

/// One line a route.
pub(crate) fn routes(config: &Config) -> String {
    let lines = config.routes.iter().map(|route| format!("  route     {}\n", route_line(route)));
    lines.collect()
}

fn route_line(route: &Route) -> String {
    let topics = route.topics.join(", ");
    let target = match &route.mode {
        Mode::SignalWithStart(start, signal) => {
            format!("{} on {}, signal {signal}", start.workflow_type, start.task_queue)
        }
        Mode::Start(start) => format!("{} on {}", start.workflow_type, start.task_queue),
        Mode::Signal(signal) => format!("signal {signal}"),
    };
    format!("{}: {topics} -> {target} ({})", route.name, route.mode_name())
}

/// What nobody may overlook: this build is for tests of the tests.
pub(crate) fn planted() -> String {
    use base::planted::{Bug, VARIABLE, is};
    let chosen = Bug::ALL.iter().copied().find(|bug| is(*bug));
    let chosen = chosen.map_or("none is chosen".to_owned(), |bug| {
        format!("{bug} IS CHOSEN: {}. DATA WILL BE LOST OR DAMAGED", bug.does())
    });
    format!("\nTHIS BUILD HAS PLANTED BUGS, FOR TESTS ONLY. By {VARIABLE}, {chosen}.\n\n")
}

/// For people: where to connect, and what to do next.
pub(crate) fn ready(data: &Path, running: &Running, routes: &str, took: Duration) -> String {
    let (kafka, temporal) = (running.kafka, running.temporal);
    let (version, took_ms) = (env!("CARGO_PKG_VERSION"), took.as_millis());
    let next = if routes.is_empty() {
        "  next      point any Kafka client and any Temporal SDK at these addresses;\n            \
         a [[route]] in --config FILE joins the two\n"
    } else {
        "  next      start a Temporal worker for the task queues above, and produce\n"
    };
    format!(
        "Mainstay {version} is ready after {took_ms} ms. Ctrl-C stops it.\n  \
         data      {}\n  Kafka     {kafka}\n  Temporal  {temporal}\n{routes}{next}",
        data.display()
    )
}

/// For scripts: one line.
pub(crate) fn ready_json(data: &Path, running: &Running) -> String {
    #[derive(Serialize)]
    struct Ready {
        kafka: String,
        temporal: String,
        data: String,
        cluster_id: String,
        pid: u32,
    }
    let ready = Ready {
        kafka: running.kafka.to_string(),
        temporal: running.temporal.to_string(),
        data: data.to_string_lossy().into_owned(),
        cluster_id: running.cluster_id(),
        pid: std::process::id(),
    };
    // Strings and numbers only: this cannot fail.
    serde_json::to_string(&ready).unwrap_or_default() + "\n"
}
