//! How long a request may wait: what the client says in `grpc-timeout`, and our own limits.

use std::time::Duration;
use tonic::Status;
use tonic::metadata::MetadataMap;

/// A poll whose client waits for less than this is refused: it would spin.
const POLL_TIMEOUT_MIN: Duration = Duration::from_secs(2);
/// A poll is answered, empty, so much before its client would give up.
const POLL_MARGIN: Duration = Duration::from_secs(1);
/// The same for a request that is not repeated.
const REQUEST_MARGIN_MAX: Duration = Duration::from_millis(100);

/// How long a poll for a task may wait.
pub(crate) fn of_poll(metadata: &MetadataMap, max: Duration) -> Result<Duration, Status> {
    match client_timeout(metadata)? {
        Some(timeout) if timeout < POLL_TIMEOUT_MIN => {
            Err(Status::invalid_argument("context timeout is too short"))
        }
        timeout => Ok(timeout.unwrap_or(max).min(max) - POLL_MARGIN.min(max)),
    }
}

/// How long a request that waits for something, but is no poll, may wait.
pub(crate) fn of_request(
    metadata: &MetadataMap,
    default: Duration,
    max: Duration,
) -> Result<Duration, Status> {
    let timeout = client_timeout(metadata)?.unwrap_or(default).min(max);
    Ok(timeout - REQUEST_MARGIN_MAX.min(timeout / 4))
}

/// The header `grpc-timeout`: at most eight digits and a unit.
fn client_timeout(metadata: &MetadataMap) -> Result<Option<Duration>, Status> {
    let Some(value) = metadata.get("grpc-timeout") else {
        return Ok(None);
    };
    let parsed = value.to_str().ok().and_then(parse);
    parsed.map(Some).ok_or_else(|| Status::invalid_argument("malformed grpc-timeout"))
}

fn parse(text: &str) -> Option<Duration> {
    let (unit_at, unit) = text.char_indices().last()?;
    let digits = text.get(..unit_at)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    match unit {
        'H' => Some(Duration::from_secs(count * 3600)),
        'M' => Some(Duration::from_secs(count * 60)),
        'S' => Some(Duration::from_secs(count)),
        'm' => Some(Duration::from_millis(count)),
        'u' => Some(Duration::from_micros(count)),
        'n' => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read_as_grpc_writes_them() {
        for (text, want) in [
            ("70S", Some(Duration::from_secs(70))),
            ("5M", Some(Duration::from_secs(300))),
            ("1H", Some(Duration::from_secs(3600))),
            ("99999999m", Some(Duration::from_millis(99_999_999))),
            ("20u", Some(Duration::from_micros(20))),
            ("7n", Some(Duration::from_nanos(7))),
            ("", None),
            ("S", None),
            ("1", None),
            ("+1S", None),
            ("123456789S", None),
            ("1é", None),
        ] {
            assert_eq!(parse(text), want, "{text}");
        }
    }

    #[test]
    fn a_poll_ends_a_second_before_its_client_or_our_limit() {
        let max = Duration::from_secs(60);
        let with = |text: &str| {
            let mut metadata = MetadataMap::new();
            metadata.insert("grpc-timeout", text.parse().unwrap());
            of_poll(&metadata, max).map_err(|status| status.message().to_owned())
        };
        assert_eq!(of_poll(&MetadataMap::new(), max).unwrap(), Duration::from_secs(59));
        assert_eq!(with("70S"), Ok(Duration::from_secs(59)));
        assert_eq!(with("2S"), Ok(Duration::from_secs(1)));
        assert_eq!(with("1999m"), Err("context timeout is too short".to_owned()));
        assert_eq!(with("x"), Err("malformed grpc-timeout".to_owned()));
    }
}
