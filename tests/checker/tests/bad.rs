//! Bad histories of workflows and routes, made by hand: each breaks one promise, and the judge names
//! that one only.

mod common;

use checker::Invariant::*;
use checker::{ActivityEnd, Answer, Call, Declaration, Kind, Outcome, Refusal, Status};
use common::*;

// Histories.

fn quiet() -> Events {
    Events::new(first(1)).task()
}

fn start_it(s: &mut Story) {
    s.ask(1, start("q1", 1), started("r1"));
}

#[test]
fn an_event_id_is_missing() {
    caught(E1, "event 3 follows event 1", |s| {
        start_it(s);
        let mut events = quiet().list();
        events.remove(1);
        s.run("r1", events);
    });
}

#[test]
fn an_event_changes_after_it_was_seen() {
    caught(E1, "event 5 was Signaled", |s| {
        start_it(s);
        s.ask(1, signal("q2", 2), unknown());
        s.ask(1, signal("q3", 3), unknown());
        s.run("r1", quiet().then(signaled(2)).list());
        s.kill(50);
        s.calm().run("r1", quiet().then(signaled(3)).task().list());
    });
}

#[test]
fn a_history_gets_shorter() {
    caught(E1, "had 5 events and has 4", |s| {
        start_it(s);
        s.ask(1, signal("q2", 2), unknown());
        s.run("r1", quiet().then(signaled(2)).list());
        s.kill(50);
        s.run("r1", quiet().list());
    });
}

#[test]
fn a_run_is_gone() {
    caught(E1, "is not found in the end", |s| {
        start_it(s);
        s.run("r1", quiet().list());
        s.calm();
        let call = Call::History { workflow_id: "w".into(), run_id: Some("r1".into()) };
        s.ask(1, call, Outcome::Fail(Refusal::NotFound));
    });
}

#[test]
fn an_acknowledged_start_is_gone() {
    caught(E2, "is not found in the end", |s| {
        start_it(s);
        s.kill(50);
        s.calm();
        let call = Call::History { workflow_id: "w".into(), run_id: Some("r1".into()) };
        s.ask(1, call, Outcome::Fail(Refusal::NotFound));
    });
}

#[test]
fn one_start_makes_two_runs() {
    caught(E2, "in the history 2 times", |s| {
        s.ask(1, start("q1", 1), unknown());
        s.kill(50);
        s.ask(1, start("q1", 1), started("r2"));
        s.calm();
        s.run("r1", quiet().then(closed(Status::Completed, None)).list());
        s.run("r2", quiet().list());
    });
}

#[test]
fn one_start_is_answered_with_two_runs() {
    caught(E2, "answered with run r1 and with run r2", |s| {
        s.ask(1, start("q1", 1), started("r1"));
        s.ask(1, start("q1", 1), started("r2"));
    });
}

#[test]
fn an_acknowledged_signal_is_gone() {
    caught(E2, "acknowledged 1 time(s) and is in the history 0 times", |s| {
        start_it(s);
        s.ask(1, signal("q2", 2), done());
        s.kill(50);
        s.calm().run("r1", quiet().list());
    });
}

#[test]
fn a_repeated_signal_is_there_twice() {
    caught(E2, "in the history 2 times", |s| {
        start_it(s);
        s.ask(1, signal("q2", 2), unknown());
        s.kill(50);
        s.ask(1, signal("q2", 2), done());
        s.calm().run("r1", quiet().then(signaled(2)).then(signaled(2)).task().list());
    });
}

#[test]
fn a_signal_that_nobody_sent() {
    caught(E2, "sent by nobody", |s| {
        start_it(s);
        s.calm().run("r1", quiet().then(signaled(7)).task().list());
    });
}

#[test]
fn a_refused_signal_is_there() {
    caught(Refused, "was refused and is in the history", |s| {
        start_it(s);
        s.ask(1, signal("q2", 2), refused());
        s.calm().run("r1", quiet().then(signaled(2)).task().list());
    });
}

#[test]
fn an_acknowledged_request_to_cancel_is_gone() {
    caught(E2, "a request to cancel", |s| {
        start_it(s);
        let (workflow_id, request_id) = ("w".into(), "q2".into());
        s.ask(1, Call::RequestCancel { workflow_id, request_id }, done());
        s.calm().run("r1", quiet().list());
    });
}

#[test]
fn a_timer_fires_twice() {
    caught(E3, "has fired already", |s| {
        start_it(s);
        let fired = || Kind::TimerFired { started: 5 };
        let events = quiet().then(timer(100)).after_ms(100).then(fired()).task();
        s.calm().run("r1", events.then(fired()).task().list());
    });
}

#[test]
fn a_timer_fires_early() {
    caught(E3, "before it is due", |s| {
        start_it(s);
        let events = quiet().then(timer(100)).after_ms(99);
        s.calm().run("r1", events.then(Kind::TimerFired { started: 5 }).task().list());
    });
}

#[test]
fn a_timer_fires_late() {
    caught(E3, "later than it may", |s| {
        start_it(s);
        let events = quiet().then(timer(100)).after_ms(2_101);
        s.calm().run("r1", events.then(Kind::TimerFired { started: 5 }).task().list());
    });
}

#[test]
fn a_timer_never_fires() {
    caught(E3, "has not fired", |s| {
        start_it(s);
        s.kill(50);
        s.calm().run("r1", quiet().then(timer(100)).list());
    });
}

#[test]
fn a_canceled_timer_fires() {
    caught(E3, "is canceled", |s| {
        start_it(s);
        let events = quiet().then(timer(100)).then(Kind::TimerCanceled { started: 5 });
        let events = events.after_ms(100).then(Kind::TimerFired { started: 5 });
        s.calm().run("r1", events.task().list());
    });
}

// Tasks.

#[test]
fn a_workflow_task_is_accepted_twice() {
    caught(E4, "was accepted 2 times", |s| {
        start_it(s);
        s.ask(2, poll_workflow(), workflow_task(2, 3, 1));
        s.ask(2, end_workflow_task(3), done());
        s.ask(2, end_workflow_task(3), done());
        s.calm().run("r1", quiet().list());
    });
}

#[test]
fn an_accepted_workflow_task_is_not_in_the_history() {
    caught(E4, "is not in the history", |s| {
        start_it(s);
        s.ask(2, poll_workflow(), workflow_task(2, 3, 1));
        s.ask(2, end_workflow_task(3), done());
        s.kill(50);
        s.ask(2, poll_workflow(), workflow_task(5, 6, 1));
        s.ask(2, end_workflow_task(6), done());
        let timed_out = Kind::WorkflowTaskTimedOut { scheduled: 2, started: 3 };
        let events = Events::new(first(1)).then(Kind::WorkflowTaskScheduled { attempt: 1 });
        let events = events.then(Kind::WorkflowTaskStarted { scheduled: 2 }).then(timed_out);
        s.calm().run("r1", events.task().list());
    });
}

#[test]
fn a_refused_workflow_task_is_in_the_history() {
    caught(Refused, "only a refused worker", |s| {
        start_it(s);
        s.ask(2, poll_workflow(), workflow_task(2, 3, 1));
        s.ask(2, end_workflow_task(3), refused());
        s.calm().run("r1", quiet().list());
    });
}

#[test]
fn a_workflow_task_is_handed_to_two() {
    caught(E4, "handed to two workers", |s| {
        start_it(s);
        s.ask(2, poll_workflow(), workflow_task(2, 3, 1));
        s.ask(3, poll_workflow(), workflow_task(2, 3, 1));
    });
}

/// A history of an activity, with what its worker did before.
fn activity_story(s: &mut Story, attempt_ms: Option<i64>, maximum: u32, end: Option<Kind>) {
    s.calm();
    let events = quiet().then(activity(attempt_ms, maximum));
    let events = match end {
        Some(end) => {
            let started = Kind::ActivityStarted { scheduled: 5, attempt: 1 };
            events.after_ms(10).then(started).then(end).task()
        }
        None => events,
    };
    s.run("r1", events.list());
}

fn activity_ends(s: &mut Story) -> checker::OpId {
    s.ask(2, poll_activity(), activity_task(1));
    s.effect();
    s.ask(2, end_activity(1, ActivityEnd::Completed(Some(8))), done())
}

#[test]
fn an_activity_is_accepted_twice() {
    caught(E4, "both were accepted", |s| {
        activity_ends(s);
        s.ask(3, end_activity(1, ActivityEnd::Completed(Some(9))), done());
        activity_story(s, None, 0, Some(activity_done(5, 8)));
    });
}

#[test]
fn an_accepted_activity_is_run_again() {
    caught(E4, "handed out afterwards", |s| {
        activity_ends(s);
        s.kill(50);
        s.ask(2, poll_activity(), activity_task(2));
        activity_story(s, None, 0, Some(activity_done(5, 8)));
    });
}

#[test]
fn an_accepted_activity_has_another_result() {
    caught(E4, "was accepted as Completed(Some(8))", |s| {
        activity_ends(s);
        s.ask(3, end_activity(1, ActivityEnd::Completed(Some(9))), unknown());
        activity_story(s, None, 0, Some(activity_done(5, 9)));
    });
}

#[test]
fn an_activity_is_completed_by_nobody() {
    caught(E4, "by nobody", |s| {
        s.ask(2, poll_activity(), activity_task(1));
        s.effect();
        activity_story(s, None, 0, Some(activity_done(5, 8)));
    });
}

#[test]
fn a_refused_completion_is_there() {
    caught(Refused, "by a refused worker", |s| {
        s.ask(2, poll_activity(), activity_task(1));
        s.effect();
        s.ask(2, end_activity(1, ActivityEnd::Completed(Some(8))), refused());
        activity_story(s, None, 0, Some(activity_done(5, 8)));
    });
}

#[test]
fn an_attempt_is_counted_without_a_cause() {
    caught(E4, "explain 1 at most", |s| {
        s.ask(2, poll_activity(), activity_task(1));
        s.kill(50);
        s.ask(2, poll_activity(), activity_task(2));
        let events = quiet().then(activity(Some(60_000), 0)).list();
        s.run("r1", events);
    });
}

#[test]
fn an_activity_runs_more_often_than_it_may() {
    caught(E4, "ran 2 times", |s| {
        s.ask(2, poll_activity(), activity_task(1));
        s.effect();
        s.kill(50);
        s.effect();
        s.ask(2, end_activity(1, ActivityEnd::Completed(Some(8))), done());
        activity_story(s, None, 1, Some(activity_done(5, 8)));
    });
}

#[test]
fn an_attempt_that_has_heartbeated_is_handed_out_again() {
    caught(E4, "has heartbeated", |s| {
        s.ask(2, poll_activity(), activity_task(1));
        s.ask(2, heartbeat(1), done());
        s.kill(50);
        s.ask(3, poll_activity(), activity_task(1));
    });
}

// The end.

#[test]
fn a_signal_wakes_nobody() {
    caught(E6, "it has no workflow task", |s| {
        start_it(s);
        s.ask(1, signal("q2", 2), done());
        s.calm().run("r1", quiet().then(signaled(2)).list());
    });
}

#[test]
fn a_workflow_task_is_never_started() {
    caught(E7, "was never started", |s| {
        start_it(s);
        s.kill(50);
        let task = Kind::WorkflowTaskScheduled { attempt: 1 };
        s.calm().run("r1", Events::new(first(1)).then(task).list());
    });
}

#[test]
fn an_activity_never_ends() {
    caught(E7, "activity x (event 5) never ended", |s| {
        activity_story(s, None, 0, None);
    });
}

#[test]
fn a_description_does_not_follow_from_the_history() {
    caught(E6, "described as Running", |s| {
        start_it(s);
        s.calm().run("r1", quiet().then(closed(Status::Completed, None)).list());
        let call = Call::Describe { workflow_id: "w".into(), run_id: Some("r1".into()) };
        let (run_id, status) = ("r1".into(), Status::Running);
        let described =
            Answer::Described { run_id, status, workflow_task: None, activities: Vec::new() };
        s.ask(1, call, ok(described));
    });
}

#[test]
fn the_first_task_of_a_successor_is_lost() {
    caught(Successor, "it has no workflow task", |s| {
        start_it(s);
        s.calm();
        s.run("r1", quiet().then(closed(Status::ContinuedAsNew, Some("r2"))).list());
        s.run("r2", Events::new(successor_of("r1")).list());
    });
}

#[test]
fn a_start_is_refused_for_a_run_that_never_was() {
    caught(Named, "because run r9 is there", |s| {
        start_it(s);
        let refusal = Refusal::AlreadyStarted { run_id: "r9".into() };
        s.ask(1, start("q2", 2), Outcome::Fail(refusal));
        s.calm().run("r1", quiet().list());
    });
}

#[test]
fn an_open_run_is_not_found() {
    caught(Named, "while run r1 was open", |s| {
        start_it(s);
        s.ask(1, signal("q2", 2), Outcome::Fail(Refusal::NotFound));
        s.calm().run("r1", quiet().list());
    });
}

/// The end of the run was told before it was durable, and is taken back by the kill.
#[test]
fn a_refusal_escapes_before_its_cause_is_durable() {
    caught(Named, "while run r1 was open", |s| {
        s.ask(2, poll_workflow(), workflow_task(2, 3, 1));
        s.ask(1, signal("q2", 2), Outcome::Fail(Refusal::NotFound));
        s.kill(50);
        let events = quiet().after_ms(60_000).then(closed(Status::Completed, None));
        s.calm().run("r1", events.list());
    });
}

// The bridge.

#[test]
fn a_record_is_delivered_twice() {
    caught_with_route(B1, "was delivered 2 times", |s| {
        s.ask(1, send(1), sent(0));
        s.calm().log(&[1]);
        s.run("r1", Events::new(first(9)).then(routed(0, 1)).then(routed(0, 1)).task().list());
    });
}

#[test]
fn a_record_is_not_delivered() {
    caught_with_route(B1, "was not delivered", |s| {
        s.ask(1, send(1), sent(0));
        s.ask(1, send(2), sent(1));
        s.calm().log(&[1, 2]);
        s.run("r1", Events::new(first(9)).then(routed(1, 2)).task().list());
    });
}

#[test]
fn records_are_delivered_in_another_order() {
    caught_with_route(B1, "after offset 1", |s| {
        s.ask(1, send(1), sent(0));
        s.ask(1, send(2), sent(1));
        s.calm().log(&[1, 2]);
        s.run("r1", Events::new(first(9)).then(routed(1, 2)).then(routed(0, 1)).task().list());
    });
}

#[test]
fn a_signal_comes_from_a_record_that_is_not_there() {
    caught_with_route(B1, "where no such record is", |s| {
        s.ask(1, send(1), sent(0));
        s.calm().log(&[1]);
        s.run("r1", Events::new(first(9)).then(routed(0, 1)).then(routed(1, 5)).task().list());
    });
}

#[test]
fn a_workflow_that_a_record_should_have_started_is_not_there() {
    caught_with_route(B1, "was not delivered", |s| {
        s.ask(1, send(1), sent(0));
        s.calm().log(&[1]);
        let call = Call::History { workflow_id: "w".into(), run_id: None };
        s.ask(1, call, Outcome::Fail(Refusal::NotFound));
    });
}

#[test]
fn a_record_is_delivered_and_set_aside() {
    let mut story = Story::with_route();
    let foreign_topics = vec!["t.dead-letter".into()];
    let declaration = Declaration { foreign_topics, ..Declaration::default() };
    story.line(checker::Line::Declare(declaration));
    story.ask(1, send(1), sent(0));
    let dead = checker::Record { topic: "t.dead-letter".into(), ..record(0, 1) };
    story.ask(2, poll(), ok(Answer::Records(vec![dead])));
    story.calm().log(&[1]);
    story.run("r1", Events::new(first(9)).then(routed(0, 1)).task().list());
    judge(&story, B1, "and set aside");
}

#[test]
fn an_emit_makes_two_records() {
    caught(B2, "is in the log 2 times", |s| {
        s.calm().log(&[5, 5]);
        s.run("r1", quiet().then(emit(5)).then(published(5, 0)).task().list());
    });
}

#[test]
fn an_emit_is_completed_without_a_record() {
    caught(B2, "is completed and is not in the log", |s| {
        s.calm().log(&[]);
        s.run("r1", quiet().then(emit(5)).then(published(5, 0)).task().list());
    });
}

#[test]
fn an_emit_failed_and_left_a_record() {
    caught(B2, "is in the log and ended as", |s| {
        s.calm().log(&[5]);
        let failed = Kind::ActivityFailed { scheduled: 5 };
        s.run("r1", quiet().then(emit(5)).then(failed).task().list());
    });
}

// The history itself.

#[test]
fn an_answer_to_another_question() {
    caught(Malformed, "is not one to", |s| {
        s.ask(1, send(1), done());
    });
}

#[test]
fn a_partition_that_nobody_read_at_the_end() {
    caught(Incomplete, "was not read", |s| {
        s.ask(1, send(1), sent(0));
        s.calm();
    });
}
