//! Each planted bug that the simulation is to find (`tests/planted/src/check.rs`) is found.

#[test]
fn planted_bugs_are_caught() {
    planted::gate_of_program("sim", std::path::Path::new(env!("CARGO_BIN_EXE_sim")));
}
