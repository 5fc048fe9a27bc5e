//! Nothing that is served is without an input: a new API, version, RPC or codec fails here until
//! the corpus has one that its decoder understands.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use fuzz_targets::{TARGETS, target};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).into()
}

/// The corpus of a target, by name.
fn corpus(name: &str) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder().join("corpus").join(name)).unwrap();
    let read = |path: PathBuf| {
        (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap())
    };
    entries.map(|entry| read(entry.unwrap().path())).collect()
}

fn names(path: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(folder().join(path)).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn every_target_has_a_corpus() {
    let targets: BTreeSet<String> = TARGETS.iter().map(|it| it.name.to_owned()).collect();
    assert_eq!(names("corpus"), targets);
    for target in TARGETS {
        let mut inputs = corpus(target.name).into_iter();
        assert!(inputs.any(|(_, input)| (target.run)(&input)), "{}: nothing fits", target.name);
    }
}

#[test]
fn every_version_of_every_api_has_an_input_that_is_understood() {
    let request = target("kafka-request").unwrap();
    let inputs = corpus("kafka-request");
    for (key, lowest, highest, _) in kafka::fuzzing::apis() {
        for version in lowest..=highest {
            let head = [key.to_be_bytes(), version.to_be_bytes()].concat();
            // Produce 0 to 2 are advertised for old librdkafka's sake, and have no other use.
            let found = inputs.iter().any(|(_, it)| it.starts_with(&head) && (request.run)(it));
            assert!(found, "API key {key} version {version}");
        }
    }
}

#[test]
fn every_rpc_has_an_input_that_is_understood() {
    let calls = target("temporal-calls").unwrap();
    let inputs = corpus("temporal-calls");
    for method in temporal::fuzzing::methods() {
        let input = inputs.iter().find(|(name, _)| name == method);
        let (_, input) = input.unwrap_or_else(|| panic!("{method} has no input of its name"));
        assert!((calls.run)(input), "{method}: the last call is not understood");
    }
}

#[test]
fn what_lies_behind_the_checksum_of_a_token_is_reached() {
    let tokens = target("temporal-tokens").unwrap();
    let inputs = corpus("temporal-tokens");
    for name in ["sealed-task", "sealed-task-page", "sealed-history-page"] {
        let (_, input) = inputs.iter().find(|(found, _)| found == name).unwrap();
        assert!((tokens.run)(input), "{name}");
    }
}

#[test]
fn every_codec_has_a_batch_and_a_bomb() {
    let batch = target("record-batch").unwrap();
    let inputs = corpus("record-batch");
    for codec in ["none", "gzip", "snappy", "snappy-java", "lz4", "zstd"] {
        let input = inputs.iter().find(|(name, _)| name == codec);
        assert!((batch.run)(&input.unwrap().1), "{codec}");
    }
    for codec in ["gzip", "snappy", "lz4", "zstd"] {
        assert!(inputs.iter().any(|(name, _)| *name == format!("{codec}-bomb")), "{codec}");
    }
}
