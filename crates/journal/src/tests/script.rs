//! A scripted life of a journal: it appends, commits, seals, rolls and reopens until something
//! fails, and notes what was acknowledged.

use super::*;

/// What a script did.
pub(super) struct Run {
    /// Everything appended, in order.
    pub(super) all: Vec<Seen>,
    /// How many of them were acknowledged.
    pub(super) acknowledged: usize,
    pub(super) result: Result<(), Error>,
}

/// Which script: number 0 is the one of every change, the others differ in everything.
#[derive(Clone, Copy, Debug)]
pub(super) struct Script(pub(super) u64);

impl Script {
    /// One script, or 20 more in a long run.
    pub(super) fn all() -> impl Iterator<Item = Script> {
        (0..=if long() { 20 } else { 0 }).map(Script)
    }

    pub(super) fn disk(self) -> SimDisk {
        let disk = SimDisk::new(9 + self.0);
        if self.0 % 5 == 4 {
            disk.forbid_allocation();
        }
        disk
    }

    pub(super) fn options(self) -> Options {
        let entropy = SeededEntropy::new(self.0);
        let below = |bound: u64| entropy.next_u64() % bound;
        match self.0 {
            0 => small(),
            _ => Options {
                segment_bytes: (24 << 10) + 8 * below(2000) as u32,
                prepare_ahead_bytes: below(12_000) as u32,
                group_bytes_max: 1 + below(6_000) as usize,
                ..small()
            },
        }
    }

    pub(super) fn run(self, disk: &SimDisk) -> Run {
        let mut run = Run { all: Vec::new(), acknowledged: 0, result: Ok(()) };
        run.result = self.live(disk, &mut run.all, &mut run.acknowledged);
        run
    }

    /// The script without faults. It is long enough to be worth enumerating.
    pub(super) fn clean(self) -> (SimDisk, Run) {
        let disk = self.disk();
        let run = self.run(&disk);
        run.result.as_ref().unwrap();
        assert!(disk.calls() >= 200, "{} calls", disk.calls());
        assert!(disk.names().len() > 4, "rolls are part of it: {:?}", disk.names());
        (disk, run)
    }

    fn live(
        self,
        disk: &SimDisk,
        all: &mut Vec<Seen>,
        acknowledged: &mut usize,
    ) -> Result<(), Error> {
        let entropy = SeededEntropy::new(11 + self.0);
        for _ in 0..4 {
            let (mut opened, seen) = reopen(disk.clone(), self.options())?;
            assert_eq!(seen, *all, "what was committed is there after a restart");
            *acknowledged = all.len();
            for round in 0..16 {
                for _ in 0..=entropy.next_u64() % 4 {
                    // A full or failing disk refuses before anything is appended.
                    if opened.appender.reserve(4000).is_ok() {
                        all.push(append(&mut opened, some_entry(&entropy, 900)));
                    }
                }
                loop {
                    let group = opened.committer.try_group();
                    *acknowledged = opened.appender.durable().0 as usize;
                    if group?.is_none() {
                        break;
                    }
                }
                if round % 3 == 2 {
                    opened.committer.seal()?;
                }
            }
        }
        Ok(())
    }
}
