//! Fails when a crate looks in a direction that ARCHITECTURE.md does not allow.

use std::collections::BTreeMap;
use std::process::Command;

/// Which of our crates each may name. Anything else is a wrong arrow.
const ARROWS: &[(&str, &[&str])] = &[
    ("base", &[]),
    ("journal", &["base"]),
    ("topics", &["base"]),
    ("workflows", &["base"]),
    ("bridge", &["base", "topics", "workflows"]),
    ("node", &["base", "bridge", "journal", "topics", "workflows"]),
    ("kafka", &["base", "node", "topics"]),
    ("temporal", &["base", "node", "workflows"]),
    ("demo", &[]),
    ("mainstay", &["base", "bridge", "demo", "kafka", "node", "temporal", "topics", "workflows"]),
    // Its measurements look inside; nobody looks at it.
    ("bench", &["base", "bridge", "journal", "kafka", "node", "temporal", "topics", "workflows"]),
    ("architecture", &[]),
    ("checker", &[]),
    ("torture", &["checker"]),
    ("planted", &["base"]),
    (
        "fuzz-targets",
        &["base", "bridge", "journal", "kafka", "node", "temporal", "topics", "workflows"],
    ),
    (
        "sim",
        &[
            "base",
            "bridge",
            "checker",
            "journal",
            "kafka",
            "node",
            "temporal",
            "topics",
            "workflows",
        ],
    ),
];

/// Crates that must not be named by the pure ones: they do I/O or look at clocks.
const IMPURE: &[&str] = &["tokio", "tonic", "rand", "getrandom", "mio", "socket2", "rustix"];
const PURE: &[&str] = &["base", "topics", "workflows"];

/// gRPC is known to one crate; so are the client libraries.
const ONLY: &[(&str, &[&str])] = &[
    ("tonic", &["bench", "temporal", "sim"]),
    ("temporalio-sdk", &["bench", "demo", "mainstay", "torture"]),
    ("rdkafka", &["bench", "demo", "mainstay", "torture"]),
    ("kafka-protocol", &["kafka", "fuzz-targets", "sim"]),
];

type Dependencies = BTreeMap<String, Vec<(String, String)>>;

/// Name of each workspace member, and what it depends on: (crate, kind).
fn dependencies() -> Dependencies {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let text = |value: &serde_json::Value| value.as_str().unwrap_or("normal").to_owned();
    let packages = metadata["packages"].as_array().expect("packages");
    let of = |package: &serde_json::Value| {
        let list = package["dependencies"].as_array().expect("dependencies");
        list.iter().map(|d| (text(&d["name"]), text(&d["kind"]))).collect()
    };
    packages.iter().map(|package| (text(&package["name"]), of(package))).collect()
}

#[test]
fn arrows_point_down() {
    let found = dependencies();
    let names: Vec<&str> = ARROWS.iter().map(|(name, _)| *name).collect();
    for (name, uses) in &found {
        let allowed = ARROWS.iter().find(|(known, _)| known == name);
        let (_, allowed) = allowed.unwrap_or_else(|| panic!("crate {name} is not in ARROWS"));
        for (used, kind) in uses.iter().filter(|(used, _)| names.contains(&used.as_str())) {
            let test_only = kind == "dev";
            assert!(test_only || allowed.contains(&used.as_str()), "wrong arrow: {name} -> {used}");
        }
    }
}

#[test]
fn machines_name_nothing_impure() {
    for (name, uses) in dependencies().iter().filter(|(name, _)| PURE.contains(&name.as_str())) {
        for (used, kind) in uses {
            let bad = kind == "normal" && IMPURE.contains(&used.as_str());
            assert!(!bad, "{name} is pure and must not name {used}");
        }
    }
}

#[test]
fn outside_protocols_are_known_to_one_crate() {
    let found = dependencies();
    for (library, owners) in ONLY {
        for (name, uses) in &found {
            let names = uses.iter().any(|(used, kind)| used == library && kind != "dev");
            assert!(!names || owners.contains(&name.as_str()), "{name} names {library}");
        }
    }
}
