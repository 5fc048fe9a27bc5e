//! How much room a request takes in the inbox: what it holds in memory, roughly.

use prost::Message;

/// What any request costs: its place in the queue, its slot, its small fields.
const BASE_BYTES: usize = 512;

pub(crate) fn of_topics(ask: &topics::Ask) -> usize {
    use topics::Ask as A;
    let own = match ask {
        A::Produce(produce) => produce.partitions.iter().map(|p| p.batch.bytes().len() + 256).sum(),
        A::JoinGroup(join) => join.protocols.iter().map(|(_, metadata)| metadata.len() + 64).sum(),
        A::SyncGroup(sync) => sync.assignments.iter().map(|(_, bytes)| bytes.len() + 64).sum(),
        A::OffsetCommit(commit) => commit
            .topics
            .iter()
            .flat_map(|topic| &topic.partitions)
            .map(|partition| partition.metadata.len() + 64)
            .sum(),
        A::OffsetFetch(fetch) => fetch
            .groups
            .iter()
            .filter_map(|group| group.topics.as_ref())
            .flatten()
            .map(|(_, partitions)| partitions.len() * 4 + 64)
            .sum(),
        A::CreateTopics(create) => create
            .topics
            .iter()
            .map(|topic| (topic.assignments.len() + topic.configs.len() + 1) * 128)
            .sum(),
        _ => 0,
    };
    BASE_BYTES + own
}

pub(crate) fn of_workflows(ask: &workflows::Ask) -> usize {
    use workflows::Ask as A;
    let own = match ask {
        A::RegisterNamespace(r) => r.encoded_len(),
        A::StartWorkflowExecution(r) => r.encoded_len(),
        A::SignalWithStartWorkflowExecution(r) => r.encoded_len(),
        A::SignalWorkflowExecution(r) => r.encoded_len(),
        A::TerminateWorkflowExecution(r) => r.encoded_len(),
        A::QueryWorkflow(r) => r.encoded_len(),
        A::RespondWorkflowTaskCompleted(r) => r.encoded_len(),
        A::RespondWorkflowTaskFailed(r) => r.encoded_len(),
        A::RespondQueryTaskCompleted(r) => r.encoded_len(),
        A::RecordActivityTaskHeartbeat(r) => r.encoded_len(),
        A::RespondActivityTaskCompleted(r) => r.encoded_len(),
        A::RespondActivityTaskFailed(r) => r.encoded_len(),
        A::RespondActivityTaskCanceled(r) => r.encoded_len(),
        _ => 0,
    };
    BASE_BYTES + own
}

pub(crate) fn of_delivery(delivery: &bridge::Delivery) -> usize {
    use bridge::Action as A;
    let own = match &delivery.action {
        A::SignalWithStart(r) => r.encoded_len(),
        A::Start(r) => r.encoded_len(),
        A::Signal(r) => r.encoded_len(),
        A::DeadLetter(letter) => {
            letter.value.as_ref().map_or(0, |value| value.len())
                + letter.key.as_ref().map_or(0, |key| key.len())
        }
    };
    BASE_BYTES + own
}
