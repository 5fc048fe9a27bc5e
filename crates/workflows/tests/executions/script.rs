//! Runs one script: blocks of commands, a line `----`, and what they bring about, up to an empty
//! line. `UPDATE=1 cargo test -p workflows` writes the outputs anew; `SCRIPT=name` runs some only.
//!
//! ```text
//! limits [buffered=N] [buffered-bytes=N] [signals=N] [activities=N] [events=N] [history-bytes=N]
//!        [suggest=N] [requests=N] [queries=N] [expired-bytes=N] [shutdown=N]
//!                                                                 (begins anew with an empty world)
//! start W [request=R] [reuse=P] [conflict=P] [queue=Q] [type=T] [delay=D] [run-timeout=D]
//!         [execution-timeout=D] [task-timeout=D] [eager] [as=NAME] [retry policy…]
//! signal W NAME [input=V] [request=R] [run=N] | signal-with-start W NAME [as start and signal]
//! cancel W [run=N] [first=N] | terminate W [run=N] [first=N] [reason=R]
//! poll NAME [queue=Q | sticky=S] [key=WORKER] | poll-activity NAME [queue=Q] | poll-publish NAME
//! complete NAME [sticky=S] [new] [force] [answer=QUERY:VALUE] [message] [; command]…
//! fail-task NAME [cause=C]
//! act-complete NAME [result=V] | act-fail NAME [failure] [details=V] | act-cancel NAME [details=V]
//! heartbeat NAME [details=V]
//! query NAME W QUERY [run=N] [reject=not-open|not-clean] | answer NAME [result=V] [failed=TEXT]
//! history W [run=N] [as=NAME] [wait=N] [close] [transient] | describe W [run=N]
//! forget NAME | undelivered NAME | shutdown [sticky=S] [queue=Q] [key=WORKER] | reset-sticky W
//! register NAMESPACE [retention=D] [global] | namespace NAME [id=I] | namespaces [size=N] [after=A]
//! keep NAME OTHER | damage NAME | token NAME TEXT
//! advance D | restart | crash                         (crash: with the next entry, unanswered)
//! ```
//!
//! Where it makes sense, `namespace=NAME` names another namespace than `default`. Answers to tasks
//! name none if they do not say one.
//!
//! `NAME` stands for a caller; a task that is delivered to it is its token from then on. Events
//! are shown as they are written: `w#1 5 TimerStarted …` has id 5 in the first run of `w`, `~` is
//! buffered. `next` is when time will have something to say.

use crate::show;
use crate::words::{Words, span};
use crate::world::{Answer, EPOCH, Outcome, World};
use base::{Machine, RunId, Ticket};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use temporalio_protos::temporal::api::history::v1::{History, HistoryEvent};
use temporalio_protos::temporal::api::taskqueue::v1 as taskqueue;
use temporalio_protos::temporal::api::workflowservice::v1 as service;
use workflows::{ActivityTask, Ask, Limits, Op, Reply, TaskToken, WorkflowTask};

/// The same text, with the outputs as they are now.
pub(crate) fn run_file(text: &str) -> String {
    let mut script = Script::new(Limits::default());
    let mut written = String::new();
    let mut in_output = false;
    for line in text.lines() {
        if in_output {
            // An expected output ends with an empty line.
            if line.is_empty() {
                in_output = false;
                written.push('\n');
            }
        } else if line == "----" {
            in_output = true;
            written.push_str("----\n");
            written.push_str(&script.take_output());
        } else {
            written.push_str(line);
            written.push('\n');
            if !line.is_empty() && !line.starts_with('#') {
                script.run(line);
            }
        }
    }
    assert!(script.output.is_empty(), "a block without ----: {}", script.output);
    written
}

pub(crate) struct Script {
    pub(crate) world: World,
    /// Compare with recovery after every ask.
    thorough: bool,
    /// Run ids by their short names, in order of creation.
    pub(crate) runs: Vec<(RunId, String)>,
    names: HashMap<Ticket, String>,
    /// The last task that a caller was given.
    pub(crate) tokens: BTreeMap<String, Vec<u8>>,
    /// Ids of attached queries by their type.
    pub(crate) attached: HashMap<String, String>,
    output: String,
}

impl Script {
    fn new(limits: Limits) -> Script {
        Script {
            world: World::new(limits, 7),
            thorough: true,
            runs: Vec::new(),
            names: HashMap::new(),
            tokens: BTreeMap::new(),
            attached: HashMap::new(),
            output: String::new(),
        }
    }

    /// One that leaves the comparison with recovery to its caller.
    pub(crate) fn quick(limits: Limits) -> Script {
        Script { thorough: false, ..Script::new(limits) }
    }

    /// What has happened since it was called last.
    pub(crate) fn forget_output(&mut self) -> String {
        std::mem::take(&mut self.output)
    }

    /// Those who have been given a task.
    pub(crate) fn holders(&self) -> impl Iterator<Item = &str> {
        self.tokens.keys().map(String::as_str)
    }

    /// Those who wait for an answer, in order of their asking.
    pub(crate) fn waiting(&self) -> Vec<&str> {
        let names = self.world.waiting.iter().filter_map(|ticket| self.names.get(ticket));
        names.map(String::as_str).collect()
    }

    pub(crate) fn run_ids(&self) -> Vec<RunId> {
        self.runs.iter().map(|(run, _)| *run).collect()
    }

    /// What has happened in this block, with short names for run ids.
    fn take_output(&mut self) -> String {
        let next = match self.world.machine.next_due() {
            Some(due) => show::short(due.since(self.world.now)),
            None => "never".into(),
        };
        let mut text = std::mem::take(&mut self.output);
        _ = writeln!(text, "next {next}");
        for (run, name) in &self.runs {
            text = text.replace(&run.to_string(), name);
        }
        text
    }

    pub(crate) fn run(&mut self, line: &str) {
        let (head, commands) = line.split_once(';').unwrap_or((line, ""));
        let words = Words::of(head);
        match words.word(0) {
            "limits" => *self = Script::new(crate::request::limits(&words)),
            "advance" => self.advance(&words),
            "restart" => {
                self.world.restart();
                self.names.clear();
            }
            "crash" => {
                let entries = self.world.entry_count() + 1;
                self.world.crash_after = Some(entries);
            }
            "forget" => {
                let name = words.word(1);
                let waiting = self.names.iter().filter(|(ticket, waiting)| {
                    *waiting == name && self.world.waiting.contains(ticket)
                });
                let ticket = waiting.map(|(ticket, _)| *ticket).max().expect("waits");
                self.world.forget(ticket);
            }
            "keep" => {
                let token = self.token(words.word(1));
                self.tokens.insert(words.word(2).to_owned(), token);
            }
            "damage" => {
                let mut token = self.token(words.word(1));
                if let Some(byte) = token.get_mut(4) {
                    *byte ^= 0x41;
                }
                self.tokens.insert(words.word(1).to_owned(), token);
            }
            "token" => {
                let text = words.word(2).as_bytes().to_vec();
                self.tokens.insert(words.word(1).to_owned(), text);
            }
            "history" => self.history(&words),
            "describe" => self.describe(&words),
            name => {
                let ask = self.ask_of(name, &words, commands);
                let caller = match name {
                    "poll" | "poll-activity" | "poll-publish" | "complete" | "fail-task"
                    | "query" | "answer" | "act-complete" | "act-fail" | "act-cancel"
                    | "heartbeat" => words.word(1),
                    _ => words.key("as").unwrap_or(name),
                };
                self.ask(caller, ask);
            }
        }
    }

    fn history(&mut self, words: &Words<'_>) {
        let ask = self.history_ask(words);
        self.ask(words.key("as").unwrap_or("history"), ask);
    }

    fn describe(&mut self, words: &Words<'_>) {
        let request = service::DescribeWorkflowExecutionRequest {
            namespace: "default".into(),
            execution: Some(self.execution(words)),
        };
        let outcome = self.world.ask(Ask::DescribeWorkflowExecution(Box::new(request)));
        for (_, answer) in outcome.answers {
            let text = match &answer {
                Ok(Reply::DescribeWorkflowExecution(r)) => show::described(r),
                other => format!("{}\n", show::answer(other)),
            };
            self.output.push_str(&text);
        }
    }

    /// Lets time pass, from one due moment to the next.
    fn advance(&mut self, words: &Words<'_>) {
        let target = self.world.now.after(span(words.word(1)));
        while let Some(due) = self.world.machine.next_due().filter(|due| *due <= target) {
            self.world.now = self.world.now.max(due);
            let at = show::short(self.world.now.since(EPOCH));
            _ = writeln!(self.output, "@{at}");
            let mut turns = 0;
            while let Some(ask) = self.world.machine.due(self.world.now) {
                self.ask("", ask);
                turns += 1;
                assert!(turns < 100, "time comes to an end");
            }
        }
        self.world.now = target;
    }

    fn ask(&mut self, caller: &str, ask: Ask) {
        let before = self.world.crash_after;
        let may_wait = matches!(
            ask,
            Ask::PollWorkflowTaskQueue(_)
                | Ask::PollActivityTaskQueue(_)
                | Ask::PollPublish
                | Ask::QueryWorkflow(_)
                | Ask::GetWorkflowExecutionHistory(_)
        );
        let outcome = self.world.ask(ask);
        if self.thorough {
            self.world.compare_with_rebuilt();
        }
        if before != self.world.crash_after {
            self.names.clear();
        }
        self.names.insert(outcome.ticket, caller.to_owned());
        self.show(&outcome);
        if self.world.waiting.contains(&outcome.ticket) {
            assert!(may_wait, "{caller} is never answered");
            _ = writeln!(self.output, "{caller} waits");
        }
    }

    fn show(&mut self, outcome: &Outcome) {
        for op in &outcome.ops {
            self.show_op(op);
        }
        for (ticket, answer) in &outcome.answers {
            let caller = self.names.get(ticket).cloned().unwrap_or_default();
            if !caller.is_empty() {
                self.show_answer(&caller, answer);
            }
        }
    }

    fn name_of(&self, run: RunId) -> String {
        let found = self.runs.iter().find(|(id, _)| *id == run);
        found.map_or_else(|| "?".to_owned(), |(_, name)| name.clone())
    }

    fn show_op(&mut self, op: &Op) {
        let now = self.world.now;
        match op {
            Op::RunCreated(op) => {
                let prefix = format!("{}#", op.workflow_id);
                let before = self.runs.iter().filter(|(_, name)| name.starts_with(&prefix)).count();
                self.runs.push((op.run.run(), format!("{prefix}{}", before + 1)));
            }
            Op::Events(op) => {
                let run = self.name_of(op.run);
                for event in &op.events {
                    _ = writeln!(self.output, "  {run} {}", show::event(event, now));
                }
            }
            Op::Buffered(op) => {
                let run = self.name_of(op.run.run());
                for event in &op.events {
                    _ = writeln!(self.output, "  {run} {}", show::event(event, now));
                }
            }
            Op::WorkflowTaskSet(op) => {
                let Some(task) = op.task.as_ref().filter(|task| task.attempt > 1) else { return };
                let run = self.name_of(op.run.run());
                let started = match task.started_event_id {
                    0 => String::new(),
                    id => format!(" started={id} by={}", task.identity),
                };
                let timeout = std::time::Duration::from_micros(task.start_to_close.unsigned_abs());
                let timeout = show::short(timeout);
                let scheduled = task.scheduled_event_id;
                _ = writeln!(
                    self.output,
                    "  {run} transient task attempt={} scheduled={scheduled}{started} timeout={timeout}",
                    task.attempt
                );
            }
            Op::ActivitySet(op) => {
                let run = self.name_of(op.run.run());
                let state = &op.state;
                let phase = if state.backing_off {
                    let wait = base::Timestamp(state.scheduled_at).since(now);
                    format!("retries in {}", show::short(wait))
                } else if state.started_at == 0 {
                    "ready".to_owned()
                } else if state.last_heartbeat_at != 0 {
                    "beats".to_owned()
                } else {
                    format!("started by {}", state.identity)
                };
                let (id, attempt) = (op.scheduled_event_id, state.attempt);
                _ = writeln!(self.output, "  {run} activity {id} attempt={attempt} {phase}");
            }
            Op::StickySet(op) => {
                let run = self.name_of(op.run.run());
                let queue = op.sticky.as_ref().map_or("none", |sticky| sticky.queue.as_str());
                _ = writeln!(self.output, "  {run} sticky {queue}");
            }
            Op::NamespaceRegistered(_) | Op::RequestSeen(_) => {}
        }
    }

    fn show_answer(&mut self, caller: &str, answer: &Answer) {
        let mut text = match answer {
            Ok(Reply::WorkflowTask(_) | Reply::ActivityTask(_)) => String::new(),
            Ok(Reply::GetWorkflowExecutionHistory(slice)) => self.slice(caller, slice),
            answer => format!("{caller}: {}\n", show::answer(answer)),
        };
        match answer {
            Ok(Reply::WorkflowTask(task)) => text.push_str(&self.task(caller, task)),
            Ok(Reply::ActivityTask(task)) => text.push_str(&self.activity_task(caller, task)),
            Ok(Reply::StartWorkflowExecution(_, Some(task))) => {
                text.push_str(&self.task(caller, task));
            }
            Ok(Reply::RespondWorkflowTaskCompleted(response, task)) => {
                for response in &response.activity_tasks {
                    let token = TaskToken(response.task_token.clone().into());
                    let task = ActivityTask { response: response.clone(), token };
                    let name = response.activity_id.clone();
                    text.push_str(&self.activity_task(&name, &task));
                }
                if let Some(task) = task {
                    text.push_str(&self.task(caller, task));
                }
            }
            _ => {}
        }
        self.output.push_str(&text);
    }

    fn slice(&self, caller: &str, slice: &workflows::HistorySlice) -> String {
        let mut text = String::new();
        for event in self.world.events(slice) {
            _ = write!(text, "{} {}, ", event.event_id, show::event_name(&event));
        }
        for event in transient(slice) {
            _ = write!(text, "({} {}), ", event.event_id, show::event_name(&event));
        }
        let open = if slice.closed { "closed" } else { "open" };
        format!("{caller}: {} {text}{open}\n", self.name_of(slice.run_id))
    }

    fn task(&mut self, caller: &str, task: &WorkflowTask) -> String {
        let r = &task.response;
        let token = task.token.as_ref().expect("a token");
        assert_eq!(token.0, r.task_token, "one token");
        self.tokens.insert(caller.to_owned(), r.task_token.clone());
        let run = r.workflow_execution.as_ref().map_or("", |execution| &execution.run_id);
        let events = self.world.events(&task.history);
        let first = events.first().map_or(0, |event| event.event_id);
        let last = events.last().map_or(0, |event| event.event_id);
        let mut ids = if first == 0 { "none".to_owned() } else { format!("{first}-{last}") };
        for event in transient(&task.history) {
            _ = write!(ids, "+{}", event.event_id);
        }
        if let Some(query) = &r.query {
            return format!("{caller}: query {} of {run} events={ids}\n", query.query_type);
        }
        let mut queries: Vec<String> = Vec::new();
        for (id, query) in &r.queries {
            self.attached.insert(query.query_type.clone(), id.clone());
            queries.push(query.query_type.clone());
        }
        queries.sort();
        let (attempt, previous) = (r.attempt, r.previous_started_event_id);
        let queries = match queries.as_slice() {
            [] => String::new(),
            queries => format!(" queries={}", queries.join(",")),
        };
        let started = r.started_event_id;
        let polls = polls(r.poller_scaling_decision.as_ref());
        format!(
            "{caller}: task of {run} attempt={attempt} started={started} previous={previous} \
             events={ids}{queries}{polls}\n"
        )
    }

    fn activity_task(&mut self, caller: &str, task: &ActivityTask) -> String {
        let r = &task.response;
        self.tokens.insert(caller.to_owned(), r.task_token.clone());
        let run = r.workflow_execution.as_ref().map_or("", |execution| &execution.run_id);
        let details = r.heartbeat_details.as_ref().map_or(String::new(), |details| {
            let text = details.payloads.iter().map(|p| String::from_utf8_lossy(&p.data));
            format!(" details={}", text.collect::<Vec<_>>().join("+"))
        });
        let polls = polls(r.poller_scaling_decision.as_ref());
        let (id, attempt) = (&r.activity_id, r.attempt);
        format!("{caller}: activity {id} of {run} attempt={attempt}{details}{polls}\n")
    }
}

/// How many more polls the worker should keep open.
fn polls(decision: Option<&taskqueue::PollerScalingDecision>) -> String {
    decision.map_or(String::new(), |it| format!(" polls={:+}", it.poll_request_delta_suggestion))
}

fn transient(slice: &workflows::HistorySlice) -> Vec<HistoryEvent> {
    use prost::Message;
    History::decode(slice.transient.clone()).expect("events").events
}
