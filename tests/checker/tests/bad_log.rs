//! Bad histories of the log, made by hand: each breaks one promise, and the judge names that one only.

mod common;

use checker::Invariant::*;
use checker::{Answer, Call, Delivery};
use common::*;

#[test]
fn an_acknowledged_record_is_gone_after_a_kill() {
    caught(L1, "is lost", |s| {
        s.ask(1, send(1), sent(0));
        s.ask(1, send(2), sent(1));
        s.kill(50);
        s.calm().log(&[1]);
    });
}

#[test]
fn an_acknowledged_record_has_other_bytes() {
    caught(L1, "where readers see", |s| {
        s.ask(1, send(1), sent(0));
        let mut damaged = record(0, 1);
        damaged.digest ^= 1;
        s.calm();
        let records = vec![damaged];
        let log = Answer::Log { start: 0, end: 1, records };
        s.ask(2, Call::ReadLog(partition()), ok(log));
    });
}

#[test]
fn an_unknown_record_has_other_bytes() {
    caught(L1, "is not what was sent", |s| {
        s.ask(1, send(1), unknown());
        let mut damaged = record(0, 1);
        damaged.key = None;
        s.ask(2, poll(), ok(Answer::Records(vec![damaged])));
    });
}

#[test]
fn a_reader_passes_over_an_acknowledged_record() {
    caught(L1, "passed over", |s| {
        s.ask(1, send(1), sent(0));
        s.ask(1, send(2), sent(1));
        s.ask(1, send(3), sent(2));
        s.ask(2, poll(), ok(Answer::Records(vec![record(0, 1), record(2, 3)])));
        s.calm().log(&[1, 2, 3]);
    });
}

#[test]
fn an_acknowledged_record_without_an_offset_is_nowhere() {
    caught(L1, "is nowhere", |s| {
        s.ask(1, send(1), ok(Answer::Sent { partition: 0, offset: None }));
        s.calm().log(&[]);
    });
}

#[test]
fn an_offset_holds_another_record_after_a_kill() {
    caught(L2, "first value 1", |s| {
        s.ask(1, send(1), unknown());
        s.ask(3, poll(), ok(Answer::Records(vec![record(0, 1)])));
        s.kill(50);
        s.ask(2, send_as("b", Delivery::Once, 2), unknown());
        s.ask(3, poll(), ok(Answer::Records(vec![record(0, 2)])));
    });
}

#[test]
fn an_offset_is_acknowledged_twice() {
    caught(L2, "acked for value 1 and for value 2", |s| {
        s.ask(1, send(1), sent(7));
        s.ask(2, send_as("b", Delivery::Once, 2), sent(7));
    });
}

#[test]
fn an_acknowledged_offset_steps_back() {
    caught(L2, "had been acked before", |s| {
        s.ask(1, send(1), sent(7));
        s.kill(50);
        s.ask(2, send_as("b", Delivery::Once, 2), sent(3));
    });
}

#[test]
fn a_reader_sees_an_offset_twice_in_a_row() {
    caught(L2, "after offset 0", |s| {
        s.ask(1, send(1), sent(0));
        s.ask(2, poll(), ok(Answer::Records(vec![record(0, 1), record(0, 1)])));
    });
}

#[test]
fn a_record_that_was_read_is_gone() {
    caught(L2, "was read and is gone", |s| {
        s.ask(1, send(1), unknown());
        s.ask(2, poll(), ok(Answer::Records(vec![record(0, 1)])));
        s.kill(50);
        s.calm().log(&[]);
    });
}

#[test]
fn the_log_has_a_hole() {
    caught(L2, "nothing at offset 0", |s| {
        s.ask(1, send(1), sent(1));
        s.calm();
        let log = Answer::Log { start: 0, end: 2, records: vec![record(1, 1)] };
        s.ask(2, Call::ReadLog(partition()), ok(log));
    });
}

#[test]
fn an_idempotent_send_is_there_twice() {
    caught(L3, "in the log 2 times", |s| {
        let op = s.ask(1, send(1), unknown());
        s.kill(50);
        s.ask(1, again(op, 1), sent(1));
        s.calm().log(&[1, 1]);
    });
}

#[test]
fn two_attempts_make_three_records() {
    caught(L3, "sent 2 time(s)", |s| {
        s.ask(1, send_as("b", Delivery::Once, 1), unknown());
        s.ask(1, send_as("b", Delivery::Once, 1), sent(2));
        s.calm().log(&[1, 1, 1]);
    });
}

#[test]
fn pipelined_sends_change_places() {
    caught(L4, "before its own record", |s| {
        let one = s.invoke(1, send(1));
        let two = s.invoke(1, send(2));
        s.settle(two, sent(0));
        s.settle(one, sent(1));
        s.calm().log(&[2, 1]);
    });
}

#[test]
fn repeated_sends_change_places() {
    caught(L4, "before its own record", |s| {
        let one = s.invoke(1, send(1));
        let two = s.invoke(1, send(2));
        s.settle(one, unknown());
        s.settle(two, unknown());
        s.ask(1, again(one, 1), sent(1));
        s.ask(1, again(two, 2), sent(0));
        s.calm().log(&[2, 1]);
    });
}

#[test]
fn a_later_send_comes_first() {
    caught(L4, "before its own record", |s| {
        s.ask(1, send_as("b", Delivery::Once, 1), sent(1));
        s.ask(1, send_as("b", Delivery::Once, 2), sent(0));
        s.calm().log(&[2, 1]);
    });
}

#[test]
fn a_committed_offset_steps_back_after_a_kill() {
    caught(L6, "later it is 5 again", |s| {
        s.ask(1, commit(5), done());
        s.ask(1, commit(9), done());
        s.kill(50);
        s.ask(1, committed(), ok(Answer::Committed(Some(5))));
    });
}

#[test]
fn a_committed_offset_is_forgotten() {
    caught(L6, "then there is nothing", |s| {
        s.ask(1, commit(5), done());
        s.ask(1, committed(), ok(Answer::Committed(None)));
    });
}

#[test]
fn an_offset_that_nobody_committed() {
    caught(L6, "never committed", |s| {
        s.ask(1, commit(5), refused());
        s.ask(1, committed(), ok(Answer::Committed(Some(5))));
    });
}

#[test]
fn what_an_unknown_commit_did_is_undone() {
    caught(L6, "later it is 5 again", |s| {
        s.ask(1, commit(5), done());
        s.ask(1, commit(9), unknown());
        s.ask(1, committed(), ok(Answer::Committed(Some(9))));
        s.ask(1, committed(), ok(Answer::Committed(Some(5))));
    });
}

#[test]
fn the_end_of_a_partition_steps_back() {
    caught(L6, "the end was 4", |s| {
        s.ask(1, Call::EndOffset(partition()), ok(Answer::Offset(4)));
        s.kill(50);
        s.ask(1, Call::EndOffset(partition()), ok(Answer::Offset(3)));
    });
}

#[test]
fn the_end_of_a_partition_is_below_an_acknowledged_record() {
    caught(L6, "the end was 8", |s| {
        s.ask(1, send(1), sent(7));
        s.ask(2, Call::EndOffset(partition()), ok(Answer::Offset(7)));
    });
}

#[test]
fn the_start_of_a_partition_moves_by_itself() {
    caught(L6, "nobody asked to delete", |s| {
        s.ask(1, Call::DeleteRecords(place(3)), ok(Answer::Offset(3)));
        s.ask(1, Call::StartOffset(partition()), ok(Answer::Offset(4)));
    });
}

#[test]
fn deleted_records_come_back() {
    caught(L6, "starts at 0 later", |s| {
        s.ask(1, Call::DeleteRecords(place(3)), ok(Answer::Offset(3)));
        s.kill(50);
        s.ask(1, Call::StartOffset(partition()), ok(Answer::Offset(0)));
    });
}

#[test]
fn a_record_that_nobody_sent() {
    caught(L7, "sent by nobody", |s| {
        s.ask(1, send(1), sent(0));
        s.calm().log(&[1, 77]);
    });
}

#[test]
fn a_record_of_another_topic() {
    caught(L7, "sent elsewhere", |s| {
        let mut elsewhere = send(1);
        if let Call::Send { topic, .. } = &mut elsewhere {
            *topic = "u".into();
        }
        s.ask(1, elsewhere, unknown());
        s.ask(2, poll(), ok(Answer::Records(vec![record(0, 1)])));
    });
}

#[test]
fn a_refused_send_is_in_the_log() {
    caught(Refused, "was refused (no)", |s| {
        s.ask(1, send(1), refused());
        s.calm().log(&[1]);
    });
}
