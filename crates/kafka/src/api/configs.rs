//! The configs that tools ask for: what this node really does, under the names Kafka has for it.
//! None can be changed yet, so each has one value, and the value is the default.

/// KIP-226's number for "the default".
pub(crate) const SOURCE_DEFAULT: i8 = 5;

/// One config.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Config {
    /// Kafka's name.
    pub(crate) name: &'static str,
    /// What holds here.
    pub(crate) value: &'static str,
    /// What kind of value it is.
    pub(crate) kind: Kind,
    /// Whether Kafka would not let it be changed while the broker runs.
    pub(crate) is_read_only: bool,
}

/// KIP-569's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub(crate) enum Kind {
    Boolean = 1,
    String = 2,
    Int = 3,
    Long = 5,
    Double = 6,
    List = 7,
}

/// Configs of a topic. Nothing is deleted or compacted yet, so retention is without bound.
pub(crate) const TOPIC: &[Config] = &[
    topic("cleanup.policy", "delete", Kind::List),
    topic("compression.gzip.level", "-1", Kind::Int),
    topic("compression.lz4.level", "9", Kind::Int),
    topic("compression.type", "producer", Kind::String),
    topic("compression.zstd.level", "3", Kind::Int),
    topic("delete.retention.ms", "86400000", Kind::Long),
    topic("file.delete.delay.ms", "60000", Kind::Long),
    topic("flush.messages", "1", Kind::Long),
    topic("flush.ms", "0", Kind::Long),
    topic("follower.replication.throttled.replicas", "", Kind::List),
    topic("index.interval.bytes", "4096", Kind::Int),
    topic("leader.replication.throttled.replicas", "", Kind::List),
    topic("local.retention.bytes", "-2", Kind::Long),
    topic("local.retention.ms", "-2", Kind::Long),
    topic("max.compaction.lag.ms", "9223372036854775807", Kind::Long),
    topic("max.message.bytes", "1048588", Kind::Int),
    topic("message.timestamp.after.max.ms", "9223372036854775807", Kind::Long),
    topic("message.timestamp.before.max.ms", "9223372036854775807", Kind::Long),
    topic("message.timestamp.type", "CreateTime", Kind::String),
    topic("min.cleanable.dirty.ratio", "0.5", Kind::Double),
    topic("min.compaction.lag.ms", "0", Kind::Long),
    topic("min.insync.replicas", "1", Kind::Int),
    topic("preallocate", "false", Kind::Boolean),
    topic("remote.storage.enable", "false", Kind::Boolean),
    topic("retention.bytes", "-1", Kind::Long),
    topic("retention.ms", "-1", Kind::Long),
    topic("segment.bytes", "1073741824", Kind::Int),
    topic("segment.index.bytes", "10485760", Kind::Int),
    topic("segment.jitter.ms", "0", Kind::Long),
    topic("segment.ms", "604800000", Kind::Long),
    topic("unclean.leader.election.enable", "false", Kind::Boolean),
];

/// Configs of the broker.
pub(crate) const BROKER: &[Config] = &[
    broker("auto.create.topics.enable", "true", Kind::Boolean),
    broker("auto.leader.rebalance.enable", "false", Kind::Boolean),
    broker("broker.id", "1", Kind::Int),
    broker("compression.type", "producer", Kind::String),
    broker("connections.max.idle.ms", "600000", Kind::Long),
    broker("default.replication.factor", "1", Kind::Int),
    broker("delete.topic.enable", "true", Kind::Boolean),
    broker("fetch.max.bytes", "57671680", Kind::Int),
    broker("group.initial.rebalance.delay.ms", "0", Kind::Int),
    broker("group.max.session.timeout.ms", "1800000", Kind::Int),
    broker("group.min.session.timeout.ms", "100", Kind::Int),
    broker("log.cleanup.policy", "delete", Kind::List),
    broker("log.flush.interval.messages", "1", Kind::Long),
    broker("log.message.timestamp.type", "CreateTime", Kind::String),
    broker("log.retention.bytes", "-1", Kind::Long),
    broker("log.retention.ms", "-1", Kind::Long),
    broker("message.max.bytes", "1048588", Kind::Int),
    broker("min.insync.replicas", "1", Kind::Int),
    broker("node.id", "1", Kind::Int),
    broker("num.partitions", "4", Kind::Int),
    broker("offset.metadata.max.bytes", "4096", Kind::Int),
    broker("offsets.retention.minutes", "10080", Kind::Int),
    broker("process.roles", "broker,controller", Kind::List),
    broker("producer.id.expiration.ms", "86400000", Kind::Int),
    broker("unclean.leader.election.enable", "false", Kind::Boolean),
];

const fn topic(name: &'static str, value: &'static str, kind: Kind) -> Config {
    Config { name, value, kind, is_read_only: false }
}

const fn broker(name: &'static str, value: &'static str, kind: Kind) -> Config {
    Config { name, value, kind, is_read_only: true }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Limits;

    #[test]
    fn values_are_of_their_kind_and_names_are_unique() {
        for configs in [TOPIC, BROKER] {
            assert!(configs.is_sorted_by(|a, b| a.name < b.name));
            for config in configs {
                let fits = match config.kind {
                    Kind::Boolean => config.value.parse::<bool>().is_ok(),
                    Kind::Int => config.value.parse::<i32>().is_ok(),
                    Kind::Long => config.value.parse::<i64>().is_ok(),
                    Kind::Double => config.value.parse::<f64>().is_ok(),
                    Kind::String | Kind::List => true,
                };
                assert!(fits, "{}", config.name);
            }
        }
    }

    #[test]
    fn what_the_machine_accepts_is_what_is_told() {
        for (name, value) in topics::topic_config::HONOURED {
            let told = TOPIC.iter().find(|config| config.name == *name).unwrap();
            assert_eq!(told.value, *value, "{name}");
        }
    }

    #[test]
    fn what_is_told_of_the_limits_is_true() {
        let limits = Limits::default();
        let facts = topics::Limits::default();
        for (name, value) in [
            ("connections.max.idle.ms", limits.connection_idle_max.as_millis().to_string()),
            ("fetch.max.bytes", limits.fetch_bytes_max.to_string()),
            ("message.max.bytes", facts.batch_bytes_max.to_string()),
            ("group.min.session.timeout.ms", facts.session_timeout_ms_min.to_string()),
            ("group.max.session.timeout.ms", facts.session_timeout_ms_max.to_string()),
            ("offset.metadata.max.bytes", facts.offset_metadata_bytes_max.to_string()),
            ("num.partitions", topics::Config::default().default_partition_count.to_string()),
        ] {
            let told = BROKER.iter().find(|config| config.name == name).unwrap();
            assert_eq!(told.value, value, "{name}");
        }
    }
}
