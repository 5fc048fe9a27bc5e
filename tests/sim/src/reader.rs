//! A reader outside any group: reads everything from the beginning, goes back now and then and
//! reads again, looks at the ends of the log, and commits where it is to a group of its own.

use crate::kafka_client::{Error, KafkaClient, name_of};
use crate::log_client::{Bound, LogClient};
use crate::random::Random;
use crate::stage::Part;
use crate::surroundings::Surroundings;
use crate::topic_layout::TopicLayout;
use checker::{Partition, Place};
use tokio::time::sleep;

/// A reader.
pub struct Reader {
    around: Surroundings,
    process: u32,
    name: String,
    random: Random,
    /// Where it reads on, in each partition.
    places: Vec<Place>,
}

impl Reader {
    /// The reader of this number. Its process in the history must be its own.
    pub fn new(around: &Surroundings, number: u64, process: u32) -> Reader {
        let name = format!("reader-{number}");
        let random = Random::new(around.seed, &name);
        Reader { around: around.clone(), process, name, random, places: Vec::new() }
    }

    /// The group to which it commits.
    pub fn group(&self) -> String {
        format!("of-{}", self.name)
    }

    /// Reads until everything has arrived.
    pub async fn run(mut self) {
        while !self.is_over() {
            self.around.network.up().await;
            if let Err(error) = self.read().await
                && let Error::Malformed(reason) = &error
            {
                self.around.findings.add("protocol", format!("{}: {reason}", self.name));
            }
            let pause = self.random.millis(10, 300);
            sleep(pause).await;
        }
    }

    fn is_over(&self) -> bool {
        self.around.stage.part() >= Part::Arrived
    }

    async fn read(&mut self) -> Result<(), Error> {
        let mut client = KafkaClient::connect(&self.around.network)?;
        let layout = TopicLayout::make(&mut client, self.around.load.partitions).await?;
        self.learn(layout.partitions());
        let mut client = LogClient::new(client, &self.around.history, self.process);
        let requests = self.random.between(5, 60);
        for _ in 0..requests {
            if self.is_over() {
                break;
            }
            self.look(&mut client).await?;
            let pause = self.random.millis(0, 150);
            sleep(pause).await;
        }
        Ok(())
    }

    /// Partitions that it did not know are read from their first offset, which is 0: nothing is
    /// ever deleted here.
    fn learn(&mut self, partitions: Vec<Partition>) {
        for Partition { topic, partition } in partitions {
            let is_it = |it: &Place| it.topic == topic && it.partition == partition;
            if !self.places.iter().any(is_it) {
                self.places.push(Place { topic, partition, offset: 0 });
            }
        }
    }

    async fn look(&mut self, client: &mut LogClient) -> Result<(), Error> {
        match self.random.below(10) {
            0..6 => self.poll(client).await,
            6 => {
                self.go_back();
                self.poll(client).await
            }
            7 => {
                let bound = *self.random.pick(&[Bound::End, Bound::End, Bound::Start]);
                client.bounds(bound, &self.partitions()).await.map(drop)
            }
            8 => {
                let (group, places) = (self.group(), self.places.clone());
                client.commit(&group, None, &places).await.map(drop)
            }
            _ => {
                let (group, partitions) = (self.group(), self.partitions());
                client.committed(&group, &partitions).await.map(drop)
            }
        }
    }

    async fn poll(&mut self, client: &mut LogClient) -> Result<(), Error> {
        let max_wait_ms = *self.random.pick(&[0, 0, 100, 500]);
        for (place, records) in client.poll(&self.name, None, &self.places, max_wait_ms).await? {
            match records {
                Ok(records) => advance(&mut self.places, &records),
                Err(code) => {
                    let what = out_of_range(&self.name, &place, code);
                    what.into_iter().for_each(|what| self.around.findings.add("L1", what));
                }
            }
        }
        Ok(())
    }

    fn go_back(&mut self) {
        for place in &mut self.places {
            if self.random.percent(50) {
                place.offset = self.random.between(0, place.offset as u64) as i64;
            }
        }
    }

    fn partitions(&self) -> Vec<Partition> {
        self.places.iter().map(partition_of).collect()
    }
}

/// The partition of a place.
pub(crate) fn partition_of(place: &Place) -> Partition {
    Partition { topic: place.topic.clone(), partition: place.partition }
}

/// Goes on behind what was read.
pub(crate) fn advance(places: &mut [Place], records: &[checker::Record]) {
    let Some(last) = records.last() else { return };
    let is_it = |it: &&mut Place| it.topic == last.topic && it.partition == last.partition;
    if let Some(place) = places.iter_mut().find(is_it) {
        place.offset = last.offset + 1;
    }
}

/// What is wrong if a reader may not read on where it is: what it has read there is gone.
pub(crate) fn out_of_range(reader: &str, place: &Place, code: i16) -> Option<String> {
    let out_of_range = kafka_protocol::error::ResponseError::OffsetOutOfRange.code();
    let Place { topic, partition, offset } = place;
    (code == out_of_range)
        .then(|| format!("{reader} reads on at {topic}/{partition} {offset}: {}", name_of(code)))
}
