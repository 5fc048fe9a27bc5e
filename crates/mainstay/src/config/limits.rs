//! `[limits]`: bounds that an operator may set, each within a range that makes sense.

use super::error::{Error, Source};
use super::sections::LimitsSection;
use std::ops::RangeInclusive;
use toml::Spanned;

const COUNTS: RangeInclusive<u64> = 1..=1_000_000;
/// A request that is smaller than this would refuse ordinary clients; more than Kafka's own
/// limit for a request makes no sense.
const REQUEST_BYTES: RangeInclusive<u64> = (64 << 10)..=(100 << 20);
const PARKED_BYTES: RangeInclusive<u64> = (1 << 10)..=(1 << 30);

/// Bounds that the file sets; `None` stands for the default of the crate that keeps it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Largest Kafka request.
    pub(crate) kafka_request_bytes: Option<usize>,
    /// Connections of Kafka clients.
    pub(crate) kafka_connections_count: Option<usize>,
    /// Largest gRPC request.
    pub(crate) temporal_request_bytes: Option<usize>,
    /// Connections of Temporal clients.
    pub(crate) temporal_connections_count: Option<usize>,
    /// Deliveries under way, for one partition of one route.
    pub(crate) route_in_flight_count: Option<usize>,
    /// Records read and not done, for one partition of one route.
    pub(crate) route_parked_count: Option<usize>,
    /// Their bytes.
    pub(crate) route_parked_bytes: Option<usize>,
}

impl Limits {
    pub(super) fn new(source: &Source, section: &LimitsSection) -> Result<Limits, Error> {
        let check = |value, range| bounded(source, value, range);
        Ok(Limits {
            kafka_request_bytes: check(&section.kafka_request_bytes, REQUEST_BYTES)?,
            kafka_connections_count: check(&section.kafka_connections_count, COUNTS)?,
            temporal_request_bytes: check(&section.temporal_request_bytes, REQUEST_BYTES)?,
            temporal_connections_count: check(&section.temporal_connections_count, COUNTS)?,
            route_in_flight_count: check(&section.route_in_flight_count, COUNTS)?,
            route_parked_count: check(&section.route_parked_count, COUNTS)?,
            route_parked_bytes: check(&section.route_parked_bytes, PARKED_BYTES)?,
        })
    }
}

fn bounded(
    source: &Source,
    value: &Option<Spanned<u64>>,
    range: RangeInclusive<u64>,
) -> Result<Option<usize>, Error> {
    let Some(value) = value else { return Ok(None) };
    match usize::try_from(*value.get_ref()) {
        Ok(number) if range.contains(value.get_ref()) => Ok(Some(number)),
        _ => {
            let (low, high) = range.into_inner();
            let message = format!("{} is not between {low} and {high}", value.get_ref());
            Err(source.at(value.span(), message))
        }
    }
}
