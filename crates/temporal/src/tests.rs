//! The front over real connections, with a node that is played by the test.

pub(crate) mod fake;
mod health;
mod histories;
mod limits;
mod polls;
mod refusals;
mod whole;
