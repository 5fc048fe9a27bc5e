//! A full disk in the middle of work: what would begin something is refused and leaves no trace;
//! what ends or frees something goes through, is durable, and the rest goes on when there is room.

use crate::asks::{self, ask, poll_on};
use crate::support::{QUEUE, activity, create_topic, open, options, produce, read_topic};
use journal::testing::{Loss, SimDisk};
use node::{Error, Handle};
use topics::ErrorCode;
use topics::ask as facts;
use workflows::{Refusal, Reply};

/// Until not even a small record fits.
async fn fill(handle: &Handle) {
    for bytes in [100_000, 1_000, 1] {
        let value = "x".repeat(bytes);
        let refused = loop {
            match produce(handle, "t", &[("k", &value)]).await {
                Ok(place) => place.unwrap(),
                Err(error) => break error,
            };
        };
        assert_eq!(refused, Error::Full);
    }
}

/// Of a consumer without a group's membership.
async fn commit(handle: &Handle, offset: i64) -> ErrorCode {
    let metadata = String::new();
    let partition =
        facts::OffsetCommitPartition { partition: 0, offset, leader_epoch: -1, metadata };
    let topic = facts::OffsetCommitTopic { name: "t".into(), partitions: vec![partition] };
    let commit = facts::OffsetCommit {
        group: "g".into(),
        generation: -1,
        member: String::new(),
        instance: None,
        topics: vec![topic],
    };
    match handle.topics(topics::Ask::OffsetCommit(commit)).await.unwrap() {
        topics::Reply::OffsetCommit(results) => results[0].partitions[0].1,
        other => panic!("{other:?}"),
    }
}

async fn committed(handle: &Handle) -> i64 {
    let group =
        facts::OffsetFetchGroup { group: "g".into(), topics: Some(vec![("t".into(), vec![0])]) };
    let fetch = topics::Ask::OffsetFetch(facts::OffsetFetch { groups: vec![group] });
    match handle.topics(fetch).await.unwrap() {
        topics::Reply::OffsetFetch(reply) => reply.groups[0].topics[0].1[0].offset,
        other => panic!("{other:?}"),
    }
}

async fn delete(handle: &Handle, name: &str) -> Result<(), Error> {
    let topics = facts::TopicSelection::Names(vec![name.into()]);
    handle.topics(topics::Ask::DeleteTopics(facts::DeleteTopics { topics })).await.map(drop)
}

async fn describe(handle: &Handle, workflow_id: &str) -> String {
    format!("{:?}", ask(handle, asks::describe(workflow_id)).await)
}

#[tokio::test]
async fn work_can_end_on_a_full_disk_and_none_can_begin() {
    let disk = SimDisk::new(1);
    let (handle, guard) = open(&disk, options());
    for topic in ["t", "doomed"] {
        create_topic(&handle, topic, 1).await.unwrap();
    }
    for workflow in ["w", "dying"] {
        ask(&handle, asks::start_on(workflow, workflow, workflow)).await.unwrap();
    }
    let task = asks::workflow_task(&handle, poll_on("w")).await;
    ask(&handle, asks::complete(&task, vec![activity("a", "a", QUEUE, 1.into())], None))
        .await
        .unwrap();
    let work = asks::activity_task(&handle).await;
    ask(&handle, asks::signal("w", "first")).await.unwrap();
    let task = asks::workflow_task(&handle, poll_on("w")).await;
    disk.set_room_bytes(Some(0));
    fill(&handle).await;

    // What begins something.
    let before = describe(&handle, "w").await;
    for question in [asks::start("new", "new"), asks::signal("w", "more"), poll_on("dying")] {
        let refused = ask(&handle, question.clone()).await;
        assert!(matches!(refused, Err(Error::Full)), "{question:?}: {refused:?}");
    }
    assert_eq!(create_topic(&handle, "late", 1).await, Err(Error::Full));
    assert_eq!(describe(&handle, "w").await, before, "what was refused has left no trace");
    // What ends or frees something.
    ask(&handle, asks::complete_activity(&work)).await.unwrap();
    ask(&handle, asks::complete(&task, vec![], None)).await.unwrap();
    ask(&handle, asks::terminate("dying")).await.unwrap();
    assert_eq!(commit(&handle, 2).await, ErrorCode::None);
    delete(&handle, "doomed").await.unwrap();
    let records = read_topic(&handle, "t").await.len();

    // All of it is on disk, and a full node starts.
    let disk = disk.crash(Loss::Everything, 1);
    guard.stop().await;
    let (handle, guard) = open(&disk, options());
    assert_eq!(committed(&handle).await, 2);
    assert_eq!(handle.log().topic("doomed"), None);
    assert!(describe(&handle, "dying").await.contains("status: Terminated"));
    assert_eq!(read_topic(&handle, "t").await.len(), records);
    let late = ask(&handle, asks::complete_activity(&work)).await;
    assert!(matches!(late, Err(Error::Workflows(Refusal::NotFound(_)))), "{late:?}");
    assert!(matches!(ask(&handle, asks::start("new", "new")).await, Err(Error::Full)));

    // There is room again, and nobody starts the node again.
    disk.set_room_bytes(None);
    let started = ask(&handle, asks::start("new", "new")).await.unwrap();
    assert!(matches!(started, Reply::StartWorkflowExecution(..)), "{started:?}");
    let next = asks::workflow_task(&handle, poll_on("w")).await;
    ask(&handle, asks::complete(&next, vec![], None)).await.unwrap();
    guard.stop().await;
}
