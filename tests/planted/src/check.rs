//! Which test finds which bug: one line an entry.
//!
//! `docs/planted-bugs.md` is written from this table (`UPDATE=1 cargo test -p planted`).

use base::planted::Bug;

/// A bug, and the test that must find it.
#[derive(Clone, Copy, Debug)]
pub struct Check {
    /// What is planted.
    pub bug: Bug,
    /// The test executable: the name with which it calls [`crate::gate`].
    pub executable: &'static str,
    /// The test, by its full name in the executable; for a program its command line.
    pub test: &'static str,
    /// Part of what the test says when it finds this bug.
    pub finding: &'static str,
    /// About how long that takes in a debug build on two cores, rounded up.
    pub seconds: u32,
}

const fn check(
    bug: Bug,
    executable: &'static str,
    test: &'static str,
    finding: &'static str,
    seconds: u32,
) -> Check {
    Check { bug, executable, test, finding, seconds }
}

/// Every bug is found at least once. Of a bug, the cheapest check stands first.
#[rustfmt::skip]
pub const CHECKS: &[Check] = &[

    check(Bug::AckBeforeFsync, "journal", "tests::crash::whatever_was_acknowledged_survives_a_power_cut_here_and_there", "what was seen once stays", 1),
    check(Bug::AckBeforeFsync, "node/facts", "whenever_the_power_goes_nothing_acknowledged_is_lost", "an acknowledged record is gone", 1),
    check(Bug::SkipDirectoryFsync, "journal", "tests::crash::whatever_was_acknowledged_survives_a_power_cut_here_and_there", "what was seen once stays", 1),
    check(Bug::SkipDirectoryFsync, "node/facts", "whenever_the_power_goes_nothing_acknowledged_is_lost", "an acknowledged record is gone", 1),
    check(Bug::RetryFailedFsync, "journal", "tests::crash::after_an_error_the_committer_does_nothing_more", "a failed call is not made again", 1),
    check(Bug::DropLastGroupOnRecovery, "journal", "tests::crash::the_same_script_makes_the_same_calls_and_bytes", "what was committed is there after a restart", 1),
    check(Bug::DropLastGroupOnRecovery, "node/facts", "whenever_the_power_goes_nothing_acknowledged_is_lost", "an acknowledged record is gone", 1),
    check(Bug::TornTailServed, "journal", "tests::tail::t5_junk_behind_the_cut_changes_nothing", "the blob's CRC does not match", 1),
    check(Bug::MiddleDamageCutAsTail, "journal", "tests::damage::a_sealed_group_is_proven_and_damage_to_it_refused", "damage of what was durable is refused", 1),
    check(Bug::UnprovenBytesTrusted, "journal", "tests::attacks::old_frames_uncovered_by_a_lost_cut_are_cut_again", "proves that there was one", 1),
    check(Bug::DamagedBytesServed, "journal", "tests::damage::a_read_of_damaged_bytes_is_refused", "a wrong byte is served", 1),
    check(Bug::CloseFrameNotSynced, "journal", "tests::attacks::a_start_that_has_to_roll_survives_a_power_cut_at_every_call", "no valid frame, but", 2),
    check(Bug::NoRoomKeptForEmergencies, "journal", "tests::life::a_full_disk_refuses_before_appending_and_resumes", "half a segment was kept for it", 1),
    check(Bug::ReuseOffsetAfterRestart, "topics", "a_producers_last_five_batches_are_remembered", "resuming changes no fact", 1),
    check(Bug::ReuseOffsetAfterRestart, "node/facts", "acknowledged_records_survive_a_power_cut", "an offset names one record for ever", 1),
    check(Bug::ForgetProducerState, "topics", "a_producers_last_five_batches_are_remembered", "resuming changes no fact", 1),
    check(Bug::CommittedOffsetNotJournaled, "topics/walk", "everybody_is_answered_in_the_end", "resuming changes no fact", 1),
    check(Bug::ZombieCommitAccepted, "topics/scripts", "scripts", "commit.txt gives now", 1),
    check(Bug::TimerOnlyInMemory, "workflows", "kill::a_death_after_any_entry_changes_nothing", "time knows the deadline of", 1),
    check(Bug::TimerFiredTwiceAfterReplay, "workflows", "walk::walks", "recovery gives another state", 1),
    check(Bug::SignalAppliedTwice, "workflows", "kill::a_death_after_any_entry_changes_nothing", "died after entry", 3),
    check(Bug::RequestIdsForgotten, "workflows", "kill::a_death_after_any_entry_changes_nothing", "recovery gives another state", 1),
    check(Bug::ReadyTaskNotRebuilt, "workflows", "kill::a_death_after_any_entry_changes_nothing", "can be polled if it is ready", 1),
    check(Bug::TaskLostWhenPollerDies, "workflows", "scripts", "y has no task", 3),
    check(Bug::AtMostOnceTaskHandedAgain, "workflows", "scripts", "delivery.txt gives now", 1),
    check(Bug::LateAnswerAccepted, "workflows", "scripts", "late_answer.txt gives now", 1),
    check(Bug::SuccessorFirstTaskLost, "workflows", "scripts", "waits for nothing", 2),
    check(Bug::LostBufferedSignalOnContinueAsNew, "workflows", "walk::walks", "is on record once", 2),
    check(Bug::BridgeCursorSavedBeforeTheSignal, "node/routes", "a_record_that_is_done_has_had_its_effect_whenever_the_node_dies", "each record is delivered once and none is lost", 1),
    check(Bug::DeadLetterNotWritten, "node/routes", "a_closed_workflow_is_what_the_route_says", "what is not delivered is a dead letter", 1),
    check(Bug::RecordDroppedAtFullMailbox, "node/routes", "a_full_mailbox_stops_its_own_lane_only_and_loses_nothing", "what a full mailbox refuses is not done", 1),
    check(Bug::RefusalSentBeforeItsCauseIsDurable, "node", "writer::tests::nothing_leaves_before_what_it_depends_on_is_on_disk", "nobody is answered before the disk has it", 1),
    check(Bug::ReadBeforeDurable, "node", "writer::tests::nothing_leaves_before_what_it_depends_on_is_on_disk", "nobody reads before the disk has it", 1),
    check(Bug::AnswerBeforePublication, "node", "held::tests::who_is_told_of_a_record_can_read_it", "readers come first", 1),
    check(Bug::FullDiskRefusalAfterApply, "node", "writer::tests::a_full_disk_refuses_writes_and_serves_reads", "what was refused has left no trace", 1),
    check(Bug::FullDiskRefusalAfterApply, "node/facts", "a_full_disk_refuses_and_recovers_without_a_restart", "what was refused has left no trace", 1),
    check(Bug::TimeGoesBackAfterRestart, "node/facts", "time_never_goes_back_over_a_restart", "time goes on where the journal ends", 1),
    check(Bug::UnboundedDecode, "kafka", "wire::tests::a_request_has_a_budget_of_elements", "elements fit", 1),
    check(Bug::UnboundedDecode, "fuzz-targets", "run kafka-request --seconds 0 --seed 1", "it holds", 1),
    check(Bug::AckBeforeFsync, "sim", "run --seeds 0..1", "proves that", 2),
    check(Bug::SkipDirectoryFsync, "sim", "run --seeds 1..2", "cannot be read", 2),
    check(Bug::RetryFailedFsync, "sim", "run --seeds 1..2", "proves that", 2),
    check(Bug::DropLastGroupOnRecovery, "sim", "run --seeds 0..1", "E5", 2),
    check(Bug::ReuseOffsetAfterRestart, "sim", "run --seeds 0..1", "E5", 2),
    check(Bug::ForgetProducerState, "sim", "run --seeds 0..1", "E5", 2),
    check(Bug::CommittedOffsetNotJournaled, "sim", "run --seeds 0..1", "E5", 2),
    check(Bug::TimerOnlyInMemory, "sim", "run --seeds 0..1", "time knows the deadline of", 2),
    check(Bug::TimerFiredTwiceAfterReplay, "sim", "run --seeds 0..1", "E5", 2),
    check(Bug::SignalAppliedTwice, "sim", "run --seeds 14..15", "E2", 2),
    check(Bug::ReadyTaskNotRebuilt, "sim", "run --seeds 0..1", "can be polled if it is ready", 2),
    check(Bug::SuccessorFirstTaskLost, "sim", "run --seeds 3..4", "waits for nothing", 2),
    check(Bug::BridgeCursorSavedBeforeTheSignal, "sim", "run --seeds 1..2", "B1", 2),
    check(Bug::ReadBeforeDurable, "sim", "run --seeds 0..1", "L1", 2),
    check(Bug::RequestIdsForgotten, "sim", "run --seeds 0..1", "E5", 2),
    check(Bug::UnprovenBytesTrusted, "sim", "run --seeds 1..2", "proves that", 2),
    check(Bug::TornTailServed, "sim", "run --seeds 1..2", "cannot be replayed", 2),
];
