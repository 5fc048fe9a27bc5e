//! Every bound of this machine, with its default. The figures are Temporal's own defaults
//! unless said otherwise.

use std::time::Duration;

/// Bounds of the machine.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Workflow ids, activity ids, timer ids, signal names, task queues, request ids.
    pub id_length_bytes: usize,
    /// Pending activities of one run.
    pub pending_activities_count: usize,
    /// Signals of one run.
    pub signals_per_run_count: u64,
    /// Events that wait for the running workflow task.
    pub buffered_events_count: usize,
    /// Bytes of the events that wait for the running workflow task.
    pub buffered_bytes: usize,
    /// Bytes that time brings about for one run in one entry, roughly; the rest follows in the next.
    pub expired_bytes: usize,
    /// Tasks that a worker which shuts down gives back at once; more go back when their sticky
    /// queue's time is up.
    pub shutdown_tasks_count: usize,
    /// Queries that wait for the next workflow task of one run. Temporal allows 1; we see no
    /// reason to be that strict.
    pub buffered_queries_count: usize,
    /// Events from which a worker is told to continue as new.
    pub suggest_continue_as_new_event_count: i64,
    /// Bytes from which a worker is told to continue as new.
    pub suggest_continue_as_new_bytes: u64,
    /// Events at which a run is terminated.
    pub history_event_count: i64,
    /// Bytes of history at which a run is terminated.
    pub history_bytes: u64,
    /// Default workflow task timeout (start to close).
    pub workflow_task_timeout: Duration,
    /// How long a worker may keep a workflow task alive by empty completions.
    pub workflow_task_heartbeat_timeout: Duration,
    /// A sticky queue that no poller has touched for this long is not used.
    pub sticky_poller_ttl: Duration,
    /// Request ids remembered per workflow id.
    pub request_ids_count: usize,
    /// How long they are remembered.
    pub request_ids_ttl: Duration,
    /// An activity's last failure is kept up to this size in the run's state.
    pub activity_failure_bytes: usize,
    /// Pollers waiting on one queue.
    pub pollers_per_queue_count: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            id_length_bytes: 1_000,
            pending_activities_count: 2_000,
            signals_per_run_count: 10_000,
            buffered_events_count: 1_000,
            buffered_bytes: 8 << 20,
            expired_bytes: 1 << 20,
            shutdown_tasks_count: 1_000,
            buffered_queries_count: 100,
            suggest_continue_as_new_event_count: 4_096,
            suggest_continue_as_new_bytes: 4 << 20,
            history_event_count: 51_200,
            history_bytes: 50 << 20,
            workflow_task_timeout: Duration::from_secs(10),
            workflow_task_heartbeat_timeout: Duration::from_secs(30 * 60),
            sticky_poller_ttl: Duration::from_secs(10),
            request_ids_count: 10_000,
            request_ids_ttl: Duration::from_secs(24 * 3600),
            activity_failure_bytes: 4 << 10,
            pollers_per_queue_count: 10_000,
        }
    }
}
