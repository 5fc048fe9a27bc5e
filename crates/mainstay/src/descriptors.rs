//! File descriptors: enough for all connections that the limits allow, or fewer connections.
//!
//! The journal must never be short of one because clients have taken them all: a segment that
//! cannot be opened ends the node.

use crate::config::Limits;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// For the journal, the runtime and the listeners.
const OWN_COUNT: u64 = 256;

/// Raises the process's soft limit as far as needed and possible. Where the hard limit is too
/// low, the connections' limits are lowered, with a warning.
pub(crate) fn provide(limits: &mut Limits) {
    let kafka =
        limits.kafka_connections_count.unwrap_or(kafka::Limits::default().connections_count_max);
    let temporal =
        limits.temporal_connections_count.unwrap_or(temporal::Options::default().connections_max);
    let wanted = OWN_COUNT + to_u64(kafka) + to_u64(temporal);
    let allowed = raise_to(wanted);
    if allowed >= wanted {
        return;
    }
    let (kafka, temporal) = share(allowed, (kafka, temporal));
    tracing::warn!(
        allowed,
        wanted,
        "too few file descriptors (ulimit -Hn): at most {kafka} Kafka and {temporal} Temporal \
         connections"
    );
    limits.kafka_connections_count = Some(kafka);
    limits.temporal_connections_count = Some(temporal);
}

/// The soft limit after raising it; never lowers it.
fn raise_to(wanted: u64) -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let Some(current) = current.filter(|current| *current < wanted) else { return u64::MAX };
    let soft = maximum.map_or(wanted, |maximum| wanted.min(maximum));
    match setrlimit(Resource::Nofile, Rlimit { current: Some(soft), maximum }) {
        Ok(()) => soft,
        Err(_) => current,
    }
}

/// What is left for connections, in the proportion that was asked for, but at least one each.
fn share(allowed: u64, (kafka, temporal): (usize, usize)) -> (usize, usize) {
    let left = allowed.saturating_sub(OWN_COUNT);
    let all = to_u64(kafka).saturating_add(to_u64(temporal)).max(1);
    let part = |wanted: usize| {
        let part = u128::from(left) * u128::from(to_u64(wanted)) / u128::from(all);
        usize::try_from(part).unwrap_or(wanted).clamp(1, wanted.max(1))
    };
    (part(kafka), part(temporal))
}

fn to_u64(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_short_is_shared() {
        assert_eq!(share(1_024, (4_096, 4_096)), (384, 384));
        assert_eq!(share(1_024, (3_000, 1_000)), (576, 192));
        assert_eq!(share(100, (4_096, 4_096)), (1, 1));
    }
}
