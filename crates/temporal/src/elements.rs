//! Counts what a request would become in memory, before it is decoded.
//!
//! Protobuf is compact: an empty element takes two bytes on the wire, and hundreds in memory. A
//! request within the size limit could so claim a gigabyte. Elements are messages, and repeated
//! texts and bytes; which fields hold some is in a table that `build.rs` makes.
//!
//! What is malformed is not counted any further: the decoder will refuse it.

use crate::wire;

/// Elements that one request may have, at all depths. The largest workflow task that makes sense,
/// one that schedules all the activities that may be pending, has about a third of this.
const ELEMENTS_MAX: usize = 100_000;
/// Elements at the top level, where the largest are: a command is 1,000 bytes in memory. A task
/// that is completed with so many would fill two fifths of the largest history in one go.
const TOP_ELEMENTS_MAX: usize = 20_000;
/// The decoder goes no deeper either.
const DEPTH_MAX: usize = 100;
/// In the table: text or bytes, into which nobody needs to look.
const LEAF: usize = usize::MAX;

include!(concat!(env!("OUT_DIR"), "/elements.rs"));

/// Why a request is refused without a look at what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    /// In all.
    #[error("more than {ELEMENTS_MAX} elements")]
    TooMany,
    /// At the top level.
    #[error("more than {TOP_ELEMENTS_MAX} elements at the top level")]
    TooManyAtTheTop,
}

/// Checks a request, by the name of its message. What is no request of ours has no limit.
pub(crate) fn check(name: &str, bytes: &[u8]) -> Result<(), Error> {
    let Ok(at) = REQUESTS.binary_search_by_key(&name, |(name, _)| name) else {
        return Ok(());
    };
    let message = REQUESTS.get(at).and_then(|(_, index)| MESSAGES.get(*index));
    let mut count = 0;
    count_in(message.copied().unwrap_or_default(), bytes, 0, &mut count)
}

fn count_in(
    fields: &[(u64, usize)],
    mut bytes: &[u8],
    depth: usize,
    count: &mut usize,
) -> Result<(), Error> {
    let mut here = 0;
    while let Some((number, value, rest)) = wire::field(bytes) {
        bytes = rest;
        let Some((_, child)) = fields.iter().find(|(field, _)| *field == number) else {
            continue;
        };
        *count += 1;
        here += 1;
        if *count > ELEMENTS_MAX {
            return Err(Error::TooMany);
        }
        if depth == 0 && here > TOP_ELEMENTS_MAX {
            return Err(Error::TooManyAtTheTop);
        }
        if depth < DEPTH_MAX
            && let Some(fields) = MESSAGES.get(*child)
        {
            count_in(fields, value, depth + 1, count)?;
        }
    }
    Ok(())
}

/// The names of the requests that are served, without their ending.
#[cfg(feature = "fuzzing")]
pub(crate) fn methods() -> impl Iterator<Item = &'static str> {
    REQUESTS.iter().filter_map(|(name, _)| name.strip_suffix("Request"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;
    use temporalio_protos::temporal::api::command::v1::Command;
    use temporalio_protos::temporal::api::common::v1::{Payload, Payloads};
    use temporalio_protos::temporal::api::workflowservice::v1::*;

    const COMPLETED: &str = "RespondWorkflowTaskCompletedRequest";

    #[test]
    fn elements_are_counted_at_all_depths() {
        // `input`, and so many payloads in it.
        let start = |payloads: usize| {
            let payloads = vec![Payload::default(); payloads - 1];
            let input = Some(Payloads { payloads });
            StartWorkflowExecutionRequest { input, ..Default::default() }.encode_to_vec()
        };
        let name = "StartWorkflowExecutionRequest";
        assert_eq!(check(name, &start(ELEMENTS_MAX)), Ok(()));
        assert_eq!(check(name, &start(ELEMENTS_MAX + 1)), Err(Error::TooMany));
        assert_eq!(check("Unknown", &start(ELEMENTS_MAX + 1)), Ok(()));
        let complete = |commands: usize| {
            let commands = vec![Command::default(); commands];
            RespondWorkflowTaskCompletedRequest { commands, ..Default::default() }.encode_to_vec()
        };
        assert_eq!(check(COMPLETED, &complete(TOP_ELEMENTS_MAX)), Ok(()));
        let mut over = complete(TOP_ELEMENTS_MAX + 1);
        assert_eq!(check(COMPLETED, &over), Err(Error::TooManyAtTheTop));
        // Behind an empty group, which a decoder skips.
        over.splice(0..0, [0xfb, 0x07, 0xfc, 0x07]);
        assert!(RespondWorkflowTaskCompletedRequest::decode(over.as_slice()).is_ok());
        assert_eq!(check(COMPLETED, &over), Err(Error::TooManyAtTheTop));
    }

    #[test]
    fn repeated_text_counts_and_payload_data_does_not() {
        let list = |bytes: &[u8]| check("StartWorkflowExecutionRequest", bytes);
        let data = [0x0a, 0].repeat(ELEMENTS_MAX * 2);
        let payload = Payload { data, ..Default::default() };
        let input = Some(Payloads { payloads: vec![payload] });
        let start = StartWorkflowExecutionRequest { input, ..Default::default() };
        assert_eq!(list(&start.encode_to_vec()), Ok(()));
        let mut policy = Vec::new();
        for _ in 0..=ELEMENTS_MAX {
            // RetryPolicy.non_retryable_error_types = "".
            policy.extend([0x2a, 0]);
        }
        let mut start = Vec::new();
        // StartWorkflowExecutionRequest.retry_policy.
        prost::encoding::bytes::encode(12, &policy, &mut start);
        assert_eq!(list(&start), Err(Error::TooMany));
    }

    #[test]
    fn what_is_malformed_is_left_to_the_decoder() {
        for bytes in [&[0xff; 40][..], &[0x0a, 0xff, 0xff, 0xff, 0x7f], &[0x1a, 5, 1], &[0x0b]] {
            assert_eq!(check(COMPLETED, bytes), Ok(()));
        }
        // Messages in messages, far deeper than they may be.
        let mut nested = Vec::new();
        for _ in 0..2_000 {
            let mut outer = Vec::new();
            // Failure.cause
            prost::encoding::bytes::encode(4, &nested, &mut outer);
            nested = outer;
        }
        let mut failed = Vec::new();
        // RespondWorkflowTaskFailedRequest.failure
        prost::encoding::bytes::encode(3, &nested, &mut failed);
        assert_eq!(check("RespondWorkflowTaskFailedRequest", &failed), Ok(()));
    }
}
