//! A whole node in simulation: its disk, its clock and its clients are simulated, everything else
//! is what production runs. One seed is one run; the same seed gives the same run again.
//!
//! One thread runs everything. The writer and the committer get their turns from [`lives`], the
//! node's tasks and the clients from a tokio runtime with a paused clock, so that hours pass in
//! milliseconds and nothing depends on the machine. Clients speak the real protocols to the real
//! fronts: Kafka's bytes through streams in memory, Temporal's requests through the gRPC codec.
//! They write down what they see; the crate `checker` judges it.

pub mod activity_worker;
pub mod bell;
pub mod clock;
mod codec;
pub mod consumer;
pub mod events;
pub mod final_reads;
pub mod history;
pub mod intent;
pub mod kafka_client;
mod known_runs;
pub mod lives;
mod log_client;
mod membership;
pub mod network;
mod order;
pub mod plan;
pub mod producer;
pub mod program;
pub mod random;
pub mod reader;
pub mod records;
pub mod run;
pub mod stage;
pub mod starter;
mod story;
pub mod surroundings;
pub mod topic_layout;
pub mod workflow_worker;
