//! Target `temporal-tokens`, guided by coverage.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    guided::run("temporal-tokens", bytes);
});
