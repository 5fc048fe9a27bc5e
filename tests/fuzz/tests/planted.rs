//! A bug that the fuzz targets must find.

#[test]
fn planted_bugs_are_caught() {
    planted::gate_of_program("fuzz-targets", env!("CARGO_BIN_EXE_fuzz-targets").as_ref());
}
