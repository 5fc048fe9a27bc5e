//! Nothing leaves before it is on disk: not an answer, not a refusal that tells of something
//! that is not on disk yet, not a read, not a task, not a wake-up. A disk whose syncs are held
//! back shows it; and when the power is cut instead, it is as if nobody had asked.

use crate::asks::{self, Asked, ask, poll_on, send, send_topics};
use crate::gate::GateDisk;
use crate::support::{self, QUEUE, activity, create_topic, options, read_topic};
use base::{PartitionId, Timestamp};
use journal::testing::{Loss, SimDisk};
use node::{Error, Handle, ManualClock, Node, NodeGuard, NodeOptions};
use std::sync::Arc;
use std::time::Duration;
use temporalio_protos::temporal::api::workflowservice::v1 as service;
use tokio::time::Instant;
use topics::ask as facts;
use workflows::{ActivityTask, Ask, Reply, WorkflowTask};

const NOON: Timestamp = Timestamp(1_700_000_000_000_000);

/// A node whose journal is behind a gate, and whose clock stands still.
fn open(disk: &GateDisk, seed: u64) -> (Handle, NodeGuard) {
    let options = NodeOptions {
        clock: Box::new(ManualClock::new(NOON)),
        entropy: Box::new(base::SeededEntropy::new(seed)),
        limits: asks::small_queues(),
        topics: topics::Config { group_initial_rebalance_delay_ms: 0, ..Default::default() },
        on_failure: Arc::new(|_| {}),
        ..options()
    };
    Node::open_on(disk.clone(), options).unwrap()
}

/// What the questions are about.
struct Facts {
    producer: facts::ProducerIdAndEpoch,
    member: String,
    generation: i32,
    workflow_task: WorkflowTask,
    activity_task: ActivityTask,
    query_task: WorkflowTask,
    query: Asked<Reply>,
}

async fn set_up(handle: &Handle) -> Facts {
    create_topic(handle, "t", 1).await.unwrap();
    create_topic(handle, "doomed", 1).await.unwrap();
    let producer = match handle.topics(init_producer()).await.unwrap() {
        topics::Reply::InitProducerId(producer) => producer,
        other => panic!("{other:?}"),
    };
    let (member, generation) = join_group(handle).await;
    ask(handle, asks::start("run", "start run")).await.unwrap();
    // One that has been worked on, to be queried.
    let other = || poll_on("queries");
    ask(handle, asks::start_on("queries", "queried", "start queried")).await.unwrap();
    let task = asks::workflow_task(handle, other()).await;
    ask(handle, asks::complete(&task, vec![], None)).await.unwrap();
    let query = send(handle, "query", asks::query("queried"));
    let query_task = asks::workflow_task(handle, other()).await;
    // One with a workflow task and an activity task that are with workers.
    ask(handle, asks::start_on("dying", "dying", "start dying")).await.unwrap();
    let task = asks::workflow_task(handle, poll_on("dying")).await;
    let commands = vec![activity("a", "a", QUEUE, 1.into())];
    ask(handle, asks::complete(&task, commands, None)).await.unwrap();
    let activity_task = asks::activity_task(handle).await;
    ask(handle, asks::signal("dying", "wake")).await.unwrap();
    let workflow_task = asks::workflow_task(handle, poll_on("dying")).await;
    Facts { producer, member, generation, workflow_task, activity_task, query_task, query }
}

fn init_producer() -> topics::Ask {
    let current = facts::ProducerIdAndEpoch { id: -1, epoch: -1 };
    topics::Ask::InitProducerId(facts::InitProducerId { transactional_id: None, current })
}

fn join(member: &str) -> topics::Ask {
    topics::Ask::JoinGroup(facts::JoinGroup {
        group: "g".into(),
        member: member.into(),
        instance: None,
        client_id: "client".into(),
        client_host: "/127.0.0.1".into(),
        session_timeout_ms: 30_000,
        rebalance_timeout_ms: 30_000,
        protocol_type: "consumer".into(),
        protocols: vec![("range".into(), bytes::Bytes::new())],
        requires_known_member: false,
        supports_skipping_assignment: true,
    })
}

async fn join_group(handle: &Handle) -> (String, i32) {
    let joined = match handle.topics(join("")).await.unwrap() {
        topics::Reply::JoinGroup(joined) => joined,
        other => panic!("{other:?}"),
    };
    let sync = topics::Ask::SyncGroup(facts::SyncGroup {
        group: "g".into(),
        generation: joined.generation,
        member: joined.member.clone(),
        instance: None,
        protocol_type: None,
        protocol_name: None,
        assignments: vec![(joined.member.clone(), bytes::Bytes::from_static(b"all"))],
    });
    let synced = handle.topics(sync).await.unwrap();
    assert!(matches!(synced, topics::Reply::SyncGroup(reply) if reply.assignment == "all"));
    (joined.member, joined.generation)
}

/// A question, and what its answer must say: first on a node where nothing of this was asked
/// before, then what it may say if some of it was.
type Question<T> = (&'static str, T, &'static [&'static str]);

fn questions_to_the_intent(facts: &Facts) -> Vec<Question<Ask>> {
    let register = || {
        Ask::RegisterNamespace(Box::new(service::RegisterNamespaceRequest {
            namespace: "shop".into(),
            workflow_execution_retention_period: asks::seconds(86_400),
            ..Default::default()
        }))
    };
    const STALE: &[&str] = &["NotFound"];
    vec![
        ("start", asks::start("w", "one"), &["started: true"]),
        ("start of another", asks::start("w", "two"), &["AlreadyStarted"]),
        ("start again", asks::start("w", "one"), &["started: true"]),
        ("describe", asks::describe("w"), &["status: Running"]),
        ("history", asks::history("w", None), &["next_event_id: 3"]),
        ("signal", asks::signal("run", "s"), &["SignalWorkflowExecution"]),
        ("signal again", asks::signal("run", "s"), &["SignalWorkflowExecution"]),
        ("terminate", asks::terminate("dying"), &["TerminateWorkflow", "WorkflowClosed"]),
        ("terminate again", asks::terminate("dying"), &["WorkflowClosed"]),
        ("signal to a closed run", asks::signal("dying", "s"), &["WorkflowClosed"]),
        ("cancel of a closed run", asks::cancel("dying"), &["RequestCancelWorkflow"]),
        ("stale workflow task", asks::complete(&facts.workflow_task, vec![], None), STALE),
        ("stale activity task", asks::complete_activity(&facts.activity_task), STALE),
        ("stale failure", asks::fail_activity(&facts.activity_task), STALE),
        ("stale heartbeat", asks::heartbeat(&facts.activity_task), STALE),
        ("describe closed", asks::describe("dying"), &["status: Terminated"]),
        ("start after a close", asks::start("dying", "new"), &["started: true"]),
        ("poll", poll_on(QUEUE), &["started_event_id: 4"]),
        ("register", register(), &["RegisterNamespace", "NamespaceAlreadyExists"]),
        ("register again", register(), &["NamespaceAlreadyExists"]),
        ("start on a queue that is polled", asks::start_on("polled", "p", "p"), &["started: true"]),
    ]
}

fn questions_to_the_facts(facts: &Facts) -> Vec<Question<topics::Ask>> {
    let new = |name: &str| facts::NewTopic {
        name: name.into(),
        partition_count: 1,
        replication_factor: 1,
        assignments: vec![],
        configs: vec![],
    };
    let create = || {
        let create = facts::CreateTopics { topics: vec![new("n")], validate_only: false };
        topics::Ask::CreateTopics(create)
    };
    let names = |name: &str| facts::TopicSelection::Names(vec![name.into()]);
    let delete = || topics::Ask::DeleteTopics(facts::DeleteTopics { topics: names("doomed") });
    let metadata = topics::Ask::Metadata(facts::Metadata {
        topics: names("n"),
        allow_auto_topic_creation: false,
    });
    let fetch =
        facts::OffsetFetchGroup { group: "g".into(), topics: Some(vec![("t".into(), vec![0])]) };
    let leave =
        facts::LeaveGroup { group: "g".into(), members: vec![(facts.member.clone(), None)] };
    let heartbeat = facts::Heartbeat {
        group: "g".into(),
        generation: facts.generation,
        member: facts.member.clone(),
        instance: None,
    };
    vec![
        ("create", create(), &["error: None", "TopicAlreadyExists"]),
        ("create again", create(), &["TopicAlreadyExists"]),
        ("metadata", metadata, &["error: None"]),
        ("delete", delete(), &["error: None", "UnknownTopicOrPartition"]),
        ("delete again", delete(), &["UnknownTopicOrPartition"]),
        ("producer id", init_producer(), &["epoch: 0"]),
        ("commit", commit(facts), &["None", "UnknownMemberId"]),
        (
            "offset",
            topics::Ask::OffsetFetch(facts::OffsetFetch { groups: vec![fetch] }),
            &["offset: 7"],
        ),
        ("leave", topics::Ask::LeaveGroup(leave), &["error: None", "UnknownMemberId"]),
        ("heartbeat after leaving", topics::Ask::Heartbeat(heartbeat), &["UnknownMemberId"]),
        ("commit after leaving", commit(facts), &["UnknownMemberId"]),
    ]
}

fn produces(facts: &Facts) -> Vec<Question<topics::Ask>> {
    let nobody = facts::ProducerIdAndEpoch { id: -1, epoch: -1 };
    vec![
        ("produce", asks::produce("t", facts.producer, 0), &["base_offset: 0"]),
        ("duplicate", asks::produce("t", facts.producer, 0), &["base_offset: 0"]),
        ("gap", asks::produce("t", facts.producer, 5), &["OutOfOrderSequenceNumber"]),
        ("other", asks::produce("t", nobody, 0), &["base_offset: 1", "base_offset: 2"]),
    ]
}

fn commit(facts: &Facts) -> topics::Ask {
    let partition = facts::OffsetCommitPartition {
        partition: 0,
        offset: 7,
        leader_epoch: -1,
        metadata: String::new(),
    };
    let topic = facts::OffsetCommitTopic { name: "t".into(), partitions: vec![partition] };
    topics::Ask::OffsetCommit(facts::OffsetCommit {
        group: "g".into(),
        generation: facts.generation,
        member: facts.member.clone(),
        instance: None,
        topics: vec![topic],
    })
}

/// All questions on their way, with what their answers must say.
struct Sent {
    intent: Vec<(Asked<Reply>, &'static [&'static str])>,
    facts: Vec<(Asked<topics::Reply>, &'static [&'static str])>,
}

fn send_all(handle: &Handle, facts: &Facts) -> Sent {
    let produces = produces(facts).into_iter().chain(questions_to_the_facts(facts));
    let facts_sent =
        produces.map(|(about, ask, want)| (send_topics(handle, about, ask), want)).collect();
    let intent = questions_to_the_intent(facts);
    let intent = intent.into_iter().map(|(about, ask, want)| (send(handle, about, ask), want));
    Sent { intent: intent.collect(), facts: facts_sent }
}

/// Waits until all that was sent before has been decided.
async fn all_decided(handle: &Handle) {
    asks::others_decided(handle).await;
    let nobody = facts::ProducerIdAndEpoch { id: -1, epoch: -1 };
    let mut produce = asks::produce("no-topic", nobody, 0);
    if let topics::Ask::Produce(produce) = &mut produce {
        for partition in &mut produce.partitions {
            partition.batch = base::Blob::new("x".repeat(128 << 10).into());
        }
    }
    drop(handle.send_topics(produce).await.unwrap());
}

/// Those who wait for something to happen.
struct Watchers {
    history: Asked<Reply>,
    poll: Asked<Reply>,
    bytes: Asked<()>,
    topic: Asked<()>,
}

impl Watchers {
    fn watch(handle: &Handle) -> Watchers {
        let topic = handle.log().topic("t").unwrap().id;
        let (log, named) = (handle.log().clone(), handle.log().clone());
        Watchers {
            history: send(handle, "history poll", asks::history("run", Some(3))),
            poll: send(handle, "waiting poll", poll_on("polled")),
            bytes: Asked::new("fetch", async move {
                let deadline = Instant::now() + Duration::from_secs(3_600);
                log.wait_for_bytes(&[(PartitionId { topic, index: 0 }, 0)], 1, deadline).await;
                Ok(())
            }),
            topic: Asked::new("topic", async move {
                named.wait_for_topic("n").await;
                Ok(())
            }),
        }
    }

    fn assert_wait(&mut self) {
        self.history.assert_waits();
        self.poll.assert_waits();
        self.bytes.assert_waits();
        self.topic.assert_waits();
    }
}

/// Nothing of what was decided can be seen.
async fn assert_unseen(handle: &Handle, sent: &mut Sent) {
    sent.intent.iter_mut().for_each(|(asked, _)| asked.assert_waits());
    sent.facts.iter_mut().for_each(|(asked, _)| asked.assert_waits());
    let log = handle.log();
    assert!(log.topic("n").is_none() && log.topic("doomed").is_some());
    let partition = PartitionId { topic: log.topic("t").unwrap().id, index: 0 };
    assert_eq!(log.high_watermark(partition), Some(0));
    assert!(read_topic(handle, "t").await.is_empty());
}

async fn check_answers(sent: Sent, may_have_been_asked: bool) {
    let check = |about: &str, answer: String, want: &[&str]| {
        let want = if may_have_been_asked { want } else { &want[..1] };
        assert!(want.iter().any(|want| answer.contains(want)), "{about}: {answer}");
    };
    for (asked, want) in sent.facts {
        let about = asked.about.clone();
        check(&about, format!("{:?}", asked.answer().await), want);
    }
    for (asked, want) in sent.intent {
        let about = asked.about.clone();
        check(&about, format!("{:?}", readable(asked.answer().await)), want);
    }
}

/// Status numbers by their names.
fn readable(answer: Result<Reply, Error>) -> String {
    match &answer {
        Ok(Reply::DescribeWorkflowExecution(reply)) => {
            let status = reply.workflow_execution_info.as_ref().unwrap().status();
            format!("status: {status:?}")
        }
        other => format!("{other:?}"),
    }
}

#[tokio::test]
async fn no_answer_leaves_before_what_it_tells_is_on_disk() {
    let disk = GateDisk::new(SimDisk::new(1));
    let (handle, guard) = open(&disk, 1);
    let mut facts = set_up(&handle).await;
    let mut watchers = Watchers::watch(&handle);
    let hold = disk.hold();
    let mut sent = send_all(&handle, &facts);
    let mut answer = send(&handle, "answer to the query", asks::answer(&facts.query_task));
    all_decided(&handle).await;
    assert_unseen(&handle, &mut sent).await;
    watchers.assert_wait();
    facts.query.assert_waits();
    answer.assert_waits();
    drop(hold);
    check_answers(sent, false).await;
    assert!(matches!(answer.answer().await, Ok(Reply::RespondQueryTaskCompleted)));
    assert!(matches!(facts.query.answer().await, Ok(Reply::QueryWorkflow(_))));
    assert!(matches!(watchers.history.answer().await, Ok(Reply::GetWorkflowExecutionHistory(_))));
    assert!(matches!(watchers.poll.answer().await, Ok(Reply::WorkflowTask(_))));
    watchers.bytes.answer().await.unwrap();
    watchers.topic.answer().await.unwrap();
    guard.stop().await;
}

#[tokio::test]
async fn after_a_power_cut_it_is_as_if_nobody_had_asked() {
    for (seed, loss) in (0..12).zip(Loss::ALL.into_iter().cycle()) {
        let disk = GateDisk::new(SimDisk::new(seed));
        let (handle, guard) = open(&disk, seed);
        let facts = set_up(&handle).await;
        let mut watchers = Watchers::watch(&handle);
        let _hold = disk.hold();
        let mut sent = send_all(&handle, &facts);
        all_decided(&handle).await;
        assert_unseen(&handle, &mut sent).await;
        watchers.assert_wait();
        let after = GateDisk::new(disk.disk.crash(loss, seed));
        disk.cut();
        for (asked, _) in sent.intent {
            assert_eq!(asked.answer().await.unwrap_err(), Error::Stopping);
        }
        for (asked, _) in sent.facts {
            assert_eq!(asked.answer().await.unwrap_err(), Error::Stopping);
        }
        assert_eq!(watchers.history.answer().await.unwrap_err(), Error::Stopping);
        assert_eq!(watchers.poll.answer().await.unwrap_err(), Error::Stopping);
        guard.stop().await;

        let (handle, guard) = open(&after, 100 + seed);
        let mut sent = send_all(&handle, &facts);
        all_decided(&handle).await;
        // The poll found a task that was out, or not: it is another one's history.
        sent.intent.retain(|(asked, _)| asked.about != "poll");
        check_answers(sent, loss != Loss::Everything).await;
        guard.stop().await;
    }
}

/// A killed process leaves writes that are in the page cache only. Whoever starts on them shows
/// them to others, so they must be on disk by then.
#[tokio::test]
async fn what_a_restart_has_shown_survives_a_power_cut() {
    for seed in 0..8 {
        let disk = GateDisk::new(SimDisk::new(seed));
        let (handle, guard) = open(&disk, seed);
        let facts = set_up(&handle).await;
        let _hold = disk.hold();
        let sent = send_all(&handle, &facts);
        all_decided(&handle).await;
        let killed = disk.disk.restart();
        disk.cut();
        drop(sent);
        guard.stop().await;

        let (handle, guard) = support::open(&killed, options());
        let shown = read_topic(&handle, "t").await;
        let cut = killed.crash(Loss::Everything, seed);
        guard.stop().await;
        let (handle, guard) = support::open(&cut, options());
        assert_eq!(read_topic(&handle, "t").await, shown);
        guard.stop().await;
    }
}
