//! The judge: one pass that joins, then each promise by itself.

use crate::Line;
use crate::executions::Executions;
use crate::finding::{Invariant, Report};
use crate::history::{History, Op};
use crate::log::Log;
use crate::{Answer, Call};

/// Judges the history of a run: the lines of all its files, in any order of files. Takes
/// n log n time.
pub fn check(lines: &[Line]) -> Report {
    let mut report = Report::default();
    let history = History::new(lines, &mut report);
    for op in &history.ops {
        answers_fit(op, &mut report);
    }
    let log = Log::new(&history, &mut report);
    let executions = Executions::new(&history, &mut report);
    let emitted = executions.emitted(&history);
    log.check(&history, &emitted, &mut report);
    executions.check(&history, &log, &mut report);
    report
}

/// An answer of another kind than the question is a mistake of the one who wrote it down.
fn answers_fit(op: &Op<'_>, report: &mut Report) {
    report.look(Invariant::Malformed);
    let Some(answer) = op.answer() else { return };
    let fits = match op.call {
        Call::Send { .. } => matches!(answer, Answer::Sent { .. }),
        Call::Poll { .. } => matches!(answer, Answer::Records(_)),
        Call::ReadLog(_) => matches!(answer, Answer::Log { .. }),
        Call::EndOffset(_) | Call::StartOffset(_) | Call::DeleteRecords(_) => {
            matches!(answer, Answer::Offset(_))
        }
        Call::FetchCommitted { .. } => matches!(answer, Answer::Committed(_)),
        Call::Start { .. } | Call::SignalWithStart { .. } => {
            matches!(answer, Answer::Started { .. })
        }
        Call::Describe { .. } => matches!(answer, Answer::Described { .. }),
        Call::History { .. } => matches!(answer, Answer::History { .. }),
        Call::PollWorkflowTask { .. } => {
            matches!(answer, Answer::WorkflowTask { .. } | Answer::Nothing)
        }
        Call::PollActivityTask { .. } => {
            matches!(answer, Answer::ActivityTask { .. } | Answer::Nothing)
        }
        Call::Commit { .. }
        | Call::Signal { .. }
        | Call::RequestCancel { .. }
        | Call::Terminate { .. }
        | Call::EndWorkflowTask { .. }
        | Call::EndActivityTask { .. }
        | Call::Heartbeat { .. } => *answer == Answer::Done,
    };
    if !fits {
        report.find(Invariant::Malformed, [op.id], || {
            format!("the answer {answer:?} is not one to {:?}", op.call)
        });
    }
}
