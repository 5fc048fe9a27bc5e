//! Good histories, with kills, repetitions and unknown outcomes: none of them raises anything.

mod common;

use checker::{
    ActivityEnd, Answer, Call, Declaration, Delivery, Invariant, Kind, Line, Outcome, Partition,
    PendingActivity, Refusal, Status,
};
use common::*;

fn good(tell: impl FnOnce(&mut Story)) {
    let mut story = Story::with_route();
    tell(&mut story);
    let report = story.report();
    assert!(report.is_clean(), "{report}");
}

#[test]
fn unknown_sends_may_be_there_or_not() {
    good(|s| {
        s.ask(1, send(1), unknown());
        s.ask(1, send(2), unknown());
        let lost = s.invoke(1, send(3));
        s.kill(50);
        let repeated = s.ask(1, again(lost, 3), unknown());
        s.ask(1, again(repeated, 3), sent(1));
        s.calm().log(&[2, 3]);
        s.run("r1", Events::new(first(9)).then(routed(0, 2)).then(routed(1, 3)).task().list());
    });
}

#[test]
fn sends_at_the_same_time_come_in_any_order() {
    good(|s| {
        let (one, two) = (s.invoke(1, send_as("b", Delivery::Once, 1)), s.invoke(2, send(2)));
        let three = s.invoke(1, send_as("b", Delivery::Once, 3));
        s.settle(two, sent(1));
        s.settle(one, sent(2));
        s.settle(three, sent(0));
    });
}

#[test]
fn a_library_that_repeats_makes_copies() {
    good(|s| {
        s.ask(1, send_as("b", Delivery::Repeated, 1), sent(2));
        s.ask(2, poll(), ok(Answer::Records(records(&[1, 1, 1]))));
        s.ask(2, Call::EndOffset(partition()), ok(Answer::Offset(3)));
    });
}

#[test]
fn a_reader_begins_again_after_a_kill() {
    good(|s| {
        s.ask(1, send(1), sent(0));
        s.ask(1, send(2), sent(1));
        s.ask(2, poll(), ok(Answer::Records(records(&[1, 2]))));
        s.kill(50);
        s.ask(2, poll(), ok(Answer::Records(records(&[1, 2]))));
        s.ask(2, poll(), ok(Answer::Records(Vec::new())));
    });
}

#[test]
fn deleted_records_are_not_lost() {
    good(|s| {
        s.ask(1, send(1), sent(0));
        s.ask(1, send(2), sent(1));
        s.ask(1, Call::DeleteRecords(place(1)), ok(Answer::Offset(1)));
        s.calm();
        let log = Answer::Log { start: 1, end: 2, records: vec![record(1, 2)] };
        s.ask(2, Call::ReadLog(partition()), ok(log));
        s.run("r1", Events::new(first(9)).then(routed(0, 1)).then(routed(1, 2)).task().list());
    });
}

#[test]
fn commits_step_back_when_asked() {
    good(|s| {
        s.ask(1, committed(), ok(Answer::Committed(None)));
        s.ask(1, commit(9), done());
        s.ask(1, commit(5), done());
        s.ask(1, committed(), ok(Answer::Committed(Some(5))));
        s.ask(1, commit(7), unknown());
        s.ask(1, committed(), ok(Answer::Committed(Some(5))));
        s.kill(50);
        s.ask(1, committed(), ok(Answer::Committed(Some(7))));
        s.ask(1, commit(11), refused());
        let early = s.invoke(2, committed());
        s.ask(1, commit(12), done());
        s.settle(early, ok(Answer::Committed(Some(7))));
        s.ask(1, committed(), ok(Answer::Committed(Some(12))));
    });
}

#[test]
fn a_start_is_repeated_and_joined() {
    good(|s| {
        s.ask(1, start("q1", 1), unknown());
        s.kill(50);
        s.ask(1, start("q1", 1), started("r1"));
        s.ask(1, start("q1", 1), started("r1"));
        let there = Refusal::AlreadyStarted { run_id: "r1".into() };
        s.ask(2, start("q2", 2), Outcome::Fail(there));
        s.ask(2, start("q3", 3), ok(Answer::Started { run_id: "r1".into(), started: false }));
        s.calm().run("r1", Events::new(first(1)).task().list());
    });
}

#[test]
fn signals_are_repeated_and_may_be_unknown() {
    good(|s| {
        s.ask(1, start("q1", 1), started("r1"));
        s.ask(1, signal("q2", 2), unknown());
        s.ask(1, signal("q3", 3), unknown());
        s.kill(50);
        s.ask(1, signal("q3", 3), done());
        s.ask(1, signal("q3", 3), done());
        s.ask(1, signal("q4", 4), refused());
        s.ask(1, signal("q4b", 4), done());
        let events = Events::new(first(1)).task().then(signaled(3)).then(signaled(4)).task();
        s.calm().run("r1", events.list());
    });
}

#[test]
fn a_signal_is_refused_after_the_end() {
    good(|s| {
        s.ask(1, start("q1", 1), started("r1"));
        s.now_us += 10_000_000;
        s.ask(1, signal("q2", 2), Outcome::Fail(Refusal::NotFound));
        let events = Events::new(first(1)).task().then(closed(Status::Completed, None));
        s.calm().run("r1", events.list());
    });
}

#[test]
fn a_timer_waits_for_the_node() {
    good(|s| {
        s.ask(1, start("q1", 1), started("r1"));
        s.now_us = 1_050_000;
        s.kill(30_000);
        s.kill(5_000);
        let events = Events::new(first(1)).task().then(timer(100)).then(timer(3_600_000));
        let events = events.after_ms(35_060).then(Kind::TimerFired { started: 5 });
        s.calm().run("r1", events.task().list());
    });
}

#[test]
fn activities_fail_time_out_and_are_tried_again() {
    good(|s| {
        s.ask(2, poll_activity(), activity_task(1));
        s.effect();
        s.ask(2, heartbeat(1), done());
        s.ask(2, end_activity(1, ActivityEnd::Failed), done());
        s.now_us += 1_000_000;
        s.ask(2, poll_activity(), unknown());
        s.kill(50);
        s.ask(3, poll_activity(), activity_task(2));
        s.kill(50);
        s.ask(4, poll_activity(), activity_task(2));
        s.effect();
        s.ask(3, end_activity(2, ActivityEnd::Completed(Some(8))), unknown());
        s.ask(
            4,
            end_activity(2, ActivityEnd::Completed(Some(9))),
            Outcome::Fail(Refusal::NotFound),
        );
        s.ask(
            2,
            end_activity(1, ActivityEnd::Completed(Some(7))),
            Outcome::Fail(Refusal::NotFound),
        );
        let events = Events::new(first(1)).task().then(activity(Some(60_000), 0));
        let started = Kind::ActivityStarted { scheduled: 5, attempt: 2 };
        let events = events.after_ms(9_000).then(started).then(activity_done(5, 8));
        s.calm().run("r1", events.task().list());
    });
}

#[test]
fn a_run_is_continued_and_its_route_goes_on() {
    good(|s| {
        s.ask(1, send(1), sent(0));
        s.ask(1, send(2), sent(1));
        s.ask(1, send(3), sent(2));
        s.calm().log(&[1, 2, 3]);
        let one = Events::new(first(9)).then(routed(0, 1)).task();
        s.run("r1", one.then(closed(Status::ContinuedAsNew, Some("r2"))).list());
        let two = Events::new(successor_of("r1")).then(routed(1, 2)).then(routed(2, 3)).task();
        s.run("r2", two.list());
    });
}

#[test]
fn an_emit_is_one_record() {
    let mut story = Story::new();
    story.calm().log(&[5]);
    story.run("r1", Events::new(first(1)).task().then(emit(5)).then(published(5, 0)).task().list());
    let report = story.report();
    assert!(report.is_clean() && report.judged(Invariant::B2) == 1, "{report}");
}

#[test]
fn a_dead_letter_is_not_lost() {
    good(|s| {
        let foreign_topics = vec!["t.dead-letter".into()];
        s.line(Line::Declare(Declaration { foreign_topics, ..Declaration::default() }));
        s.ask(1, send(1), sent(0));
        s.calm().log(&[1]);
        let dead = checker::Record { topic: "t.dead-letter".into(), ..record(0, 1) };
        let name = Partition { topic: "t.dead-letter".into(), partition: 0 };
        let log = Answer::Log { start: 0, end: 1, records: vec![dead] };
        s.ask(2, Call::ReadLog(name), ok(log));
        s.run("r1", Events::new(first(9)).task().list());
    });
}

#[test]
fn a_clock_steps_back() {
    good(|s| {
        let op = s.invoke(1, send(1));
        s.now_us -= 500_000;
        s.settle(op, sent(0));
    });
}

#[test]
fn an_activity_id_is_used_again() {
    good(|s| {
        let twice = |s: &mut Story, value| {
            s.ask(2, poll_activity(), activity_task(1));
            s.effect();
            s.ask(2, end_activity(1, ActivityEnd::Completed(Some(value))), done());
        };
        twice(s, 8);
        twice(s, 9);
        let started = |scheduled| Kind::ActivityStarted { scheduled, attempt: 1 };
        let events = Events::new(first(1)).task().then(activity(None, 0)).then(started(5));
        let events = events.then(activity_done(5, 8)).task().then(activity(None, 0));
        let events = events.then(started(11)).then(activity_done(11, 9)).task();
        s.calm().run("r1", events.list());
    });
}

#[test]
fn what_waits_for_something_is_not_stuck() {
    good(|s| {
        s.ask(1, start("q1", 1), started("r1"));
        let events = Events::new(first(1)).task().then(activity(None, 0)).then(timer(36_000_000));
        s.calm().run("r1", events.list());
        let call = Call::Describe { workflow_id: "w".into(), run_id: None };
        let next_at_us = Some(s.now_us + 60_000_000);
        let pending = PendingActivity { activity_id: "x".into(), attempt: 4, next_at_us };
        let (run_id, status) = ("r1".into(), Status::Running);
        let described =
            Answer::Described { run_id, status, workflow_task: None, activities: vec![pending] };
        s.ask(1, call, ok(described));
    });
}

#[test]
fn without_a_last_look_nothing_is_said_to_be_missing() {
    good(|s| {
        s.ask(1, send(1), sent(0));
        s.ask(1, start("q1", 1), started("r1"));
        s.ask(1, signal("q2", 2), done());
        s.ask(2, poll_workflow(), workflow_task(2, 3, 1));
        s.run("r1", Events::new(first(1)).then(Kind::WorkflowTaskScheduled { attempt: 1 }).list());
    });
}

#[test]
fn without_a_last_look_a_workflow_may_have_sent_it() {
    good(|s| {
        s.ask(1, signal("q2", 2), done());
        s.ask(2, poll(), ok(Answer::Records(records(&[77]))));
    });
}

#[test]
fn what_was_looked_at_is_counted() {
    let mut story = Story::new();
    story.ask(1, send(1), sent(0));
    assert_eq!(story.report().judged(Invariant::L1), 0, "nobody read anything");
    story.ask(2, poll(), ok(Answer::Records(records(&[1]))));
    assert_eq!(story.report().judged(Invariant::L1), 1);
    assert_eq!(story.report().judged(Invariant::E2), 0);
}
