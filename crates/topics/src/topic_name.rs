//! Which names a topic may have: 1 to 249 of `[a-zA-Z0-9._-]`, not "." or "..".

/// Whether Kafka would take it.
pub(crate) fn is_valid(name: &str, bytes_max: usize) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let dots_only = name == "." || name == "..";
    !name.is_empty() && name.len() <= bytes_max && !dots_only && name.bytes().all(legal)
}

#[cfg(test)]
mod tests {
    use super::is_valid;

    #[test]
    fn names_are_kafkas() {
        let longest = "n".repeat(249);
        for (name, want) in [
            ("orders", true),
            ("a.B_9-", true),
            ("...", true),
            (longest.as_str(), true),
            (&format!("{longest}n"), false),
            ("", false),
            (".", false),
            ("..", false),
            ("a b", false),
            ("a/b", false),
            ("ü", false),
        ] {
            assert_eq!(is_valid(name, 249), want, "{name:?}");
        }
    }
}
