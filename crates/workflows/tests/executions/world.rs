//! The machine as the node drives it, on a journal in memory.

use base::{
    Blob, BlobAddr, Cx, JournalOp, Lsn, Machine, OpKind, RunId, SeededEntropy, Ticket, Timestamp,
    Verdict,
};
use bytes::Bytes;
use prost::Message;
use std::collections::{BTreeSet, HashMap};
use temporalio_protos::temporal::api::history::v1::{History, HistoryEvent};
use workflows::{Ask, Effect, HistoryAsk, HistorySlice, Limits, Op, Refusal, Reply, Workflows};

/// When a script begins.
pub(crate) const EPOCH: Timestamp = Timestamp(1_700_000_000_000_000);

pub(crate) type Answer = Result<Reply, Refusal>;

/// What an ask brought about.
pub(crate) struct Outcome {
    pub(crate) ticket: Ticket,
    pub(crate) ops: Vec<Op>,
    /// To this ticket and to others, in order.
    pub(crate) answers: Vec<(Ticket, Answer)>,
}

struct Entry {
    lsn: Lsn,
    at: Timestamp,
    ops: Vec<Journaled>,
}

struct Journaled {
    kind: OpKind,
    body: Vec<u8>,
    blobs: Vec<BlobAddr>,
}

/// A machine, its journal and its clock.
pub(crate) struct World {
    pub(crate) machine: Workflows,
    pub(crate) now: Timestamp,
    limits: Limits,
    entropy: SeededEntropy,
    journal: Vec<Entry>,
    bytes: HashMap<BlobAddr, Bytes>,
    position: u32,
    tickets: u64,
    /// Die when the journal has so many entries; what that entry answers is lost.
    pub(crate) crash_after: Option<usize>,
    /// Tickets that have no answer yet.
    pub(crate) waiting: BTreeSet<Ticket>,
}

impl World {
    pub(crate) fn new(limits: Limits, seed: u64) -> World {
        let mut world = World {
            machine: Workflows::new(limits.clone(), 0),
            now: EPOCH,
            limits,
            entropy: SeededEntropy::new(seed),
            journal: Vec::new(),
            bytes: HashMap::new(),
            position: 0,
            tickets: 0,
            crash_after: None,
            waiting: BTreeSet::new(),
        };
        let cx = Cx { now: world.now, entropy: &world.entropy };
        let ops = Workflows::birth(&cx);
        world.append(&ops, &mut Vec::new());
        world
    }

    /// Decides, journals, applies and attends.
    pub(crate) fn ask(&mut self, ask: Ask) -> Outcome {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        let mut ops = Vec::new();
        let cx = Cx { now: self.now, entropy: &self.entropy };
        let answer = match self.machine.decide(&ask, ticket, &cx, &mut ops) {
            Verdict::Go(reply) => reply.map(Ok),
            Verdict::Refuse(refusal) => {
                let answers = vec![(ticket, Err(refusal))];
                return Outcome { ticket, ops: Vec::new(), answers };
            }
        };
        let mut effects = Vec::new();
        self.append(&ops, &mut effects);
        if self.crash_after.is_some_and(|entries| self.journal.len() >= entries) {
            self.crash_after = None;
            self.restart();
            return Outcome { ticket, ops, answers: Vec::new() };
        }
        let cx = Cx { now: self.now, entropy: &self.entropy };
        self.machine.attend(ask, ticket, &cx, &mut effects);
        self.machine.check();
        self.waiting.insert(ticket);
        let mut answers = Vec::new();
        answers.extend(answer.map(|answer| (ticket, answer)));
        answers.extend(effects.into_iter().map(|Effect::Reply(to, answer)| (to, *answer)));
        for (to, _) in &answers {
            assert!(self.waiting.remove(to), "{to:?} is answered, but nobody waits there");
        }
        Outcome { ticket, ops, answers }
    }

    fn append(&mut self, ops: &[Op], effects: &mut Vec<Effect>) {
        if ops.is_empty() {
            return;
        }
        let lsn = Lsn(self.journal.len() as u64 + 1);
        let mut entry = Entry { lsn, at: self.now, ops: Vec::new() };
        for op in ops {
            let (mut body, mut blobs) = (Vec::new(), Vec::new());
            let kind = op.encode(&mut body, &mut blobs);
            let blobs = blobs.iter().map(|blob| self.store(blob)).collect();
            let journaled = Journaled { kind, body, blobs };
            let decoded = self.decode(&journaled);
            assert_eq!(&decoded, op, "what is read is what was written");
            self.machine.apply(lsn, self.now, &decoded, &journaled.blobs, effects);
            entry.ops.push(journaled);
        }
        self.journal.push(entry);
    }

    fn store(&mut self, blob: &Blob) -> BlobAddr {
        let length = u32::try_from(blob.bytes().len()).expect("a short blob");
        let address = BlobAddr { segment: 0, position: self.position, length, crc: blob.crc() };
        self.position += length;
        self.bytes.insert(address, blob.bytes().clone());
        address
    }

    fn decode(&self, op: &Journaled) -> Op {
        let blobs: Vec<Bytes> =
            op.blobs.iter().map(|address| self.bytes[address].clone()).collect();
        Op::decode(op.kind, &op.body, &blobs).expect("decodes")
    }

    /// All that was ever journaled.
    pub(crate) fn ops(&self) -> impl Iterator<Item = Op> {
        self.journal.iter().flat_map(|entry| &entry.ops).map(|op| self.decode(op))
    }

    pub(crate) fn entry_count(&self) -> usize {
        self.journal.len()
    }

    /// All events of a run, as the machine serves them.
    pub(crate) fn history_of(&self, run: RunId) -> Vec<HistoryEvent> {
        let execution = self.ops().find_map(|op| match op {
            Op::RunCreated(op) if op.run.run() == run => Some(op.workflow_id),
            _ => None,
        });
        let ask = Ask::GetWorkflowExecutionHistory(Box::new(HistoryAsk {
            namespace: "default".into(),
            workflow_id: execution.expect("a run that was created"),
            run_id: Some(run),
            wait_for_event: None,
            wait_for_close: false,
            include_transient: false,
        }));
        let cx = Cx { now: self.now, entropy: &self.entropy };
        match self.machine.decide(&ask, Ticket(0), &cx, &mut Vec::new()) {
            Verdict::Go(Some(Reply::GetWorkflowExecutionHistory(slice))) => self.events(&slice),
            other => panic!("{run} has no history: {other:?}"),
        }
    }

    /// A machine that knows only the journal.
    pub(crate) fn rebuilt(&self) -> Workflows {
        let mut machine = Workflows::new(self.limits.clone(), 0);
        for entry in &self.journal {
            for op in &entry.ops {
                let decoded = self.decode(op);
                machine.apply(entry.lsn, entry.at, &decoded, &op.blobs, &mut Vec::new());
            }
        }
        machine.resume(self.now);
        machine.check();
        machine
    }

    /// Panics if recovery would not bring back what is there.
    pub(crate) fn compare_with_rebuilt(&self) {
        assert!(self.machine.same_journaled_state(&self.rebuilt()), "recovery gives another state");
    }

    /// All callers lose their connections; the journal stays.
    pub(crate) fn restart(&mut self) {
        self.machine = self.rebuilt();
        self.waiting.clear();
    }

    pub(crate) fn forget(&mut self, ticket: Ticket) {
        self.waiting.remove(&ticket);
        self.machine.forget(ticket);
        self.machine.check();
    }

    /// The events of a slice. Panics if an id is missing.
    pub(crate) fn events(&self, slice: &HistorySlice) -> Vec<HistoryEvent> {
        let mut events = Vec::new();
        for batch in &slice.batches {
            let bytes = self.bytes[&batch.address].clone();
            let decoded = History::decode(bytes).expect("a batch is a History").events;
            let ids: Vec<i64> = decoded.iter().map(|event| event.event_id).collect();
            let want: Vec<i64> = (batch.first_event_id..=batch.last_event_id).collect();
            assert_eq!(ids, want, "the batch holds what its entry says");
            events.extend(decoded);
        }
        let dense = events.windows(2).all(|two| two[0].event_id + 1 == two[1].event_id);
        assert!(dense, "a slice has no gaps");
        if let Some(last) = events.last() {
            assert_eq!(last.event_id + 1, slice.next_event_id, "a slice goes to the end");
        }
        events
    }
}
