//! Good histories from a tiny model raise nothing; one change makes them bad, and is caught.

mod common;

use checker::Invariant;
use common::model::World;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn good_histories_raise_nothing(seed: u64, steps in 1..400_usize, faults: bool) {
        let report = World::play(seed, steps, faults).report();
        prop_assert!(report.is_clean(), "{report}");
    }
}

/// A model that never does something cannot show that the judge keeps quiet about it.
#[test]
fn the_model_does_everything() {
    let report = World::play(7, 5_000, true).report();
    assert!(report.is_clean(), "{report}");
    for invariant in [
        Invariant::L1,
        Invariant::L2,
        Invariant::L3,
        Invariant::L4,
        Invariant::L6,
        Invariant::L7,
        Invariant::E1,
        Invariant::E2,
        Invariant::E3,
        Invariant::E4,
        Invariant::E6,
        Invariant::E7,
        Invariant::B1,
        Invariant::B2,
        Invariant::Successor,
        Invariant::Refused,
        Invariant::Named,
    ] {
        assert!(report.judged(invariant) > 0, "{invariant}: {report}");
    }
}
