//! Random entries, groups, restarts and power cuts.

use super::*;
use crate::testing::Loss;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Append { meta: Vec<u8>, blobs: Vec<Vec<u8>> },
    Commit,
    Seal,
    Restart,
    PowerCut(Loss, u64),
}

fn step() -> impl Strategy<Value = Step> {
    let bytes = |max: usize| prop::collection::vec(any::<u8>(), 0..max);
    prop_oneof![
        8 => (bytes(300), prop::collection::vec(bytes(1200), 0..4))
            .prop_map(|(meta, blobs)| Step::Append { meta, blobs }),
        3 => Just(Step::Commit),
        1 => Just(Step::Seal),
        1 => Just(Step::Restart),
        1 => (prop::sample::select(Loss::ALL.to_vec()), any::<u64>())
            .prop_map(|(loss, seed)| Step::PowerCut(loss, seed)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_journal_is_a_list_that_may_lose_only_what_is_not_durable(
        steps in prop::collection::vec(step(), 1..60),
        ahead in 0u32..30_000,
    ) {
        let options = Options { prepare_ahead_bytes: ahead, ..small() };
        let mut disk = SimDisk::new(1);
        let (mut opened, mut all) = reopen(disk.clone(), options.clone()).unwrap();
        for step in steps {
            match step {
                Step::Append { meta, blobs } => {
                    let blobs = blobs.into_iter().map(|blob| Blob::new(blob.into())).collect();
                    if opened.appender.reserve(4000).is_ok() {
                        all.push(append(&mut opened, Entry { cause: Cause::Request, meta, blobs }));
                    }
                }
                Step::Commit => {
                    opened.committer.try_group().unwrap();
                }
                Step::Seal => {
                    opened.committer.seal().unwrap();
                }
                Step::Restart | Step::PowerCut(..) => {
                    let durable = opened.appender.durable().0 as usize;
                    disk = match step {
                        Step::PowerCut(loss, seed) => disk.crash(loss, seed),
                        _ => disk.restart(),
                    };
                    let (again, seen) = reopen(disk.clone(), options.clone()).unwrap();
                    opened = again;
                    prop_assert!(seen.len() >= durable);
                    prop_assert_eq!(&seen[..], &all[..seen.len()]);
                    all = seen;
                }
            }
        }
    }
}
