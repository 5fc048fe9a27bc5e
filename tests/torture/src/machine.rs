//! What this machine has.

/// Which of these programs is missing, in words, if one is.
pub(crate) fn missing(programs: &[&str]) -> Option<String> {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let is_there =
        |program: &&&str| std::env::split_paths(&paths).any(|path| path.join(program).is_file());
    let missing = programs.iter().find(|program| !is_there(program));
    missing.map(|program| format!("the program {program} is missing"))
}
