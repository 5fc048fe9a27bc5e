//! Fails when something that could be shipped would have the planted bugs in it.
//!
//! Cargo joins the features of all that is built together. Dev-dependencies count for tests and
//! examples only, so they may turn the feature on; nothing else may.

use serde_json::Value;
use std::process::Command;

const FEATURE: &str = "planted";

fn packages() -> Vec<Value> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    metadata["packages"].as_array().expect("packages").clone()
}

fn texts(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// What turns the feature on outside of tests, by crate.
fn turned_on_by(packages: &[Value]) -> Vec<String> {
    let mut found = Vec::new();
    for package in packages {
        let name = package["name"].as_str().expect("name");
        for dependency in package["dependencies"].as_array().expect("dependencies") {
            let is_dev = dependency["kind"].as_str() == Some("dev");
            let features = texts(&dependency["features"]);
            if dependency["name"] == "base" && !is_dev && features.contains(&FEATURE) {
                found.push(format!("{name}: a dependency"));
            }
        }
        for (feature, on) in package["features"].as_object().expect("features") {
            let names = |on: &&str| on.rsplit(['/', '?']).next() == Some(FEATURE);
            if texts(on).iter().any(names) {
                found.push(format!("{name}: the feature {feature}"));
            }
        }
    }
    found
}

#[test]
fn nothing_that_is_shipped_has_planted_bugs() {
    let packages = packages();
    assert_eq!(turned_on_by(&packages), Vec::<String>::new());
    let base = packages.iter().find(|package| package["name"] == "base").expect("base");
    assert!(base["features"].get(FEATURE).is_some(), "the feature has another name now");
}

#[test]
fn what_turns_them_on_is_seen() {
    let package = |text: &str| vec![serde_json::from_str::<Value>(text).expect("JSON")];
    let dependency = |kind: &str| {
        package(&format!(
            r#"{{"name": "x", "features": {{}}, "dependencies":
            [{{"name": "base", "kind": {kind}, "features": ["planted"]}}]}}"#
        ))
    };
    assert_eq!(turned_on_by(&dependency("null")), ["x: a dependency"]);
    assert_eq!(turned_on_by(&dependency(r#""build""#)), ["x: a dependency"]);
    assert!(turned_on_by(&dependency(r#""dev""#)).is_empty());
    let feature =
        package(r#"{"name": "x", "dependencies": [], "features": {"default": ["base/planted"]}}"#);
    assert_eq!(turned_on_by(&feature), ["x: the feature default"]);
}
