//! The pump against a world in memory: a log, a bridge with its journal, and workflows that can
//! be told to refuse. Time is paused, so waits cost nothing and are exact.

mod world;

use super::*;
use crate::delivery::Fate;
use std::collections::BTreeMap;
use world::{Behaviour, World, limits, route};

/// Offsets of what each workflow got, in its order.
fn delivered(world: &World) -> BTreeMap<String, Vec<i64>> {
    let mut workflows: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for arrival in world.arrivals().into_iter().filter(|a| a.fate == Fate::Delivered) {
        workflows.entry(arrival.workflow.unwrap()).or_default().push(arrival.offset);
    }
    workflows
}

#[tokio::test(start_paused = true)]
async fn order_is_kept_for_each_workflow() {
    let world = World::new(2, 7);
    for partition in [0, 1] {
        world.append(partition, &["a", "b", "a", "c", "a", "b"]);
        world.append(partition, &["a", "c"]);
    }
    let pump = world.pump(route(), limits());
    world.settled(16).await;
    // Two partitions have no order between them; each for itself has.
    for (workflow, offsets) in [("a", [0, 2, 4, 6].as_slice()), ("b", &[1, 5]), ("c", &[3, 7])] {
        for partition in [0, 1] {
            let arrivals = world.arrivals().into_iter();
            let own = arrivals.filter(|a| a.partition == partition);
            let own: Vec<_> =
                own.filter(|a| a.workflow.as_deref() == Some(workflow)).map(|a| a.offset).collect();
            assert_eq!(own, offsets, "{workflow} in {partition}");
        }
    }
    assert!(world.most_in_flight() > 1, "lanes go side by side");
    // What comes later is carried as well.
    world.append(0, &["d"]);
    world.settled(17).await;
    assert_eq!(world.committed(), [9, 8]);
    pump.abort();
}

#[tokio::test(start_paused = true)]
async fn a_stuck_lane_does_not_block_others() {
    let world = World::new(1, 1);
    world.set("stuck", Behaviour::Busy);
    world.append(0, &["x", "stuck", "y", "stuck", "x", "y"]);
    let pump = world.pump(route(), limits());
    world.settled(4).await;
    let want = BTreeMap::from([("x".into(), vec![0, 4]), ("y".into(), vec![2, 5])]);
    assert_eq!(delivered(&world), want);
    assert_eq!(world.committed(), [1], "the lag shows what is stuck");
    // Waits grow to their longest, and are never shorter than half of it.
    tokio::time::advance(Duration::from_secs(600)).await;
    let tries_before = world.tries("stuck");
    tokio::time::sleep(Duration::from_secs(100)).await;
    let tries = world.tries("stuck") - tries_before;
    assert!((10..=21).contains(&tries), "{tries} tries in 100 s of waits of 5 to 10 s");
    world.set("stuck", Behaviour::Take);
    world.settled(6).await;
    assert_eq!(delivered(&world)["stuck"], [1, 3]);
    assert_eq!(world.committed(), [6]);
    pump.abort();
}

#[tokio::test(start_paused = true)]
async fn at_the_cap_the_partition_waits() {
    let world = World::new(2, 1);
    world.set("stuck", Behaviour::Busy);
    let cap = Limits { parked_count: 10, ..limits() };
    for _ in 0..30 {
        world.append(0, &["stuck"]);
    }
    world.append(0, &["free"]);
    world.append(1, &["free"]);
    let pump = world.pump(route(), cap);
    world.settled(1).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(delivered(&world), BTreeMap::from([("free".into(), vec![0])]), "the other goes on");
    assert_eq!(world.committed(), [0, 1]);
    assert!(world.read_to(0) <= 11, "read to {}", world.read_to(0));
    world.set("stuck", Behaviour::Take);
    world.settled(32).await;
    assert_eq!(world.committed(), [31, 1]);
    pump.abort();
}

#[tokio::test(start_paused = true)]
async fn a_folded_batch_for_one_workflow_is_not_opened_for_each_record() {
    let world = World::new(1, 1);
    world.append_gzip(0, &["hot"; 400]);
    let before = crate::record::opened::count();
    let pump = world.pump(route(), Limits { parked_count: 20, ..limits() });
    world.settled(400).await;
    let opened = crate::record::opened::count() - before;
    assert!(opened <= 45, "opened {opened} times for 400 records, 20 at once");
    pump.abort();
}

#[tokio::test(start_paused = true)]
async fn bytes_have_a_cap_too() {
    let world = World::new(1, 1);
    world.set("stuck", Behaviour::Busy);
    for _ in 0..20 {
        world.append_value(0, Some("stuck"), &[b'1'; 1_000]);
    }
    let pump = world.pump(route(), Limits { parked_bytes: 5_000, ..limits() });
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!((4..=6).contains(&world.read_to(0)), "read to {}", world.read_to(0));
    world.set("stuck", Behaviour::Take);
    world.settled(20).await;
    pump.abort();
}

#[tokio::test(start_paused = true)]
async fn refused_and_unmappable_records_become_dead_letters() {
    let world = World::new(1, 1);
    world.set("bad", Behaviour::Refuse);
    world.set("gone", Behaviour::Closed);
    world.append(0, &["bad", "good", "bad", "gone"]);
    world.append_value(0, None, b"1");
    world.append_value(0, Some("good"), b"{} {}");
    world.append(0, &["good"]);
    let pump = world.pump(route(), limits());
    world.settled(7).await;
    assert_eq!(delivered(&world), BTreeMap::from([("good".into(), vec![1, 6])]));
    let letters = world.dead_letters();
    let reasons: BTreeMap<i64, &str> =
        letters.iter().map(|(offset, letter)| (*offset, letter.reason.as_str())).collect();
    assert_eq!(reasons.keys().copied().collect::<Vec<_>>(), [0, 2, 4, 5]);
    assert_eq!((reasons[&0], reasons[&4]), ("refused for good", "the record has no key"));
    assert!(reasons[&5].starts_with("the record's value is not one JSON document"));
    let counters = world.counters();
    assert_eq!((counters.delivered, counters.ignored, counters.dead_lettered), (2, 1, 4));
    assert_eq!(world.committed(), [7]);
    pump.abort();
}

#[tokio::test(start_paused = true)]
async fn dead_letters_wait_when_they_are_refused() {
    let world = World::new(1, 1);
    world.refuse_dead_letters(true);
    world.append_value(0, None, b"1");
    world.append(0, &["good"]);
    let pump = world.pump(route(), limits());
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(world.committed(), [0]);
    assert_eq!(delivered(&world), BTreeMap::from([("good".into(), vec![1])]));
    world.refuse_dead_letters(false);
    world.settled(2).await;
    assert_eq!(world.committed(), [2]);
    pump.abort();
}

/// Bytes of the journal that cannot be read are no dead letter: the partition waits for them.
#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_is_waited_for() {
    let world = World::new(1, 1);
    world.append(0, &["a", "b"]);
    world.set_unreadable(true);
    let pump = world.pump(route(), limits());
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!((world.committed(), world.dead_letters().len()), (vec![0], 0));
    world.set_unreadable(false);
    world.settled(2).await;
    assert_eq!(world.committed(), [2]);
    pump.abort();
}

#[tokio::test(start_paused = true)]
async fn an_undecodable_batch_is_one_dead_letter() {
    let world = World::new(1, 1);
    world.append(0, &["a"]);
    let bytes = world.append_broken(0, 3);
    world.append(0, &["a"]);
    let pump = world.pump(route(), limits());
    world.settled(3).await;
    assert_eq!(delivered(&world)["a"], [0, 4]);
    let letters = world.dead_letters();
    let [(last, letter)] = &letters[..] else { panic!("{letters:?}") };
    assert_eq!((*last, letter.value.as_ref()), (3, Some(&bytes)));
    assert!(letter.reason.starts_with("the batch cannot be decoded: "), "{}", letter.reason);
    assert_eq!(world.committed(), [5]);
    pump.abort();
}

/// A batch of 4,000 records that is far larger unfolded than stored, and a cap of 100 records.
#[tokio::test(start_paused = true)]
async fn a_compressed_batch_passes_a_small_cap() {
    let world = World::new(1, 1);
    world.set("stuck", Behaviour::Busy);
    world.append(0, &["stuck"; 60]);
    world.append_gzip(0, &["a", "b", "c", "d"].repeat(1_000));
    world.append(0, &["e"]);
    let pump = world.pump(route(), Limits { parked_count: 100, ..limits() });
    world.settled(4_001).await;
    assert_eq!(delivered(&world)["b"], (61..4_060).step_by(4).collect::<Vec<_>>());
    assert_eq!(world.committed(), [0]);
    world.set("stuck", Behaviour::Take);
    world.settled(4_061).await;
    assert_eq!(world.committed(), [4_061]);
    pump.abort();
    // A batch that unfolds to more than is allowed cannot be decoded.
    let world = World::new(1, 1);
    world.append_gzip(0, &["a"; 4_000]);
    let pump = world.pump(route(), Limits { decoded_bytes: 10_000, ..limits() });
    world.settled(1).await;
    let reason = &world.dead_letters()[0].1.reason;
    assert!(reason.contains("unfold to more than 10000 bytes"), "{reason}");
    assert_eq!(world.committed(), [4_000]);
    pump.abort();
}

#[tokio::test(start_paused = true)]
async fn holes_in_the_log_are_settled_with_the_next_record() {
    let world = World::new(1, 1);
    world.append(0, &["a"]);
    world.skip(0, 5);
    world.append(0, &["a", "b"]);
    world.skip(0, 2);
    world.append(0, &["a"]);
    let pump = world.pump(route(), limits());
    world.settled(4).await;
    assert_eq!(
        delivered(&world),
        BTreeMap::from([("a".into(), vec![0, 6, 10]), ("b".into(), vec![7])])
    );
    assert_eq!(world.committed(), [11]);
    pump.abort();
}

#[tokio::test(start_paused = true)]
async fn a_missing_topic_is_waited_for_and_read_from_its_start() {
    let world = World::new(0, 1);
    let latest = crate::route::StartAt::Latest;
    let pump = world.pump(Route { start: latest, ..route() }, limits());
    tokio::time::sleep(Duration::from_secs(1)).await;
    world.create(1, &["a"]);
    world.settled(1).await;
    assert_eq!(delivered(&world)["a"], [0]);
    // The topic is deleted and made again: another topic, read from its start.
    world.create(1, &["b", "b"]);
    world.settled(3).await;
    assert_eq!(delivered(&world)["b"], [0, 1]);
    assert_eq!(world.committed(), [2]);
    pump.abort();
}

/// The bridge hears of a deletion before readers of the log do.
#[tokio::test(start_paused = true)]
async fn a_deleted_topic_is_not_bound_again() {
    let world = World::new(1, 1);
    let pump = world.pump(route(), limits());
    world.bound().await;
    world.forget_topic();
    world.append(0, &["late"]);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(world.committed_or_none(), None);
    world.create(1, &["new"]);
    world.settled(1).await;
    assert_eq!(delivered(&world), BTreeMap::from([("new".into(), vec![0])]));
    pump.abort();
}

#[tokio::test(start_paused = true)]
async fn what_was_done_before_a_restart_is_not_tried_again() {
    let world = World::new(1, 1);
    world.set("stuck", Behaviour::Busy);
    world.append(0, &["stuck", "x", "y"]);
    let pump = world.pump(route(), limits());
    world.settled(2).await;
    pump.abort();
    let world = world.restarted();
    world.set("stuck", Behaviour::Take);
    let pump = world.pump(route(), limits());
    world.settled(3).await;
    assert_eq!(["stuck", "x", "y"].map(|workflow| world.tries(workflow)), [1, 0, 0]);
    pump.abort();
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_was_there_can_be_read_from_its_end() {
    let world = World::new(1, 1);
    world.append(0, &["old"]);
    let latest = Route { start: crate::route::StartAt::Latest, ..route() };
    let pump = world.pump(latest.clone(), limits());
    world.bound().await;
    pump.abort();
    world.append(0, &["new"]);
    let pump = world.pump(latest, limits());
    world.settled(1).await;
    assert_eq!(delivered(&world), BTreeMap::from([("new".into(), vec![1])]));
    pump.abort();
}

#[tokio::test(start_paused = true)]
async fn the_pump_ends_when_the_node_stops() {
    let world = World::new(1, 1);
    world.append(0, &["a"]);
    let pump = world.pump(route(), limits());
    world.settled(1).await;
    world.stop();
    pump.await.unwrap();
}

/// The process dies after each number of journaled entries in turn; what is left is the journal.
#[tokio::test(start_paused = true)]
async fn each_record_is_done_once_whenever_the_process_dies() {
    let keys = ["a", "b", "a", "stuck", "c", "a", "bad", "b", "stuck", "a"];
    for seed in 0..4 {
        for dies_after in 1..=keys.len() + 1 {
            let mut world = World::new(1, seed);
            world.set("bad", Behaviour::Refuse);
            world.append(0, &keys[..4]);
            world.append(0, &keys[4..]);
            // Again and again, each life only as long, until all is done.
            let mut lives = 0;
            while world.committed_or_none() != Some(vec![keys.len() as i64]) {
                lives += 1;
                let behaviour = if lives == 1 { Behaviour::Busy } else { Behaviour::Take };
                world.set("stuck", behaviour);
                let pump = world.pump(route(), limits());
                let until =
                    tokio::time::timeout(Duration::from_secs(60), world.entries(dies_after));
                let _ = until.await;
                pump.abort();
                world = world.restarted();
            }
            let mut offsets: Vec<i64> = world.arrivals().iter().map(|a| a.offset).collect();
            offsets.sort_unstable();
            assert_eq!(offsets, (0..keys.len() as i64).collect::<Vec<_>>(), "seed {seed}");
            let workflows = delivered(&world);
            assert_eq!(
                (&workflows["a"][..], &workflows["stuck"][..]),
                (&[0, 2, 5, 9][..], &[3, 8][..])
            );
            assert_eq!(world.dead_letters().len(), 1);
        }
    }
}

#[test]
fn waits_grow_and_differ() {
    let settings = Settings { cluster: "c".into(), limits: limits(), seed: 1 };
    let wait = |attempts, salt| backoff(&settings, attempts, salt);
    for salt in 0..100 {
        for (attempts, full_ms) in [(0, 50), (1, 100), (5, 1_600), (8, 10_000), (u32::MAX, 10_000)]
        {
            let full = Duration::from_millis(full_ms);
            assert!((full / 2..full).contains(&wait(attempts, salt)), "{attempts} {salt}");
        }
    }
    let different: std::collections::BTreeSet<_> = (0..100).map(|salt| wait(8, salt)).collect();
    assert!(different.len() > 80);
}
