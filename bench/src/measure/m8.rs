//! M8: signals to one hot entity, through a route and through gRPC, beside the same signals spread
//! over many.
//!
//! Decides whether signals have to be delivered in batches. There is no worker, so that only the way
//! of the signal into the history is timed; an entity takes 10,000 signals a run, so there is a new
//! one in each round. Mainstay is the shipped binary on a real disk.

use super::Found;
use super::quantiles::Quantiles;
use super::table::Table;
use crate::cli::say;
use crate::peer::{self, Peer, Start};
use crate::usage::Server;
use crate::worker::rpc::{self, Rpc, Signal};
use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use std::path::PathBuf;
use std::time::{Duration, Instant};

const ROUTES: &str = r#"
[[route]]
name = "hot"
topics = ["hot"]
workflow_type = "Mailbox"
task_queue = "nobody"
signal = "deliver"
"#;
const TOPIC: &str = "hot";
/// The group whose offset is the route's position.
const GROUP: &str = "mainstay-route-hot";
/// Entities over which signals are spread.
const MANY: u64 = 1_000;
/// Calls under way in gRPC.
const CALLS: usize = 50;
/// Longest wait for a round.
const ROUND_MAX: Duration = Duration::from_secs(60);
const CLIENT_MAX: Duration = Duration::from_secs(10);
/// Between two looks at the route's position.
const LOOK_PAUSE: Duration = Duration::from_millis(2);

/// Options of M8.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The binary to measure, instead of the one beside this program.
    #[arg(long)]
    mainstay: Option<PathBuf>,
    /// Signals in each round.
    #[arg(long, default_value_t = 9_000)]
    signals: u64,
    #[arg(long, default_value_t = 5)]
    rounds: u64,
}

/// What all rounds of one way have given.
struct Sum {
    name: &'static str,
    entities: u64,
    signals: u64,
    wall: Duration,
    cpu: Duration,
    calls: Quantiles,
}

/// Takes the measurement.
pub(crate) async fn run(options: &Options, work: PathBuf) -> Result<Found> {
    ensure!(options.signals < 10_000, "an entity takes fewer than 10,000 signals");
    let start = Start { mainstay: options.mainstay.clone(), work: Some(work), routes: ROUTES };
    let mut peer = peer::start("mainstay", &start).await?;
    let done = rounds(options, &peer).await;
    let alive = peer.check();
    peer.end().await;
    alive?;
    let head = ["way", "entities", "signals/s", "p50 ms", "server us a signal"];
    let mut table = Table::new(head);
    for sum in done? {
        table.row(sum.figures());
    }
    let remark = format!(
        "{} signals in each of {} rounds; gRPC with {CALLS} calls under way. No worker.",
        options.signals, options.rounds
    );
    Ok(Found { tables: vec![table], remarks: vec![remark] })
}

async fn rounds(options: &Options, peer: &Peer) -> Result<Vec<Sum>> {
    let mut sums = [("route", 1), ("route", MANY), ("gRPC", 1), ("gRPC", MANY)]
        .into_iter()
        .map(|(name, entities)| Sum::new(name, entities))
        .collect::<Result<Vec<_>>>()?;
    let kafka = peer.addresses.kafka.as_deref().context("a Kafka front")?;
    let temporal = peer.addresses.temporal.as_deref().context("a Temporal front")?;
    let (route, rpc) = (Route::open(kafka).await?, Rpc::connect(temporal).await?);
    for round in 1..=options.rounds {
        for sum in &mut sums {
            say(&format!("m8: round {round}, {} to {}\n", sum.name, sum.entities));
            let ids = Ids { round, way: sum.name, entities: sum.entities };
            match sum.name {
                "route" => sum.add_routed(&route, ids, options.signals, &peer.server()).await?,
                _ => sum.add_called(&rpc, ids, options.signals, &peer.server()).await?,
            }
        }
    }
    Ok(sums)
}

/// The entities of one round.
#[derive(Clone, Copy)]
struct Ids {
    round: u64,
    way: &'static str,
    entities: u64,
}

impl Ids {
    fn of(self, signal: u64) -> String {
        format!("{}-{}-{}-{}", self.way, self.entities, self.round, signal % self.entities)
    }
}

impl Sum {
    fn new(name: &'static str, entities: u64) -> Result<Sum> {
        let (wall, cpu) = (Duration::ZERO, Duration::ZERO);
        Ok(Sum { name, entities, signals: 0, wall, cpu, calls: Quantiles::new()? })
    }

    async fn add_routed(
        &mut self,
        route: &Route,
        ids: Ids,
        signals: u64,
        server: &Server,
    ) -> Result<()> {
        let (begin, cpu) = (Instant::now(), server.cpu());
        let end = route.send(ids, signals)?;
        route.delivered(end).await?;
        self.wall += begin.elapsed();
        self.cpu += server.cpu().saturating_sub(cpu);
        self.signals += signals;
        Ok(())
    }

    async fn add_called(
        &mut self,
        rpc: &Rpc,
        ids: Ids,
        signals: u64,
        server: &Server,
    ) -> Result<()> {
        for entity in 0..self.entities {
            let workflow_id = ids.of(entity);
            let start = rpc::Start {
                workflow_id: &workflow_id,
                workflow_type: "Mailbox",
                queue: "nobody",
                input: rpc::json(&0),
            };
            rpc.start(start).await?;
        }
        let (begin, cpu) = (Instant::now(), server.cpu());
        let calls = futures::stream::iter(0..signals).map(|number| {
            let (rpc, id) = (rpc.clone(), ids.of(number));
            // On all threads, as in the other rows.
            let call = tokio::spawn(async move {
                let begin = Instant::now();
                let request_id = format!("{id}-{number}");
                let signal = Signal { name: "deliver", input: rpc::json(&number), request_id };
                rpc.signal(&id, signal).await?;
                anyhow::Ok(begin.elapsed())
            });
            async move { call.await? }
        });
        let latencies: Vec<Duration> = calls.buffer_unordered(CALLS).try_collect().await?;
        self.wall += begin.elapsed();
        self.cpu += server.cpu().saturating_sub(cpu);
        self.signals += signals;
        latencies.into_iter().for_each(|latency| self.calls.add(latency));
        Ok(())
    }

    fn figures(&self) -> [String; 5] {
        let signals = self.signals.max(1) as f64;
        [
            self.name.to_owned(),
            self.entities.to_string(),
            format!("{:.0}", signals / self.wall.as_secs_f64()),
            self.calls.p50_ms(),
            format!("{:.1}", self.cpu.as_secs_f64() * 1e6 / signals),
        ]
    }
}

/// The route's topic, and where the route is in it.
struct Route {
    producer: BaseProducer,
    position: BaseConsumer,
}

impl Route {
    async fn open(address: &str) -> Result<Route> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", address).set("linger.ms", "5").set("acks", "all");
        let admin: AdminClient<DefaultClientContext> = config.create()?;
        let topic = NewTopic::new(TOPIC, 1, TopicReplication::Fixed(1));
        for created in admin.create_topics([&topic], &AdminOptions::new()).await? {
            ensure!(created.is_ok(), "the topic cannot be made: {created:?}");
        }
        let producer = config.create()?;
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", address).set("group.id", GROUP);
        Ok(Route { producer, position: config.create()? })
    }

    /// Sends one record for each signal; says where the topic ends then.
    fn send(&self, ids: Ids, signals: u64) -> Result<i64> {
        for number in 0..signals {
            let (key, value) = (ids.of(number), number.to_string());
            let record = BaseRecord::to(TOPIC).partition(0).key(&key).payload(&value);
            self.producer.send(record).map_err(|(error, _)| error)?;
        }
        self.producer.flush(CLIENT_MAX)?;
        let (_, end) = self.position.fetch_watermarks(TOPIC, 0, CLIENT_MAX)?;
        Ok(end)
    }

    /// Waits until the route has delivered all before `end`.
    async fn delivered(&self, end: i64) -> Result<()> {
        let begin = Instant::now();
        let mut partition = TopicPartitionList::new();
        partition.add_partition(TOPIC, 0);
        loop {
            let known = self.position.committed_offsets(partition.clone(), CLIENT_MAX)?;
            let offset = known.find_partition(TOPIC, 0).map(|it| it.offset());
            if matches!(offset, Some(Offset::Offset(at)) if at >= end) {
                return Ok(());
            }
            ensure!(begin.elapsed() < ROUND_MAX, "the route is at {offset:?}, not at {end}");
            tokio::time::sleep(LOOK_PAUSE).await;
        }
    }
}
