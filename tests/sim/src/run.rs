//! One seed from the beginning to the judgement.

use crate::clock::Wall;
use crate::history::History;
use crate::lives::{Finding, Lives};
use crate::network::Network;
use crate::plan::Plan;
use crate::program::{QUEUE, STEP, TYPE};
use crate::stage::Stage;
use crate::story::story;
use crate::surroundings::{Findings, ROUTED_TOPIC, Surroundings};
use bridge::Route;
use bridge::route::Spec;
use checker::{Budgets, Declaration, Invariant, Line};
use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The route's name.
pub const ROUTE: &str = "orders";

/// What became of one seed.
#[derive(Clone, Debug)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// Of everything that happened: equal for equal runs.
    pub hash: u64,
    /// What is wrong; nothing, mostly.
    pub findings: Vec<Finding>,
    /// Deaths of the node.
    pub crashes: u64,
    /// Lines of the clients' history.
    pub lines: usize,
    /// How long it took in virtual time.
    pub virtual_time: Duration,
    /// How many facts the checker judged for each promise.
    pub judged: BTreeMap<Invariant, u64>,
}

/// Runs a seed. `aloud`: tells what happens as it happens.
pub fn run(seed: u64, aloud: bool) -> Report {
    match std::panic::catch_unwind(AssertUnwindSafe(|| run_in_runtime(seed, aloud))) {
        Ok(report) => report,
        Err(panic) => {
            let words = panic.downcast_ref::<String>().cloned();
            let words = words.or_else(|| panic.downcast_ref::<&str>().map(|it| (*it).to_owned()));
            let finding = Finding::new("panic", words.unwrap_or_default());
            let findings = vec![finding];
            let virtual_time = Duration::ZERO;
            let judged = BTreeMap::new();
            Report { seed, hash: 0, findings, crashes: 0, lines: 0, virtual_time, judged }
        }
    }
}

#[allow(clippy::expect_used, reason = "without a runtime there is nothing to test")]
fn run_in_runtime(seed: u64, aloud: bool) -> Report {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime")
        .block_on(simulate(seed, aloud))
}

async fn simulate(seed: u64, aloud: bool) -> Report {
    let begin = Instant::now();
    let plan = Plan::of(seed);
    let wall = Wall::new();
    let history = History::new(wall, aloud);
    history.trace(format_args!("{plan:?}"));
    history.put(|_| Line::Declare(declaration(&plan)));
    let (network, stage) = (Network::new(), Stage::new());
    let around = Surroundings {
        network: network.clone(),
        history: history.clone(),
        stage: stage.clone(),
        load: plan.load,
        seed,
        findings: Findings::default(),
    };
    let routes = vec![Arc::new(route())];
    let mut lives = Lives::new(plan, network, history.clone(), wall, routes);
    let mut findings: Vec<Finding> = tokio::select! {
        biased;
        ended = lives.live(&stage) => ended.err().into_iter().collect(),
        ended = story(&around) => ended.err().into_iter().collect(),
    };
    findings.extend(around.findings.all());
    let lines = history.lines();
    let mut judged = BTreeMap::new();
    if findings.is_empty() {
        let report = checker::check(&lines);
        let found = |it: &checker::Finding| Finding::new(&it.invariant.to_string(), it);
        findings.extend(report.findings.iter().map(found));
        judged = report.tallies.iter().map(|(of, tally)| (*of, tally.judged)).collect();
    }
    let (hash, crashes) = (history.hash(), lives.crashes);
    let virtual_time = begin.elapsed();
    Report { seed, hash, findings, crashes, lines: lines.len(), virtual_time, judged }
}

fn declaration(plan: &Plan) -> Declaration {
    let clocks_apart_ms = plan.clock_behind_max.as_millis() as i64;
    let budgets = Budgets { clocks_apart_ms, ..Budgets::default() };
    let route = checker::Route {
        name: ROUTE.to_owned(),
        topics: vec![ROUTED_TOPIC.to_owned()],
        workflow_id_prefix: String::new(),
        signal: STEP.to_owned(),
        mode: checker::RouteMode::SignalWithStart,
        on_closed: checker::OnClosed::Start,
    };
    let run = format!("seed {}", plan.seed);
    Declaration { run, routes: vec![route], budgets, ..Declaration::default() }
}

#[allow(clippy::expect_used, reason = "it is a constant")]
fn route() -> Route {
    let text = |text: &str| Some(text.to_owned());
    let spec = Spec {
        name: text(ROUTE),
        topics: Some(vec![ROUTED_TOPIC.to_owned()]),
        workflow_type: text(TYPE),
        task_queue: text(QUEUE),
        signal: text(STEP),
        task_timeout: text("3s"),
        ..Spec::default()
    };
    Route::new(spec).expect("the route is right")
}
