//! The one look into a member's metadata: which topics a consumer subscribes to.
//!
//! Kafka lets a static member come back without a rebalance as long as the chosen protocol stays
//! the same, even if its topics are others; then nobody reads the new topics. So the list of
//! topics is compared. The rest (owned partitions, generation, rack) differs at every restart and
//! says nothing.
//!
//! ```text
//! version i16, topics: count i32, each length i16 and bytes, …
//! ```

use bytes::{Buf, Bytes};

/// Whether two members' metadata ask for the same.
pub(crate) fn same(protocol_type: &str, old: &Bytes, new: &Bytes) -> bool {
    if old == new {
        return true;
    }
    protocol_type == "consumer"
        && topics(old.clone()).is_some_and(|it| Some(it) == topics(new.clone()))
}

/// The topics, sorted; `None` if this is not a subscription.
fn topics(mut metadata: Bytes) -> Option<Vec<Bytes>> {
    let _version = metadata.try_get_i16().ok()?;
    let count = metadata.try_get_i32().ok()?;
    let mut topics = Vec::new();
    for _ in 0..count {
        let bytes = usize::try_from(metadata.try_get_i16().ok()?).ok()?;
        if bytes > metadata.remaining() {
            return None;
        }
        topics.push(metadata.split_to(bytes));
    }
    topics.sort_unstable();
    Some(topics)
}

#[cfg(test)]
mod tests {
    use super::same;
    use bytes::{BufMut, Bytes, BytesMut};

    fn subscription(topics: &[&str], rest: &[u8]) -> Bytes {
        let mut bytes = BytesMut::new();
        bytes.put_i16(3);
        bytes.put_i32(topics.len() as i32);
        for topic in topics {
            bytes.put_i16(topic.len() as i16);
            bytes.put_slice(topic.as_bytes());
        }
        bytes.put_slice(rest);
        bytes.freeze()
    }

    #[test]
    fn only_the_topics_count() {
        let old = subscription(&["a", "b"], b"generation 7");
        assert!(same("consumer", &old, &subscription(&["b", "a"], b"generation -1")));
        assert!(!same("consumer", &old, &subscription(&["a"], b"generation 7")));
        assert!(!same("connect", &old, &subscription(&["a", "b"], b"")));
        assert!(same("connect", &old, &old));
        let cut = Bytes::from_static(&[0, 3, 0x7f, 0xff, 0xff, 0xff, 0]);
        assert!(!same("consumer", &cut, &old));
        assert!(!same("consumer", &old, &cut));
    }
}
