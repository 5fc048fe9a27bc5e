//! A target, guided by coverage: the one that `FUZZ_TARGET` names.

#![no_main]

use fuzz_targets::{Target, meter, target};
use std::sync::LazyLock;

static TARGET: LazyLock<&Target> = LazyLock::new(|| {
    meter::start();
    let name = std::env::var("FUZZ_TARGET").expect("FUZZ_TARGET names a target");
    target(&name).expect("the target is in the list")
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let target = *TARGET;
    let (_, taken) = meter::measure(|| (target.run)(bytes));
    assert_eq!(taken.excess(), None);
});
