//! The Kafka front: bytes to asks and answers to bytes, nothing else.
//!
//! Invariants: no rule of topics or groups is decided here; what a client may see comes from the
//! published log or in an answer of the node, so it is durable; answers leave in the order of
//! their requests; nothing is allocated from a length or a count before it is checked against
//! the bytes that are really there; memory per connection and in total has a bound. Client input
//! never panics: what cannot be understood closes the connection with a warning.

mod api;
mod backend;
mod budget;
mod connection;
mod damaged;
mod dispatch;
mod frame;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod node_backend;
mod options;
mod server;
mod table;
mod wire;

#[cfg(test)]
mod fake;
#[cfg(test)]
#[path = "../tests/support/mod.rs"]
mod support;

pub use options::{Advertised, Limits, Options};
pub use server::{Addresses, Front, serve};

#[cfg(test)]
mod gate {
    #[test]
    fn planted_bugs_are_caught() {
        planted::gate("kafka");
    }
}
