//! Fails when a dependency has no line in ARCHITECTURE.md's table, or a line no dependency.

use std::path::Path;

/// The guided fuzz targets are a workspace of their own.
const MANIFESTS: [(&str, &str); 2] = [
    ("Cargo.toml", "[workspace.dependencies]"),
    ("tests/fuzz/guided/Cargo.toml", "[dependencies]"),
];

fn read(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    std::fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The part of a text from a heading to the next.
fn section<'a>(text: &'a str, heading: &str, next: &str) -> &'a str {
    let (_, rest) = text.split_once(heading).unwrap_or_else(|| panic!("no {heading}"));
    rest.split(next).next().unwrap_or(rest)
}

/// Names of dependencies that are not our own.
fn dependencies() -> Vec<String> {
    let mut found = Vec::new();
    for (manifest, heading) in MANIFESTS {
        let text = read(manifest);
        for line in section(&text, heading, "\n[").lines() {
            let (name, value) = line.split_once('=').unwrap_or((line, ""));
            let name = name.trim();
            let is_one = !name.is_empty() && !name.starts_with('#') && !value.contains("path =");
            if is_one {
                found.push(name.trim_end_matches(".workspace").to_owned());
            }
        }
    }
    found
}

/// The names in the first column of the table, without what stands in brackets.
fn explained() -> Vec<String> {
    let text = read("ARCHITECTURE.md");
    let table = section(&text, "## Dependencies", "\n## ");
    let rows = table.lines().filter_map(|line| line.strip_prefix("| ")).skip(1);
    let mut found = Vec::new();
    for row in rows {
        let mut depth = 0;
        let outside = |c: &char| {
            depth += i32::from(*c == '(') - i32::from(*c == ')');
            depth == 0 && *c != ')'
        };
        let names: String = section(row, "", " |").chars().filter(outside).collect();
        found.extend(names.split(',').map(|name| name.trim().to_owned()));
    }
    found
}

#[test]
fn every_dependency_has_its_reason() {
    let (dependencies, explained) = (dependencies(), explained());
    assert!(dependencies.len() > 30, "only {} found", dependencies.len());
    let without: Vec<_> = dependencies.iter().filter(|name| !explained.contains(name)).collect();
    assert_eq!(without, Vec::<&String>::new(), "no line in ARCHITECTURE.md");
    let gone: Vec<_> = explained.iter().filter(|name| !dependencies.contains(name)).collect();
    assert_eq!(gone, Vec::<&String>::new(), "a line, but no dependency");
}
