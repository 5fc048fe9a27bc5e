//! Request ids that depend on nothing but the record: whoever delivers it again, also another
//! process or after another crash, uses the same id, so that the target can see the repetition.

use base::TopicId;
use uuid::Uuid;

/// The namespace of these UUIDs: drawn once, never to be changed.
const NAMESPACE: Uuid = Uuid::from_u128(0x6d61_696e_7374_5179_8c3e_0a7f_52d4_91b6);

/// Which delivery of which record.
#[derive(Clone, Copy, Debug)]
pub struct Identity<'a> {
    /// The route's name.
    pub route: &'a str,
    /// Id of the cluster that holds the record.
    pub cluster: &'a str,
    /// The topic.
    pub topic: TopicId,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
    /// 0 for the first delivery; a replay on purpose counts up, and so is no repetition.
    pub replay_generation: u32,
}

/// UUIDv5 of the identity.
pub fn request_id(identity: &Identity<'_>) -> String {
    let Identity { route, cluster, topic, partition, offset, replay_generation } = identity;
    // A route's name has no line breaks and the numbers have none, so only the last part, the
    // cluster, may hold anything: no two identities give the same text.
    let name = format!("{route}\n{topic}\n{partition}\n{offset}\n{replay_generation}\n{cluster}");
    Uuid::new_v5(&NAMESPACE, name.as_bytes()).hyphenated().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_delivery_has_the_same_id() {
        let topic = TopicId(Uuid::from_u128(7));
        let identity = Identity {
            route: "orders",
            cluster: "c",
            topic,
            partition: 1,
            offset: 2,
            replay_generation: 0,
        };
        // Written down so that no change of this module goes unseen: old ids must stay valid.
        assert_eq!(request_id(&identity), "b5627aab-6d68-5a82-b46d-f8d51be4523d");
        for other in [
            Identity { route: "order", ..identity },
            Identity { cluster: "d", ..identity },
            Identity { topic: TopicId(Uuid::from_u128(8)), ..identity },
            Identity { partition: 12, ..identity },
            Identity { offset: 3, ..identity },
            Identity { replay_generation: 1, ..identity },
        ] {
            assert_ne!(request_id(&other), request_id(&identity), "{other:?}");
        }
    }
}
