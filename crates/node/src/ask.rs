//! What the writer can be asked, and what it answers: the machines' own words, and two asks that
//! concern several machines at once.

use bridge::{DeliverError, Delivery, Outcome};
use bytes::Bytes;
use topics::ask::ProduceError;
use topics::{Ask as TopicsAsk, BatchHeader, Reply as TopicsReply};
use workflows::TaskToken;

/// A request to the writer.
#[derive(Debug)]
pub(crate) enum Ask {
    Topics(TopicsAsk),
    Workflows(workflows::Ask),
    Bridge(bridge::machine::Ask),
    /// A record goes its route's way, in one entry with the route's position.
    Route(Box<Route>),
    /// A workflow's record is appended, in one entry with its activity's completion.
    Publish(Box<Publish>),
}

/// What the writer answers. Each variant answers the ask of the same name.
#[derive(Debug)]
pub(crate) enum Reply {
    Topics(TopicsReply),
    Workflows(workflows::Reply),
    Bridge(Result<bridge::machine::Reply, bridge::machine::Refusal>),
    Route(Result<Outcome, DeliverError>),
    Publish(Result<(), NotPublished>),
}

/// See [`Ask::Route`].
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) delivery: Delivery,
    /// The record of [`bridge::Action::DeadLetter`], built outside the writer.
    pub(crate) dead_letter: Option<RecordAppend>,
}

/// See [`Ask::Publish`].
#[derive(Clone, Debug)]
pub(crate) struct Publish {
    pub(crate) record: RecordAppend,
    /// The activity's task.
    pub(crate) token: TaskToken,
    pub(crate) namespace: String,
}

/// Why nothing was published.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum NotPublished {
    /// The log does not take the record.
    Record(ProduceError),
    /// The activity is not waiting for it any more.
    Activity(workflows::Refusal),
}

/// One record in a batch of its own, for a partition that the writer determines.
#[derive(Clone, Debug)]
pub(crate) struct RecordAppend {
    pub(crate) topic: String,
    pub(crate) place: Place,
    pub(crate) header: BatchHeader,
    pub(crate) batch: base::Blob,
}

/// How the partition is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Partition(i32),
    /// By murmur2 of the key, as the Java client does.
    KeyHash(i32),
    /// Round robin.
    Any,
}

impl Place {
    pub(crate) fn of_key(key: Option<&[u8]>) -> Place {
        key.map_or(Place::Any, |key| Place::KeyHash(base::hash::murmur2(key)))
    }
}

/// What a task that nobody takes must be given back with.
pub(crate) fn returned(reply: workflows::Reply) -> Vec<workflows::Ask> {
    use workflows::Reply as R;
    let tokens = match reply {
        R::WorkflowTask(task) => task.token.into_iter().collect(),
        R::StartWorkflowExecution(_, Some(task)) => task.token.into_iter().collect(),
        R::RespondWorkflowTaskCompleted(response, task) => {
            let eager = response.activity_tasks.into_iter();
            let eager = eager.map(|task| TaskToken(Bytes::from(task.task_token)));
            task.and_then(|task| task.token).into_iter().chain(eager).collect()
        }
        R::ActivityTask(task) => vec![task.token],
        _ => Vec::new(),
    };
    tokens.into_iter().map(workflows::Ask::Undelivered).collect()
}
