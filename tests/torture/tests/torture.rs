//! The part of the torture that runs with every change: one method after the other, and a table
//! that tells which of them ran.
//!
//! No test harness: the methods must not run at the same time, what cannot run on a machine is
//! told as such, and the same program is the client processes of its own runs.

fn main() -> std::process::ExitCode {
    torture::main(Some("change"))
}
