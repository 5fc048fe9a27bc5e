//! The workflows of a run in the end: whether they are at rest, and all their histories.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use checker::{Answer, Call, Kind, Line, Outcome, Refusal, Status};
use temporalio_client::tonic::Code;

use crate::book::Book;
use crate::events;
use crate::kafka::FACTS;
use crate::node::Addresses;
use crate::temporal::Front;

/// What stands before the key in the id of a mailbox.
pub(crate) const MAILBOX: &str = "mailbox-";
/// No workflow comes to rest for so long: none will.
const STILL_MAX: Duration = Duration::from_secs(45);
/// Workflows that are named.
const SHOWN: usize = 5;
/// How often it is looked again whether there is rest.
const LOOK: Duration = Duration::from_millis(100);

/// See the module's page.
pub(crate) struct Reader {
    front: Front,
    ids: BTreeSet<String>,
    /// Runs that clients were told of.
    runs: HashMap<String, BTreeSet<String>>,
}

impl Reader {
    /// Finds in the histories which workflows there may be.
    pub(crate) async fn open(histories: &Path, addresses: Addresses) -> Result<Reader> {
        let front = Front::connect(addresses.temporal).await?;
        let mut reader = Reader { front, ids: BTreeSet::new(), runs: HashMap::new() };
        for entry in histories.read_dir()? {
            let mut starts = HashMap::new();
            for line in checker::read(entry?.path())? {
                match line {
                    Line::Invoke { call: Call::Start { workflow_id, .. }, op, .. } => {
                        reader.ids.insert(workflow_id.clone());
                        starts.insert(op, workflow_id);
                    }
                    Line::Invoke { call: Call::Send { topic, key: Some(key), .. }, .. }
                        if topic == FACTS =>
                    {
                        reader.ids.insert(format!("{MAILBOX}{key}"));
                    }
                    Line::Return {
                        op,
                        result: Outcome::Ok(Answer::Started { run_id, .. }),
                        ..
                    } => {
                        let id = starts.remove(&op).unwrap_or_default();
                        reader.runs.entry(id).or_default().insert(run_id);
                    }
                    _ => {}
                }
            }
        }
        Ok(reader)
    }

    /// Waits until jobs are closed and mailboxes have nothing to do, as long as something moves;
    /// answers which have not.
    pub(crate) async fn rest(&mut self) -> Result<Option<String>> {
        let mut open: Vec<String> = self.ids.iter().cloned().collect();
        let (mut fewest, mut until) = (open.len(), Instant::now() + STILL_MAX);
        let mut look = tokio::time::interval(LOOK);
        loop {
            look.tick().await;
            let mut busy = Vec::new();
            for id in open {
                if !self.is_at_rest(&id).await? {
                    busy.push(id);
                }
            }
            if busy.len() < fewest {
                (fewest, until) = (busy.len(), Instant::now() + STILL_MAX);
            }
            if busy.is_empty() {
                return Ok(None);
            }
            if Instant::now() > until {
                let some = busy.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
                return Ok(Some(format!("{} workflows are not at rest: {some}", busy.len())));
            }
            open = busy;
        }
    }

    async fn is_at_rest(&mut self, id: &str) -> Result<bool> {
        match self.front.describe(id, None).await {
            Ok(Answer::Described { status, workflow_task, activities, .. }) => {
                let idle = workflow_task.is_none() && activities.is_empty();
                Ok(status != Status::Running || id.starts_with(MAILBOX) && idle)
            }
            Ok(other) => Err(anyhow!("{id}: {other:?}")),
            // A start may never have reached the node.
            Err(status) if status.code() == Code::NotFound => Ok(true),
            Err(status) => Err(status.into()),
        }
    }

    /// Reads each workflow and all its runs into the history.
    pub(crate) async fn read(&mut self, book: &Book) -> Result<()> {
        for id in std::mem::take(&mut self.ids) {
            let mut runs = self.runs.remove(&id).unwrap_or_default();
            runs.extend(self.describe(&id, book).await?);
            let mut read = BTreeSet::new();
            while let Some(run) = runs.pop_first() {
                if read.insert(run.clone()) {
                    runs.extend(self.read_run(&id, &run, book).await?);
                }
            }
        }
        Ok(())
    }

    /// The current run.
    async fn describe(&mut self, id: &str, book: &Book) -> Result<Option<String>> {
        let op = book.invoke(Call::Describe { workflow_id: id.to_owned(), run_id: None });
        match self.front.describe(id, None).await {
            Ok(answer) => {
                let run = match &answer {
                    Answer::Described { run_id, .. } => Some(run_id.clone()),
                    _ => None,
                };
                book.settle(op, Outcome::Ok(answer));
                Ok(run)
            }
            Err(status) if status.code() == Code::NotFound => {
                book.settle(op, Outcome::Fail(Refusal::NotFound));
                Ok(None)
            }
            Err(status) => Err(status.into()),
        }
    }

    /// One run; answers those before and after it.
    async fn read_run(&mut self, id: &str, run: &str, book: &Book) -> Result<Vec<String>> {
        let run_id = Some(run.to_owned());
        let op = book.invoke(Call::History { workflow_id: id.to_owned(), run_id });
        let events = match self.front.history(id, run).await {
            Ok(events) => events::translate(events),
            Err(status) if status.code() == Code::NotFound => {
                book.settle(op, Outcome::Fail(Refusal::NotFound));
                return Ok(Vec::new());
            }
            Err(status) => return Err(status.into()),
        };
        let others = events.iter().filter_map(|event| match &event.kind {
            Kind::Started { continued_from, .. } => continued_from.clone(),
            Kind::Closed(end) => end.next_run_id.clone(),
            _ => None,
        });
        let others = others.collect();
        book.settle(op, Outcome::Ok(Answer::History { run_id: run.to_owned(), events }));
        Ok(others)
    }
}
