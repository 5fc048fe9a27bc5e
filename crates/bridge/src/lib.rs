//! The bridge: routes turn records into signals and starts of workflows, exactly once.
//!
//! The core is pure: [`route`] (what was declared, validated into types), [`template`] (how a
//! record names its workflow), [`mapping`] (record and route to a [`Delivery`]), [`refusal`]
//! (what a refused delivery means), [`cursor`] and [`machine`] (which records are done). Around
//! it stands a thin shell: [`pump`] reads the published log through a [`Source`] and delivers
//! through a [`Target`], both implemented by others.
//!
//! Invariants: the cursor is journaled in the same entry as what the record caused, so a crash
//! at any moment neither loses nor repeats a record. Order is kept per lane (route, workflow id)
//! within a partition. Nothing is dropped in silence: each record is delivered, ignored and
//! counted, or dead-lettered with its reason.

pub mod cursor;
mod delivery;
mod lanes;
pub mod machine;
pub mod mapping;
mod op;
mod ports;
pub mod pump;
mod record;
pub mod refusal;
mod request_id;
pub mod route;
pub mod template;

pub use delivery::{Action, DeadLetter, Delivery, Fate, Outcome};
pub use machine::Bridge;
pub use op::Op;
pub use ports::{DeliverError, RawBatch, Source, SourceError, Target, TopicInfo};

pub use request_id::{Identity, request_id};
pub use route::Route;
pub use topics::Record;
pub use topics::records::Header;
