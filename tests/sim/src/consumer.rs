//! A consumer of a group: reads from the committed offset, commits behind what it has handled,
//! and dies now and then without a word.

use crate::kafka_client::{Error, KafkaClient, is, name_of};
use crate::log_client::{Bound, LogClient};
use crate::membership::{Applicant, Membership};
use crate::random::Random;
use crate::reader::{advance, out_of_range, partition_of};
use crate::stage::Part;
use crate::surroundings::{PLAIN_TOPIC, ROUTED_TOPIC, Surroundings};
use crate::topic_layout::TopicLayout;
use checker::{Partition, Place};
use kafka_protocol::error::ResponseError;
use tokio::time::{Duration, Instant, sleep};

/// A consumer.
pub struct Consumer {
    around: Surroundings,
    process: u32,
    name: String,
    applicant: Applicant,
    random: Random,
    /// Steps between two deaths, about.
    steps_per_life: u64,
}

/// Why a step was the last of its generation.
enum Over {
    /// The group is made anew.
    Rebalance,
    /// It is not a member any more.
    Expelled,
    /// It has gone of its own will.
    Left,
}

impl Consumer {
    /// The consumer of this number, in this group. Its process in the history must be its own.
    pub fn new(around: &Surroundings, number: u64, process: u32, group: &str) -> Consumer {
        let name = format!("consumer-{number}");
        let random = Random::new(around.seed, &name);
        let applicant = Applicant {
            group: group.to_owned(),
            instance: random.percent(25).then(|| format!("{group}-{number}")),
            session_timeout: random.millis(1_000, 8_000),
            topics: vec![ROUTED_TOPIC.to_owned(), PLAIN_TOPIC.to_owned()],
        };
        let steps_per_life = random.between(10, 200);
        Consumer { around: around.clone(), process, name, applicant, random, steps_per_life }
    }

    /// Reads until everything has arrived.
    pub async fn run(mut self) {
        while !self.is_over() {
            self.around.network.up().await;
            if let Err(error) = self.live().await {
                self.explain(&error);
            }
            let pause = self.random.millis(10, 1_500);
            sleep(pause).await;
        }
    }

    fn is_over(&self) -> bool {
        self.around.stage.part() >= Part::Arrived
    }

    /// Errors that a member must be ready for are no findings.
    fn explain(&self, error: &Error) {
        use ResponseError::{
            CoordinatorLoadInProgress, CoordinatorNotAvailable, FencedInstanceId,
            IllegalGeneration, KafkaStorageError, RebalanceInProgress, UnknownMemberId,
            UnknownTopicOrPartition,
        };
        let expected = [
            CoordinatorLoadInProgress,
            CoordinatorNotAvailable,
            FencedInstanceId,
            IllegalGeneration,
            KafkaStorageError,
            RebalanceInProgress,
            UnknownMemberId,
            UnknownTopicOrPartition,
        ];
        let unexpected = match error {
            Error::Gone | Error::Late => false,
            Error::Refused(code) => !expected.iter().any(|it| is(*code, *it)),
            Error::Malformed(_) => true,
        };
        if unexpected {
            self.around.findings.add("protocol", format!("{}: {error}", self.name));
        }
    }

    async fn live(&mut self) -> Result<(), Error> {
        let mut client = KafkaClient::connect(&self.around.network)?;
        let layout = TopicLayout::make(&mut client, self.around.load.partitions).await?;
        self.applicant.find(&mut client).await?;
        let mut client = LogClient::new(client, &self.around.history, self.process);
        let mut member = String::new();
        loop {
            let partitions = layout.partitions();
            let joined = self.applicant.join(&mut client.client, &member, &partitions).await;
            let membership = match joined {
                Err(Error::Refused(code)) if is(code, ResponseError::RebalanceInProgress) => {
                    let pause = self.random.millis(10, 200);
                    sleep(pause).await;
                    continue;
                }
                joined => joined?,
            };
            member.clone_from(&membership.credentials.member);
            match self.generation(&mut client, &membership).await? {
                Over::Rebalance => {}
                Over::Expelled | Over::Left => return Ok(()),
            }
        }
    }

    /// Works as a member until the generation is over.
    async fn generation(
        &mut self,
        client: &mut LogClient,
        membership: &Membership,
    ) -> Result<Over, Error> {
        let by = &membership.credentials;
        let mut places = self.begin(client, &membership.assigned).await?;
        let mut heard = Instant::now();
        loop {
            if self.is_over() {
                self.applicant.leave(&mut client.client, by).await?;
                return Ok(Over::Left);
            }
            if self.around.stage.is_noisy() && self.random.below(self.steps_per_life) == 0 {
                return Err(Error::Gone);
            }
            if heard.elapsed() >= self.applicant.session_timeout / 4 {
                heard = Instant::now();
                let beat = self.applicant.heartbeat(&mut client.client, by).await;
                if let Some(over) = is_over(beat)? {
                    self.commit(client, membership, &places).await?;
                    return Ok(over);
                }
            }
            self.step(client, &mut places).await?;
            if self.random.percent(60)
                && let Some(over) = self.commit(client, membership, &places).await?
            {
                return Ok(over);
            }
            let pause = self.random.millis(0, 200);
            sleep(pause).await;
        }
    }

    /// Where the group is, or the first offset.
    async fn begin(
        &mut self,
        client: &mut LogClient,
        assigned: &[Partition],
    ) -> Result<Vec<Place>, Error> {
        if assigned.is_empty() {
            return Ok(Vec::new());
        }
        let committed = client.committed(&self.applicant.group, assigned).await?;
        let starts = client.bounds(Bound::Start, assigned).await?;
        let mut places = Vec::with_capacity(assigned.len());
        for ((partition, committed), start) in assigned.iter().zip(committed).zip(starts) {
            let start = start.map_err(Error::Refused)?;
            let offset = committed.map_err(Error::Refused)?.unwrap_or(start);
            let Partition { topic, partition } = partition.clone();
            places.push(Place { topic, partition, offset });
        }
        Ok(places)
    }

    async fn step(&mut self, client: &mut LogClient, places: &mut [Place]) -> Result<(), Error> {
        if places.is_empty() {
            sleep(Duration::from_millis(200)).await;
            return Ok(());
        }
        let group = Some(self.applicant.group.as_str());
        let max_wait_ms = if self.random.percent(50) { 0 } else { 250 };
        for (place, records) in client.poll(&self.name, group, places, max_wait_ms).await? {
            match records {
                Ok(records) => advance(places, &records),
                Err(code) => {
                    let what = out_of_range(&self.name, &place, code);
                    what.into_iter().for_each(|what| self.around.findings.add("L1", what));
                }
            }
        }
        if self.random.percent(10) {
            let partitions: Vec<Partition> = places.iter().map(partition_of).collect();
            client.committed(&self.applicant.group, &partitions).await?;
            client.bounds(Bound::End, &partitions).await?;
        }
        Ok(())
    }

    async fn commit(
        &mut self,
        client: &mut LogClient,
        membership: &Membership,
        places: &[Place],
    ) -> Result<Option<Over>, Error> {
        if places.is_empty() {
            return Ok(None);
        }
        let by = Some(&membership.credentials);
        for told in client.commit(&self.applicant.group, by, places).await? {
            if let Some(over) = is_over(told.map_err(Error::Refused))? {
                return Ok(Some(over));
            }
        }
        Ok(None)
    }
}

/// What a code says about the generation. Others than the expected are errors.
fn is_over(told: Result<(), Error>) -> Result<Option<Over>, Error> {
    use ResponseError::{
        CoordinatorNotAvailable, FencedInstanceId, IllegalGeneration, RebalanceInProgress,
        UnknownMemberId,
    };
    let code = match told {
        Ok(()) => return Ok(None),
        Err(Error::Refused(code)) => code,
        Err(error) => return Err(error),
    };
    if is(code, RebalanceInProgress) {
        return Ok(Some(Over::Rebalance));
    }
    if [IllegalGeneration, UnknownMemberId, FencedInstanceId].iter().any(|it| is(code, *it)) {
        return Ok(Some(Over::Expelled));
    }
    // The disk is full: it stays, and tries again.
    if is(code, CoordinatorNotAvailable) {
        return Ok(None);
    }
    debug_assert!(code != 0, "{}", name_of(code));
    Err(Error::Refused(code))
}
