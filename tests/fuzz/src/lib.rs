//! What is fuzzed: for each decoder that reads bytes of others, one function that takes bytes.
//!
//! A target never panics, whatever the bytes, ends within a second of processor time, and holds
//! at most [`LIVE_BYTES_MAX`]. It says whether it understood the bytes, so that a test can tell
//! whether the corpus reaches what it is meant to reach. The same functions are run on mutations
//! of the corpus by the stable toolchain (`main.rs`) and guided by coverage (`guided/`).

mod fields;
pub mod meter;
mod targets;

pub use fields::Fields;
pub use targets::kafka::frame;

/// Bytes that one input may have the process hold at once.
pub const LIVE_BYTES_MAX: usize = 64 << 20;
/// Longest input. A decoder's own limits are larger; what unfolds is in the corpus.
pub const INPUT_BYTES_MAX: usize = 128 << 10;

/// One decoder, or a family of them.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name, and that of its folder in the corpus.
    pub name: &'static str,
    /// Says whether the input was understood.
    pub run: fn(&[u8]) -> bool,
}

/// All targets.
pub const TARGETS: &[Target] = &[
    Target { name: "kafka-connection", run: targets::kafka::connection },
    Target { name: "kafka-request", run: targets::kafka::request },
    Target { name: "record-batch", run: targets::batches::batch },
    Target { name: "temporal-calls", run: targets::temporal::calls },
    Target { name: "temporal-tokens", run: targets::temporal::tokens },
    Target { name: "journal", run: targets::journal::directory },
    Target { name: "entry", run: targets::journal::entry },
    Target { name: "config", run: targets::config::file },
    Target { name: "route", run: targets::routes::route },
    Target { name: "publish", run: targets::routes::publish },
];

/// The target of this name.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
