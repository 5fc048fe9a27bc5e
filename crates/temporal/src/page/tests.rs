//! Pages, put one after the other, are the history; whatever the batches and the limits are.

use super::{PageLimits, read};
use crate::tests::fake::{Answer, Fake, history};
use bytes::BytesMut;
use proptest::prelude::*;

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

proptest! {
    #[test]
    fn pages_make_up_the_history(
        sizes in prop::collection::vec(1i64..20, 1..12),
        event_bytes in 0usize..200,
        events_max in 1usize..30,
        bytes_max in 1usize..3000,
        start in 1i64..100,
        end in 1i64..200,
    ) {
        let (fake, _events) = Fake::new(|_| Answer::Never);
        let slice = fake.slice(&sizes, event_bytes);
        let end = end.min(slice.next_event_id);
        let start = start.min(end);
        let limits = PageLimits { events_max, bytes_max };
        let mut whole = BytesMut::new();
        let mut next = Some(start).filter(|start| *start < end);
        while let Some(from) = next {
            let page = block_on(read(&fake, &slice.batches, from..end, limits)).unwrap();
            let ends = crate::wire::event_ends(&page.history).unwrap();
            prop_assert!(!ends.is_empty() && ends.len() <= events_max);
            prop_assert!(page.history.len() <= bytes_max || ends.len() == 1);
            prop_assert_eq!(page.next_event_id.unwrap_or(end), from + ends.len() as i64);
            whole.extend_from_slice(&page.history);
            next = page.next_event_id;
        }
        prop_assert_eq!(whole.freeze(), history(start..end, event_bytes));
    }
}

#[test]
fn a_batch_that_is_not_what_it_says_is_a_read_error() {
    let (fake, _events) = Fake::new(|_| Answer::Never);
    let mut slice = fake.slice(&[5], 10);
    let limits = PageLimits { events_max: 2, bytes_max: 1000 };
    assert!(block_on(read(&fake, &slice.batches, 4..6, limits)).is_ok());
    // It says six events, and has five.
    slice.batches[0].last_event_id = 6;
    assert!(block_on(read(&fake, &slice.batches, 4..7, limits)).is_err());
}
