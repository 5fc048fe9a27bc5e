//! Chains of faults: in each life of a journal something goes wrong at a random call, recovery
//! included, and the next life begins with what that left. `LONG=1` runs 20,000 instead of 300.

use super::*;
use crate::testing::{Call, CallKind, Crash, Fault, Gained, Loss, NameLoss};
use std::io::ErrorKind;
use std::sync::Arc;

struct Chain {
    entropy: SeededEntropy,
    disk: SimDisk,
    /// Everything appended and not known to be lost.
    all: Vec<Seen>,
    acknowledged: usize,
}

impl Chain {
    fn new(seed: u64) -> Chain {
        let disk = SimDisk::new(seed);
        Chain { entropy: SeededEntropy::new(seed), disk, all: Vec::new(), acknowledged: 0 }
    }

    fn below(&self, bound: usize) -> usize {
        (self.entropy.next_u64() % bound as u64) as usize
    }

    fn options(&self) -> Options {
        // Another size now and then, so that prepared segments are made anew.
        let segment_bytes = if self.below(4) == 0 { 32 << 10 } else { 24 << 10 };
        Options { segment_bytes, prepare_ahead_bytes: self.below(8_000) as u32, ..small() }
    }

    /// Has something go wrong soon. A directory whose sync fails is read-only from then on: so do
    /// file systems with a journal, whose journal that sync writes.
    fn plan_a_fault(&self) {
        let faults = [
            Fault::Stop,
            Fault::StopAfter,
            Fault::Error(ErrorKind::Other),
            Fault::Error(ErrorKind::StorageFull),
            Fault::LateError(ErrorKind::Other),
            Fault::Short,
        ];
        let (due, fault) = (self.below(60) as u64, faults[self.below(faults.len())]);
        let disk = self.disk.clone();
        self.disk.set_hook(Some(Arc::new(move |call: Call<'_>| {
            if call.kind == CallKind::Read || call.number != due {
                return None;
            }
            if call.kind == CallKind::SyncDirectory && matches!(fault, Fault::Error(_)) {
                disk.set_read_only(true);
            }
            Some(fault)
        })));
    }

    /// Lives until something fails, or for a while.
    fn live(&mut self, options: Options) -> Result<(), Error> {
        let (mut opened, seen) = reopen(self.disk.clone(), options)?;
        self.check(&seen);
        (self.acknowledged, self.all) = (seen.len(), seen);
        for _ in 0..self.below(12) {
            for _ in 0..=self.below(3) {
                if opened.appender.reserve(4_000).is_ok() {
                    self.all.push(append(&mut opened, some_entry(&self.entropy, 900)));
                }
            }
            let turn = match self.below(4) {
                0 => opened.committer.seal(),
                _ => opened.committer.try_group(),
            };
            self.acknowledged = opened.appender.durable().0 as usize;
            turn?;
        }
        Ok(())
    }

    fn check(&self, seen: &[Seen]) {
        assert!(seen.len() >= self.acknowledged, "{} < {}", seen.len(), self.acknowledged);
        assert_eq!(seen, &self.all[..seen.len()]);
    }

    /// Ends a life: by a kill, or by a power cut.
    fn end(&mut self) {
        self.disk.set_hook(None);
        let crash = Crash {
            loss: Loss::ALL[self.below(Loss::ALL.len())],
            names: if self.below(2) == 0 { NameLoss::Each } else { NameLoss::LatestFirst },
            gained: Gained::ALL[self.below(Gained::ALL.len())],
            seed: self.entropy.next_u64(),
        };
        let writable = !self.disk.is_read_only();
        self.disk = match self.below(2) {
            0 if writable => self.disk.restart(),
            _ => self.disk.crash_with(crash),
        };
        self.disk.set_read_only(false);
    }
}

#[test]
fn chains_of_faults_lose_nothing_acknowledged() {
    let chains = if long() { 20_000 } else { 300 };
    let mut lives = 0;
    for seed in 0..chains {
        let mut chain = Chain::new(seed);
        let body = std::panic::AssertUnwindSafe(|| {
            for _ in 0..8 {
                chain.plan_a_fault();
                let options = chain.options();
                match chain.live(options) {
                    Ok(()) | Err(Error::Io { .. }) => {}
                    Err(other) => panic!("{other}"),
                }
                chain.end();
                lives += 1;
            }
            let (_, seen) = reopen(chain.disk.clone(), small()).unwrap();
            chain.check(&seen);
        });
        if let Err(cause) = std::panic::catch_unwind(body) {
            eprintln!("chain of seed {seed}");
            std::panic::resume_unwind(cause);
        }
    }
    assert_eq!(lives, 8 * chains);
}
