//! Planted bugs: mistakes that careless engineers make, to find out whether our tests find them.
//!
//! Invariants: without the feature `planted` every hook is the constant `false` and leaves nothing
//! in the binary; with it, nothing differs unless the environment variable [`VARIABLE`] names a
//! bug, once per process. Refuses: a name it does not know ends the process.

use std::fmt;

/// The environment variable that chooses a bug.
pub const VARIABLE: &str = "MAINSTAY_PLANTED_BUG";

/// Whether this build has the hooks.
pub const COMPILED_IN: bool = cfg!(feature = "planted");

/// One line a bug: variant, name, what it does, which promise it breaks.
macro_rules! bugs {
    ($($variant:ident $name:literal $does:literal $breaks:literal)*) => {
        /// A mistake that can be planted.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Bug {
            $(#[doc = $does] $variant,)*
        }

        impl Bug {
            /// Every bug there is.
            pub const ALL: &[Bug] = &[$(Bug::$variant,)*];

            /// As the environment variable names it.
            pub const fn name(self) -> &'static str {
                match self { $(Bug::$variant => $name,)* }
            }

            /// What goes wrong.
            pub const fn does(self) -> &'static str {
                match self { $(Bug::$variant => $does,)* }
            }

            /// The promise that is broken by it.
            pub const fn breaks(self) -> &'static str {
                match self { $(Bug::$variant => $breaks,)* }
            }
        }
    };
}

bugs! {
    AckBeforeFsync
        "ack-before-fsync"
        "groups are acknowledged before they are synced"
        "what was acknowledged survives a power cut"
    SkipDirectoryFsync
        "skip-directory-fsync"
        "a new segment's name is never synced"
        "what was acknowledged survives a power cut, in every segment"
    RetryFailedFsync
        "retry-failed-fsync"
        "a failed fsync is tried once more and then believed"
        "after a failed fsync nothing is acknowledged"
    DropLastGroupOnRecovery
        "drop-last-group-on-recovery"
        "the last group is cut as torn although it is whole"
        "what was acknowledged survives a kill"
    TornTailServed
        "torn-tail-served"
        "replay does not check the CRCs of payloads"
        "a torn entry is cut, never replayed"
    MiddleDamageCutAsTail
        "middle-damage-cut-as-tail"
        "damage below a later frame is cut like a torn tail"
        "damage of what was durable is refused by name"
    UnprovenBytesTrusted
        "unproven-bytes-trusted"
        "what was read at start is not written once more"
        "what was seen once stays, also after a failed fsync"
    DamagedBytesServed
        "damaged-bytes-served"
        "reads do not check the CRC of what they read"
        "no wrong byte is ever served"
    CloseFrameNotSynced
        "close-frame-not-synced"
        "a segment is left before its close frame is synced"
        "what was acknowledged survives a power cut, in every segment"
    NoRoomKeptForEmergencies
        "no-room-kept-for-emergencies"
        "everyone may use the room that is kept for what frees room"
        "a full disk can be emptied, and work can end"
    ReuseOffsetAfterRestart
        "reuse-offset-after-restart"
        "a partition goes on at its last offset instead of after it"
        "an offset names one record for ever"
    ForgetProducerState
        "forget-producer-state"
        "the windows of idempotent producers are lost at a restart"
        "a batch sent again over a restart is not appended again"
    CommittedOffsetNotJournaled
        "committed-offset-not-journaled"
        "committed offsets are lost at a restart"
        "a group goes on where it committed"
    ZombieCommitAccepted
        "zombie-commit-accepted"
        "a member of an older generation may commit"
        "committed offsets never step back unasked"
    TimerOnlyInMemory
        "timer-only-in-memory"
        "what time will make due is not derived again at a restart"
        "every timer fires"
    TimerFiredTwiceAfterReplay
        "timer-fired-twice-after-replay"
        "a timer that fired into the buffer is armed again at a restart"
        "every timer fires once"
    SignalAppliedTwice
        "signal-applied-twice"
        "request ids of signals are not looked up"
        "a signal sent again is not applied again"
    RequestIdsForgotten
        "request-ids-forgotten"
        "the request ids of a workflow id are lost at a restart"
        "a signal or a start sent again over a restart is not applied again"
    ReadyTaskNotRebuilt
        "ready-task-not-rebuilt"
        "ready tasks are not put on their queues at a restart"
        "a ready task reaches a worker"
    TaskLostWhenPollerDies
        "task-lost-when-poller-dies"
        "a task whose poller has gone is not handed to the next one"
        "a started task reaches a worker"
    AtMostOnceTaskHandedAgain
        "at-most-once-task-handed-again"
        "a restart hands an activity out again that allows one attempt"
        "an activity with one attempt is with one worker"
    LateAnswerAccepted
        "late-answer-accepted"
        "the answer of an earlier attempt ends an activity"
        "one answer is accepted, and attempts count right"
    SuccessorFirstTaskLost
        "successor-first-task-lost"
        "the run after a continue-as-new or a retry gets no first task"
        "an open run makes progress"
    LostBufferedSignalOnContinueAsNew
        "lost-buffered-signal-on-continue-as-new"
        "signals that a closing run has buffered do not move to its successor"
        "an acknowledged signal is in a history"
    BridgeCursorSavedBeforeTheSignal
        "bridge-cursor-saved-before-the-signal"
        "a route's position and what the record causes are two entries"
        "a routed record is delivered once, never lost"
    DeadLetterNotWritten
        "dead-letter-not-written"
        "a record that cannot be delivered is passed over"
        "nothing is dropped in silence"
    RecordDroppedAtFullMailbox
        "record-dropped-at-full-mailbox"
        "a record whose workflow takes no more signals now counts as done"
        "a routed record is delivered once, never lost"
    RefusalSentBeforeItsCauseIsDurable
        "refusal-sent-before-its-cause-is-durable"
        "a refusal does not wait for the entries it was decided on"
        "nobody learns what a crash can take back"
    ReadBeforeDurable
        "read-before-durable"
        "records are readable before their entry is on disk"
        "nobody learns what a crash can take back"
    AnswerBeforePublication
        "answer-before-publication"
        "a producer is answered before readers can see its record"
        "who is told of an offset can read it"
    FullDiskRefusalAfterApply
        "full-disk-refusal-after-apply"
        "what a full disk refuses has been applied already"
        "what was refused has left no trace"
    TimeGoesBackAfterRestart
        "time-goes-back-after-restart"
        "the clock starts where the wall is, not where the journal ends"
        "time never goes back"
    UnboundedDecode
        "unbounded-decode"
        "an array is allocated by the count that the client announces"
        "memory is bounded, whatever a client sends"
}

impl Bug {
    /// The bug of this name.
    pub fn named(name: &str) -> Option<Bug> {
        Bug::ALL.iter().copied().find(|bug| bug.name() == name)
    }
}

impl fmt::Display for Bug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Whether this process has this bug.
#[cfg(not(feature = "planted"))]
#[inline]
pub const fn is(_bug: Bug) -> bool {
    false
}

#[cfg(feature = "planted")]
pub use chosen::is;

#[cfg(feature = "planted")]
mod chosen {
    //! The bug of this process, read once.

    use super::{Bug, VARIABLE};
    use std::sync::OnceLock;

    /// Not a configuration that can be carried out.
    const EXIT_UNUSABLE: i32 = 2;

    /// Whether this process has this bug.
    #[inline]
    pub fn is(bug: Bug) -> bool {
        static CHOSEN: OnceLock<Option<Bug>> = OnceLock::new();
        *CHOSEN.get_or_init(choose) == Some(bug)
    }

    fn choose() -> Option<Bug> {
        let name = std::env::var_os(VARIABLE).filter(|name| !name.is_empty())?;
        let bug = name.to_str().and_then(Bug::named);
        if bug.is_none() {
            refuse(&name.to_string_lossy());
        }
        bug
    }

    #[allow(clippy::print_stderr, reason = "the process ends here, and says why")]
    fn refuse(name: &str) {
        let known: Vec<&str> = Bug::ALL.iter().map(|bug| bug.name()).collect();
        eprintln!("{VARIABLE}={name}: there is no such bug; there are: {}", known.join(", "));
        std::process::exit(EXIT_UNUSABLE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_name_is_kebab_case_and_names_one_bug() {
        let names: BTreeSet<&str> = Bug::ALL.iter().map(|bug| bug.name()).collect();
        assert_eq!(names.len(), Bug::ALL.len());
        for bug in Bug::ALL {
            let kebab = |c: char| c.is_ascii_lowercase() || c == '-';
            assert!(bug.name().chars().all(kebab), "{bug}");
            assert_eq!(Bug::named(bug.name()), Some(*bug));
        }
        assert_eq!(Bug::named("no-such-bug"), None);
    }

    #[cfg(not(feature = "planted"))]
    #[test]
    fn without_the_feature_no_bug_is_there() {
        const { assert!(!COMPILED_IN && !is(Bug::AckBeforeFsync)) }
    }
}
