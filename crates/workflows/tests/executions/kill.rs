//! One saga, with the node dying after each single entry of its journal in turn: before any
//! answer of that entry has left, so that callers ask again and polls are lost. The saga must end
//! with the same history, at the same time: a death must not cost a task's timeout.

use crate::script::Script;
use crate::show;
use crate::world::EPOCH;
use base::Machine;
use std::collections::BTreeSet;
use temporalio_protos::temporal::api::enums::v1::EventType as T;
use temporalio_protos::temporal::api::history::v1::HistoryEvent;
use temporalio_protos::temporal::api::history::v1::history_event::Attributes as A;
use workflows::Limits;

#[test]
fn a_death_after_any_entry_changes_nothing() {
    for worker in ["", " new", " sticky=s", " sticky=s new"] {
        let mut calm = Saga::new(worker, None);
        calm.run();
        let entries = calm.script.world.entry_count();
        assert!(entries > 12, "a saga of {entries} entries is worth it");
        for entry in 2..=entries {
            let mut saga = Saga::new(worker, Some(entry));
            saga.run();
            assert!(saga.script.world.crash_after.is_none(), "died after entry {entry}");
            let context = format!("worker {worker:?} died after entry {entry}");
            assert_eq!(saga.history(), calm.history(), "{context}");
            let (took, should) =
                (saga.script.world.now.since(EPOCH), calm.script.world.now.since(EPOCH));
            assert_eq!(show::short(took), show::short(should), "{context}");
        }
    }
}

struct Saga {
    script: Script,
    /// How the worker completes its tasks.
    worker: &'static str,
    /// Tasks in hand, by caller.
    holding: BTreeSet<&'static str>,
    /// Activity and attempt of the activity tasks in hand.
    doing: String,
    signaled: bool,
}

impl Saga {
    fn new(worker: &'static str, crash_after: Option<usize>) -> Saga {
        let mut script = Script::quick(Limits::default());
        script.world.crash_after = crash_after;
        Saga { script, worker, holding: BTreeSet::new(), doing: String::new(), signaled: false }
    }

    fn run(&mut self) {
        self.ask("start w request=r1");
        for _ in 0..200 {
            let events = self.events();
            if events.last().is_some_and(|e| e.event_type() == T::WorkflowExecutionCompleted) {
                self.script.world.compare_with_rebuilt();
                return;
            }
            self.turn(&events);
        }
        panic!("the saga gets stuck: {:?}", self.history());
    }

    /// Polls what is not being polled, answers what is in hand, and otherwise lets time pass.
    fn turn(&mut self, events: &[HistoryEvent]) {
        let before = self.script.world.crash_after;
        let sticky = if self.worker.contains("sticky") { "poll p sticky=s" } else { "poll p" };
        for (caller, line) in
            [("p", sticky), ("r", "poll r"), ("x", "poll-activity x"), ("n", "poll-publish n")]
        {
            let waits = self.script.waiting().contains(&caller);
            if !waits && !self.holding.contains(caller) {
                self.ask(line);
            }
        }
        if before != self.script.world.crash_after {
            return;
        }
        if let Some(caller) = self.holding.pop_first() {
            let line = self.answer_of(caller);
            self.ask(&line);
        } else if has(events, T::TimerStarted) && !self.signaled {
            self.ask("signal w pay request=r2");
            self.signaled = true;
        } else if let Some(due) = self.script.world.machine.next_due() {
            let wait = due.since(self.script.world.now);
            self.ask(&format!("advance {}ms", wait.as_millis()));
        }
    }

    fn answer_of(&self, caller: &str) -> String {
        match caller {
            "x" if self.doing.contains("activity charge") && !self.doing.contains("attempt=3") => {
                "act-fail x".into()
            }
            "x" | "n" => format!("act-complete {caller}"),
            _ => format!("complete {caller}{}{}", self.worker, self.commands()),
        }
    }

    /// What the workflow does next, from its history alone.
    fn commands(&self) -> &'static str {
        let events = self.events();
        let done = |activity: &str| {
            let scheduled = events.iter().find(|event| schedules(event, activity))?.event_id;
            Some(events.iter().any(|event| completes(event, scheduled)))
        };
        match (done("reserve"), done("charge"), done("publish")) {
            (None, ..) => " ; activity reserve ; marker begun",
            (Some(true), None, _) => " ; activity charge ; timer t 30s",
            (_, Some(true), None) if has(&events, T::WorkflowExecutionSignaled) => {
                " ; cancel-timer t ; activity publish queue=mainstay"
            }
            (_, _, Some(true)) => " ; done paid",
            _ => "",
        }
    }

    /// Asks, and asks again if the node died before it could answer.
    fn ask(&mut self, line: &str) {
        let before = self.script.world.crash_after;
        self.script.run(line);
        if before != self.script.world.crash_after {
            // A new life: nobody waits and nothing in hand has been answered twice.
            if !line.starts_with("poll") && !line.starts_with("advance") {
                self.script.run(line);
            }
        }
        let output = self.script.forget_output();
        for shown in output.lines() {
            for caller in ["p", "r", "x", "n"] {
                let given = |what: &str| shown.starts_with(&format!("{caller}: {what} "));
                if given("task of") || given("activity") {
                    self.holding.insert(caller);
                }
            }
            if shown.starts_with("x: activity") {
                shown.clone_into(&mut self.doing);
            }
        }
    }

    fn events(&self) -> Vec<HistoryEvent> {
        let run = self.script.run_ids()[0];
        self.script.world.history_of(run)
    }

    /// Types only: ids and identities are drawn anew in each life.
    fn history(&self) -> Vec<T> {
        self.events().iter().map(HistoryEvent::event_type).collect()
    }
}

fn has(events: &[HistoryEvent], kind: T) -> bool {
    events.iter().any(|event| event.event_type() == kind)
}

fn schedules(event: &HistoryEvent, activity: &str) -> bool {
    matches!(&event.attributes,
        Some(A::ActivityTaskScheduledEventAttributes(a)) if a.activity_id == activity)
}

fn completes(event: &HistoryEvent, scheduled: i64) -> bool {
    matches!(&event.attributes,
        Some(A::ActivityTaskCompletedEventAttributes(a)) if a.scheduled_event_id == scheduled)
}
