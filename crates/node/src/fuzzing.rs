//! The door for the fuzz targets: what the entries of a journal and the argument of
//! `mainstay.publish` are read with.

use crate::op::Op;
use crate::{entry, publisher};
use bytes::Bytes;
use temporalio_protos::temporal::api::common::v1::{Payload, Payloads};
use temporalio_protos::temporal::api::workflowservice::v1::PollActivityTaskQueueResponse;

/// Reads an entry's meta bytes and blobs; says how many ops there are. What can be read is
/// written and read once more, and must be the same.
pub fn entry(meta: &[u8], blobs: &[Bytes]) -> Option<usize> {
    let entry::Decoded { at, ops } = entry::decode::<Op>(meta, blobs).ok()?;
    let ops: Vec<Op> = ops.into_iter().map(|(op, _)| op).collect();
    let encoded = entry::encode(at, &ops);
    let blobs: Vec<Bytes> = encoded.blobs.iter().map(|blob| blob.bytes().clone()).collect();
    match entry::decode::<Op>(&encoded.meta, &blobs) {
        Ok(again) => {
            let again: Vec<Op> = again.ops.into_iter().map(|(op, _)| op).collect();
            assert_eq!(format!("{again:?}"), format!("{ops:?}"), "what is read was written");
        }
        Err(error) => panic!("{ops:?} cannot be read back: {error}"),
    }
    Some(ops.len())
}

/// The batch that the publisher would append for an activity with this input, if it is one.
pub fn publish(input: Vec<Payload>) -> Option<Bytes> {
    let task = PollActivityTaskQueueResponse {
        activity_type: Some("mainstay.publish".into()),
        input: Some(Payloads { payloads: input }),
        ..Default::default()
    };
    Some(publisher::record(&task).ok()?.batch.bytes().clone())
}
