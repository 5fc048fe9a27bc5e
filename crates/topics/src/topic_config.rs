//! Which topic configs are accepted: those whose value says what the node does anyway.
//!
//! Invariant: nothing is stored that is not honoured. Every other value, and every other name, is
//! refused (INVALID_CONFIG), never kept silently.

/// What the node does, in Kafka's words. DescribeConfigs reports the same.
pub const HONOURED: &[(&str, &str)] = &[
    ("cleanup.policy", "delete"),
    ("compression.type", "producer"),
    ("max.message.bytes", "1048588"),
    ("message.timestamp.type", "CreateTime"),
    ("min.insync.replicas", "1"),
    ("preallocate", "false"),
    ("remote.storage.enable", "false"),
    ("retention.bytes", "-1"),
    ("retention.ms", "-1"),
    ("unclean.leader.election.enable", "false"),
];

/// Why a config is refused, for people.
pub(crate) fn check(name: &str, value: Option<&str>, batch_bytes_max: usize) -> Result<(), String> {
    let Some((_, honoured)) = HONOURED.iter().find(|it| it.0 == name) else {
        return Err(format!("topic config {name:?} is not supported"));
    };
    let limit = batch_bytes_max.to_string();
    let honoured = if name == "max.message.bytes" { limit.as_str() } else { honoured };
    match value {
        // Null means the default, which is what the node does.
        None => Ok(()),
        Some(value) if value == honoured => Ok(()),
        Some(value) => {
            Err(format!("topic config {name} = {value:?} is not supported, only {honoured:?} is"))
        }
    }
}
