//! The Temporal front: gRPC bytes to asks, and answers back to bytes. Nothing else.
//!
//! Invariants: a history is served as the journal's bytes and never decoded; whatever waits is
//! answered when the server stops; a task that does not reach its worker is given back. Nothing
//! here knows the rules of executions, and every RPC that is not served is refused by name.

mod backend;
mod budget;
mod codec;
mod deadline;
mod delivery;
mod dispatch;
mod elements;
mod front;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod generated;
mod history;
mod incoming;
mod options;
mod page;
mod page_token;
mod poll;
mod server;
mod service;
mod status;
mod system;
mod twins;
mod wire;

#[cfg(test)]
mod tests;

pub use options::Options;
pub use server::{Error, serve, service};
