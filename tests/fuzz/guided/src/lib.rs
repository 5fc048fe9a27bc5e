//! What the coverage-guided targets have in common: nothing but the name.

/// Runs one input of a target.
pub fn run(name: &str, bytes: &[u8]) {
    let target = fuzz_targets::target(name).expect("the target is in the list");
    (target.run)(bytes);
}
