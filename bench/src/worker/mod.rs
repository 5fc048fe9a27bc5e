//! The workers of the workflow rows: the official SDK, and one that has no machinery of its own.

pub(crate) mod forward;
pub(crate) mod restate;
pub(crate) mod rpc;
pub(crate) mod script;
pub(crate) mod sdk;
pub(crate) mod thin;
