//! The decision table of executions: `testdata/*.txt` tells each scenario and what must come of
//! it (see `script.rs` for the commands). A random walk looks for what nobody thought of, and one
//! saga is killed after each of its entries.
//!
//! They drive the machine as the node does: decide, encode, decode, apply, attend.

mod command;
mod kill;
mod request;
mod script;
mod show;
mod walk;
mod words;
mod world;

#[test]
fn scripts() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata");
    let only = std::env::var("SCRIPT").unwrap_or_default();
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .expect("testdata")
        .map(|entry| entry.expect("entry").path())
        .filter(|path| path.to_string_lossy().contains(&only))
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "there are scripts");
    let mut different = Vec::new();
    for path in paths {
        println!("{}", path.display());
        let text = std::fs::read_to_string(&path).expect("readable");
        let got = script::run_file(&text);
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, &got).expect("writable");
        } else if got != text {
            different.push(format!("{} gives now:\n{got}", path.display()));
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}

#[test]
fn planted_bugs_are_caught() {
    planted::gate("workflows");
}
