//! One partition of one route: one owner, one loop. Reads ahead up to its caps, sorts records
//! into lanes, and keeps deliveries under way.

use super::{Ended, Settings, backoff};
use crate::cursor::Cursor;
use crate::delivery::{Delivery, Fate, Outcome};
use crate::lanes::{Content, Item, LaneId, Lanes, detach};
use crate::mapping::{Mapper, Unmappable};
use crate::ports::{DeliverError, RawBatch, Source, SourceError, Target};
use crate::record;
use base::PartitionId;
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use topics::{Record, Records};

type Reading = Pin<Box<dyn Future<Output = Result<Vec<RawBatch>, SourceError>> + Send>>;
type Delivered = (LaneId, Result<Outcome, DeliverError>);

/// The pump of one partition.
pub(super) struct PartitionPump<S, T> {
    mapper: Mapper,
    partition: PartitionId,
    /// What was done before this pump began.
    cursor: Cursor,
    source: Arc<S>,
    target: Arc<T>,
    settings: Arc<Settings>,
    /// Where the log is read next.
    position: i64,
    /// The first offset that the next record settles.
    unsettled: i64,
    /// Read, and not all in lanes yet.
    batches: VecDeque<RawBatch>,
    /// The first of them, if it is open.
    open: Option<Records>,
    lanes: Lanes,
    under_way: JoinSet<Delivered>,
    failed_reads: u32,
    /// Whether the first dead letter since the start has been told.
    has_told_dead_letter: bool,
}

enum Event {
    Read(Result<Vec<RawBatch>, SourceError>),
    Delivered(Result<Delivered, JoinError>),
    LaneWoke,
}

impl<S: Source, T: Target> PartitionPump<S, T> {
    pub(super) fn new(
        mapper: Mapper,
        (partition, cursor): (PartitionId, Cursor),
        (source, target): (Arc<S>, Arc<T>),
        settings: Arc<Settings>,
    ) -> PartitionPump<S, T> {
        PartitionPump {
            mapper,
            partition,
            position: cursor.next(),
            unsettled: cursor.next(),
            cursor,
            source,
            target,
            settings,
            batches: VecDeque::new(),
            open: None,
            lanes: Lanes::default(),
            under_way: JoinSet::new(),
            failed_reads: 0,
            has_told_dead_letter: false,
        }
    }

    pub(super) async fn run(mut self) -> Ended {
        let mut reading: Option<Reading> = None;
        loop {
            // First what is ready goes out: whether something is under way tells if opening a
            // batch again is worth it.
            self.dispatch();
            self.fill_lanes();
            self.dispatch();
            if reading.is_none() && self.wants_more() {
                reading = Some(self.read());
            }
            let event = self.next_event(&mut reading).await;
            if let Err(ended) = self.take_in(event) {
                return ended;
            }
        }
    }

    async fn next_event(&mut self, reading: &mut Option<Reading>) -> Event {
        let wake = self.lanes.next_wake();
        let read = async {
            match reading.as_mut() {
                Some(reading) => reading.await,
                None => std::future::pending().await,
            }
        };
        let event = tokio::select! {
            biased;
            Some(delivered) = self.under_way.join_next() => Event::Delivered(delivered),
            batches = read => Event::Read(batches),
            () = tokio::time::sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {
                Event::LaneWoke
            }
        };
        if matches!(event, Event::Read(_)) {
            *reading = None;
        }
        event
    }

    fn take_in(&mut self, event: Event) -> Result<(), Ended> {
        match event {
            Event::Read(Ok(batches)) => {
                self.failed_reads = 0;
                self.position = batches.last().map_or(self.position, |b| b.last_offset + 1);
                self.batches.extend(batches);
                Ok(())
            }
            Event::Read(Err(error)) => self.take_in_read_error(error),
            Event::Delivered(Ok((lane, result))) => self.take_in_result(lane, result),
            Event::Delivered(Err(error)) if error.is_panic() => {
                std::panic::resume_unwind(error.into_panic())
            }
            Event::Delivered(Err(_)) => Err(Ended::Stopping),
            Event::LaneWoke => Ok(()),
        }
    }

    fn take_in_read_error(&mut self, error: SourceError) -> Result<(), Ended> {
        let (route, partition) = (&self.mapper.route().name, self.partition);
        match error {
            SourceError::Stopping => Err(Ended::Stopping),
            SourceError::TopicGone => Err(Ended::TopicGone),
            SourceError::Deleted { log_start } if log_start > self.position => {
                let from = self.position;
                tracing::warn!(%route, ?partition, from, log_start, "records deleted before read");
                self.position = log_start;
                Ok(())
            }
            error @ (SourceError::Failed(_) | SourceError::Deleted { .. }) => {
                let error = error.to_string();
                tracing::error!(%route, ?partition, error, "cannot read; trying again");
                self.failed_reads = self.failed_reads.saturating_add(1);
                Ok(())
            }
        }
    }

    fn take_in_result(
        &mut self,
        lane: LaneId,
        result: Result<Outcome, DeliverError>,
    ) -> Result<(), Ended> {
        let route = &self.mapper.route().name;
        let condemned = self.lanes.current(&lane).is_some_and(|item| item.reason.is_some());
        match result {
            Ok(Outcome::Settled(Fate::DeadLettered)) => {
                self.tell_dead_letter(&lane);
                self.lanes.finish(lane);
            }
            Ok(Outcome::Settled(_) | Outcome::AlreadyDone) => self.lanes.finish(lane),
            Err(DeliverError::Permanent(reason)) if !condemned => {
                tracing::warn!(%route, ?lane, reason, "refused for good: to the dead letters");
                self.lanes.condemn(lane, reason);
            }
            // There is no further place to go for a dead letter that is refused: it waits too.
            Err(DeliverError::Transient(reason) | DeliverError::Permanent(reason)) => {
                tracing::warn!(%route, ?lane, reason, "refused for now: the lane waits");
                self.wait(lane);
            }
            Err(DeliverError::NotBound) => return Err(Ended::TopicGone),
            Err(DeliverError::Stopping) => return Err(Ended::Stopping),
        }
        Ok(())
    }

    /// Once in a while is enough: the records themselves say why they are there.
    fn tell_dead_letter(&mut self, lane: &LaneId) {
        if std::mem::replace(&mut self.has_told_dead_letter, true) {
            return;
        }
        let route = &self.mapper.route().name;
        let offset = self.lanes.current(lane).map(|item| item.first);
        let partition = self.partition.index;
        tracing::warn!(%route, partition, offset, "a record went to the dead letters; its headers \
            say why (told once for each partition and start)");
    }

    fn wait(&mut self, lane: LaneId) {
        let salt = self.lanes.current(&lane).map_or(0, |item| item.first).unsigned_abs();
        let settings = &self.settings;
        self.lanes.wait(lane, |attempts| Instant::now() + backoff(settings, attempts, salt));
    }

    fn wants_more(&self) -> bool {
        self.batches.is_empty() && self.has_room()
    }

    fn has_room(&self) -> bool {
        let limits = &self.settings.limits;
        self.lanes.count() < limits.parked_count && self.lanes.bytes() < limits.parked_bytes
    }

    fn read(&self) -> Reading {
        let (source, settings) = (Arc::clone(&self.source), Arc::clone(&self.settings));
        let (partition, position) = (self.partition, self.position);
        let failed = self.failed_reads;
        Box::pin(async move {
            if failed > 0 {
                let salt = u64::from(partition.index.unsigned_abs());
                tokio::time::sleep(backoff(&settings, failed - 1, salt)).await;
            }
            source.read(partition, position, settings.limits.read_bytes).await
        })
    }

    /// Moves what was read into the lanes, as far as the caps allow.
    fn fill_lanes(&mut self) {
        while self.has_room() {
            let Some(records) = &mut self.open else {
                match self.open_next() {
                    true => continue,
                    false => break,
                }
            };
            if let Some(record) = record::next(records) {
                self.sort(&record);
            } else {
                self.open = None;
                self.batches.pop_front();
            }
        }
        // What a batch unfolds to is memory that no cap counts: it is not kept while the
        // partition waits.
        if self.batches.front().is_some_and(record::is_compressed) {
            self.open = None;
        }
    }

    /// Opens the first batch, or gives it up. `false` if there is none, or if it is not worth it
    /// yet.
    fn open_next(&mut self) -> bool {
        let Some(batch) = self.batches.front() else { return false };
        if record::is_compressed(batch) && !self.has_much_room() {
            return false;
        }
        match record::open(batch, self.settings.limits.decoded_bytes) {
            Ok(records) => self.open = Some(records),
            Err(reason) => self.give_up_batch(reason),
        }
        true
    }

    /// Opening a batch again for every record that finds room would be slow; but if nothing is
    /// under way, more room may not come for long.
    fn has_much_room(&self) -> bool {
        let limits = &self.settings.limits;
        let half_empty = self.lanes.count() <= limits.parked_count / 2
            && self.lanes.bytes() <= limits.parked_bytes / 2;
        half_empty || self.under_way.is_empty()
    }

    /// The first batch cannot be decoded: it goes to the dead letters whole.
    fn give_up_batch(&mut self, reason: String) {
        let Some(batch) = self.batches.pop_front() else { return };
        let RawBatch { base_offset: base, last_offset: last, bytes } = batch;
        let first = std::mem::replace(&mut self.unsettled, last + 1);
        if !self.cursor.is_done(last) {
            let reason = Some(Unmappable::Undecodable { reason }.to_string());
            let item = Item { content: Content::Batch { base, last, bytes }, first, reason };
            self.lanes.push(LaneId::DeadLetters, item);
        }
    }

    fn sort(&mut self, record: &Record) {
        // A read may begin in the middle of a batch.
        if record.offset < self.unsettled {
            return;
        }
        let first = std::mem::replace(&mut self.unsettled, record.offset + 1);
        if self.cursor.is_done(record.offset) {
            return;
        }
        let (lane, reason) = match self.mapper.workflow_id(self.partition.index, record) {
            Ok(id) => (LaneId::Workflow(id.into()), None),
            Err(unmappable) => (LaneId::DeadLetters, Some(unmappable.to_string())),
        };
        self.lanes.push(lane, Item { content: Content::Record(detach(record)), first, reason });
    }

    fn dispatch(&mut self) {
        let now = Instant::now();
        while self.under_way.len() < self.settings.limits.in_flight_count {
            let Some((lane, item)) = self.lanes.take_ready(now) else { return };
            match delivery(&self.mapper, self.partition, item) {
                Ok(delivery) => {
                    let target = Arc::clone(&self.target);
                    self.under_way.spawn(async move { (lane, target.deliver(delivery).await) });
                }
                Err(unmappable) => self.lanes.condemn(lane, unmappable.to_string()),
            }
        }
    }
}

fn delivery(mapper: &Mapper, partition: PartitionId, item: &Item) -> Result<Delivery, Unmappable> {
    let reason = item.reason.as_deref();
    Ok(match (&item.content, reason) {
        (Content::Record(record), None) => mapper.map(partition, item.first, record)?,
        (Content::Record(record), Some(reason)) => {
            mapper.dead_letter(partition, item.first, record, reason)
        }
        (Content::Batch { base, last, bytes }, reason) => {
            let offsets = (item.first, *base, *last);
            mapper.dead_batch(partition, offsets, bytes, reason.unwrap_or_default())
        }
    })
}
