//! What the clients of a run do, from the first request to the last reading: noise until the
//! faults stop; then whoever sends ends what it has begun, routes deliver what was sent, every
//! other workflow is asked to end and must end, and nothing may be left that the rest wait for; and
//! then everything is read once more.

use crate::consumer::Consumer;
use crate::final_reads::{final_reads, route_lag};
use crate::known_runs::known_runs;
use crate::lives::Finding;
use crate::producer::Producer;
use crate::reader::Reader;
use crate::run::ROUTE;
use crate::stage::Part;
use crate::starter::{Starter, workflow_id};
use crate::surroundings::{ROUTED_TOPIC, Surroundings};
use crate::{activity_worker, workflow_worker};
use checker::{Call, Line, Phase, Status};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

/// How long, in virtual time, whatever is open may take to end once nothing goes wrong any more.
const PATIENCE: Duration = Duration::from_secs(300);
/// Nobody asks for anything in this time before the last look. Whatever is still due then has waited
/// for longer than the judge allows.
const QUIET: Duration = Duration::from_secs(65);

/// The group that consumers share.
const GROUP: &str = "readers";

/// Tells it, as far as it goes well.
pub(crate) async fn story(around: &Surroundings) -> Result<(), Finding> {
    let mut workers = workers(around);
    let mut senders = senders(around);
    let mut readers = JoinSet::new();
    for number in 0..around.load.consumers {
        readers.spawn(Consumer::new(around, number, 30 + number as u32, GROUP).run());
    }
    let reader = Reader::new(around, 0, 50);
    let groups = [GROUP.to_owned(), reader.group()];
    readers.spawn(reader.run());

    around.stage.reached(Part::Calm).await;
    around.history.put(|at_us| Line::Phase { at_us, phase: Phase::Calm });
    ended("those who send", &mut senders).await?;
    routed(around).await?;
    around.stage.enter(Part::Arrived);
    ended("those who read", &mut readers).await?;
    let mut closer = Starter::new(around.clone(), 3);
    closer.connect().await;
    finish_most(around, &mut closer).await?;
    sleep(QUIET).await;
    workers.shutdown().await;

    around.history.put(|at_us| Line::Phase { at_us, phase: Phase::Final });
    around.stage.enter(Part::Final);
    final_reads(around, 60, &groups).await.map_err(|error| Finding::new("L1", error))?;
    read_runs(around, &mut closer).await
}

fn workers(around: &Surroundings) -> JoinSet<()> {
    let mut workers = JoinSet::new();
    for number in 0..around.load.workflow_workers as u32 {
        workers.spawn(workflow_worker::run(around.clone(), 10_000 + number * 1_000));
    }
    for number in 0..around.load.activity_workers as u32 {
        workers.spawn(activity_worker::run(around.clone(), 20_000 + number * 1_000));
    }
    workers
}

fn senders(around: &Surroundings) -> JoinSet<()> {
    let mut senders = JoinSet::new();
    for process in 1..3 {
        senders.spawn(Starter::new(around.clone(), process).run());
    }
    for number in 0..around.load.producers {
        senders.spawn(Producer::new(around, number, 10 + number as u32).run());
    }
    senders
}

async fn ended(who: &str, tasks: &mut JoinSet<()>) -> Result<(), Finding> {
    let all = async {
        while let Some(ended) = tasks.join_next().await {
            ended.map_err(|error| Finding::new("panic", error))?;
        }
        Ok(())
    };
    let late = |_| Finding::new("E7", format!("nothing goes wrong, and {who} do not end"));
    timeout(PATIENCE, all).await.map_err(late)?
}

/// Waits until everything that was sent has arrived where it goes.
async fn routed(around: &Surroundings) -> Result<(), Finding> {
    let began = Instant::now();
    loop {
        let lag = route_lag(&around.network, ROUTE, &[ROUTED_TOPIC]).await;
        if lag == Some(0) {
            return Ok(());
        }
        if began.elapsed() > PATIENCE {
            return Err(Finding::new(
                "B1",
                format!("nothing goes wrong, and the route lags: {lag:?}"),
            ));
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// The ones that signals go to, and the ones that were started for themselves.
fn workflow_ids(around: &Surroundings) -> Vec<String> {
    let once = |line: &Line| match line {
        Line::Invoke { call: Call::Start { workflow_id, .. }, .. } => Some(workflow_id.clone()),
        _ => None,
    };
    let started = around.history.lines().iter().filter_map(once).collect::<Vec<_>>();
    let named = (0..around.load.workflows).map(workflow_id);
    started.into_iter().chain(named).collect::<BTreeSet<_>>().into_iter().collect()
}

/// Every other workflow is never told to end. A signal would bring about the workflow task that was
/// forgotten before, so only a run that gets none shows that nothing in it waits for ever.
fn staying(around: &Surroundings) -> BTreeSet<String> {
    (0..around.load.workflows)
        .skip((around.seed % 2) as usize)
        .step_by(2)
        .map(workflow_id)
        .collect()
}

/// Ends all runs but those that are to stay open.
async fn finish_most(around: &Surroundings, closer: &mut Starter) -> Result<(), Finding> {
    let stay = staying(around);
    let mut open = Vec::new();
    for workflow_id in workflow_ids(around).into_iter().filter(|it| !stay.contains(it)) {
        if let Ok((_, Status::Running)) = closer.describe(&workflow_id).await {
            closer.finish(&workflow_id).await;
            open.push(workflow_id);
        }
    }
    let deadline = Instant::now() + PATIENCE;
    while let Some(workflow_id) = open.last() {
        match closer.describe(workflow_id).await {
            Ok((_, status)) if status != Status::Running => drop(open.pop()),
            _ if Instant::now() > deadline => {
                return Err(Finding::new(
                    "E7",
                    format!("nothing goes wrong, and {open:?} do not end"),
                ));
            }
            _ => sleep(Duration::from_millis(500)).await,
        }
    }
    Ok(())
}

/// Reads every run that anybody has ever heard of.
async fn read_runs(around: &Surroundings, closer: &mut Starter) -> Result<(), Finding> {
    for workflow_id in workflow_ids(around) {
        // There is none if nobody has started it.
        let _ = closer.describe(&workflow_id).await;
    }
    let mut read = BTreeSet::new();
    loop {
        let known = known_runs(&around.history.lines());
        let mut unread = known.into_iter().filter(|(run, _)| !read.contains(run)).peekable();
        if unread.peek().is_none() {
            return Ok(());
        }
        let unread: Vec<_> = unread.collect();
        for (run_id, workflow_id) in unread {
            let answer = closer.history(&workflow_id, Some(&run_id)).await;
            answer.map_err(|error| {
                Finding::new(
                    "E2",
                    format!("run {run_id} of {workflow_id} cannot be read: {error:?}"),
                )
            })?;
            read.insert(run_id);
        }
    }
}
