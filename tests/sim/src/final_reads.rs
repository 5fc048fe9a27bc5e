//! The last look at the log: every partition from its first offset to its end, and every
//! committed offset. Also how far a route is behind.

use crate::kafka_client::{Error, KafkaClient};
use crate::log_client::{Bound, LogClient};
use crate::network::Network;
use crate::surroundings::Surroundings;
use crate::topic_layout::TopicLayout;
use checker::{Answer, Call, Partition, Place, Record};

/// What the group of a route is called.
pub fn group_of_route(route: &str) -> String {
    format!("mainstay-route-{route}")
}

/// Reads every partition of every topic, and what these groups have committed.
pub async fn final_reads(
    around: &Surroundings,
    process: u32,
    groups: &[String],
) -> Result<(), Error> {
    let mut client = KafkaClient::connect(&around.network)?;
    let partitions = TopicLayout::of(&mut client, None).await?.partitions();
    let mut client = LogClient::new(client, &around.history, process);
    for partition in &partitions {
        read_log(around, &mut client, process, partition).await?;
    }
    for group in groups {
        client.committed(group, &partitions).await?;
    }
    Ok(())
}

async fn read_log(
    around: &Surroundings,
    client: &mut LogClient,
    process: u32,
    partition: &Partition,
) -> Result<(), Error> {
    let op = around.history.invoke(process, Call::ReadLog(partition.clone()));
    let read = read_whole(client, partition).await;
    match &read {
        Ok((start, end, records)) => {
            let (start, end, records) = (*start, *end, records.clone());
            around.history.ok(op, Answer::Log { start, end, records });
        }
        Err(error) => around.history.unknown(op, error),
    }
    read.map(drop)
}

async fn read_whole(
    client: &mut LogClient,
    partition: &Partition,
) -> Result<(i64, i64, Vec<Record>), Error> {
    let start = bound(client, Bound::Start, partition).await?;
    let end = bound(client, Bound::End, partition).await?;
    let mut records: Vec<Record> = Vec::new();
    let mut offset = start;
    while offset < end {
        let Partition { topic, partition } = partition.clone();
        let from = Place { topic, partition, offset };
        let mut fetched = client.fetch(&[from], 0).await?;
        let more = fetched.pop().map_or(Ok(Vec::new()), |it| it.1).map_err(Error::Refused)?;
        // A log that ends before its end is for the judge.
        let Some(last) = more.last() else { break };
        offset = last.offset + 1;
        records.extend(more);
    }
    Ok((start, end, records))
}

async fn bound(client: &mut LogClient, bound: Bound, partition: &Partition) -> Result<i64, Error> {
    let told = client.ask_bounds(bound, std::slice::from_ref(partition)).await?;
    told.into_iter().next().unwrap_or(Err(-1)).map_err(Error::Refused)
}

/// How many records of these topics the route has not carried on yet; `None` if the node cannot
/// be asked.
pub async fn route_lag(network: &Network, route: &str, topics: &[&str]) -> Option<u64> {
    lag(network, route, topics).await.ok()
}

async fn lag(network: &Network, route: &str, topics: &[&str]) -> Result<u64, Error> {
    let mut client = KafkaClient::connect(network)?;
    let layout = TopicLayout::of(&mut client, None).await?;
    let mut partitions = layout.partitions();
    partitions.retain(|it| topics.contains(&it.topic.as_str()));
    // Nothing that is asked here is written down.
    let history = crate::history::History::new(crate::clock::Wall::new(), false);
    let mut client = LogClient::new(client, &history, 0);
    let committed = client.ask_committed(&group_of_route(route), &partitions).await?;
    let ends = client.ask_bounds(Bound::End, &partitions).await?;
    let mut lag = 0;
    for (committed, end) in committed.into_iter().zip(ends) {
        let end = end.map_err(Error::Refused)?;
        let carried = committed.map_err(Error::Refused)?.unwrap_or(0);
        lag += u64::try_from(end - carried).unwrap_or(0);
    }
    Ok(lag)
}
