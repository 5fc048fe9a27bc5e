//! Which offsets of one partition a route has done: all below `next`, and the gaps above it.
//!
//! Invariants: ranges above are not empty, do not touch each other nor `next`, and lie in order;
//! nothing that is done is ever undone. Offsets need not be dense: whoever reports progress
//! reports ranges, so that holes in the log are settled together with the record after them.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// The position of one route in one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    next: i64,
    /// Start to end (exclusive) of what is done above `next`.
    above: BTreeMap<i64, i64>,
}

impl Cursor {
    /// Everything below `next` counts as done.
    pub fn starting_at(next: i64) -> Cursor {
        Cursor { next, above: BTreeMap::new() }
    }

    /// The lowest offset that is not done. As a consumer group's committed offset: where to go
    /// on reading.
    pub fn next(&self) -> i64 {
        self.next
    }

    /// The ranges that are done above [`Cursor::next`], from low to high.
    pub fn above(&self) -> impl Iterator<Item = RangeInclusive<i64>> + '_ {
        self.above.iter().map(|(start, end)| *start..=*end - 1)
    }

    /// Whether `offset` is done.
    pub fn is_done(&self, offset: i64) -> bool {
        offset < self.next
            || self.above.range(..=offset).next_back().is_some_and(|(_, end)| offset < *end)
    }

    /// Marks `first..=last` as done; some or all of it may be done already.
    pub fn settle(&mut self, first: i64, last: i64) {
        let mut start = first;
        let mut end = last.saturating_add(1);
        if start >= end || end <= self.next {
            return;
        }
        // Take in every range that overlaps or touches; there are few, as each one that is left
        // apart is kept apart by a record in flight.
        if let Some((before, before_end)) = self.above.range(..=start).next_back()
            && *before_end >= start
        {
            start = *before;
        }
        while let Some((&other, &other_end)) = self.above.range(start..=end).next() {
            end = end.max(other_end);
            self.above.remove(&other);
        }
        if start <= self.next {
            self.next = end;
        } else {
            self.above.insert(start, end);
        }
    }

    /// Panics if an invariant does not hold.
    pub fn check(&self) {
        let mut floor = self.next;
        for (start, end) in &self.above {
            assert!(*start > floor, "range {start}..{end} touches what lies below: {self:?}");
            assert!(end > start, "range {start}..{end} is empty: {self:?}");
            floor = *end;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn gaps_close_when_the_slowest_is_done() {
        let mut cursor = Cursor::starting_at(10);
        cursor.settle(12, 12);
        cursor.settle(14, 15);
        assert_eq!(
            (cursor.next(), cursor.above().collect::<Vec<_>>()),
            (10, vec![12..=12, 14..=15])
        );
        assert_eq!(
            [9, 10, 12, 13, 15, 16].map(|o| cursor.is_done(o)),
            [true, false, true, false, true, false]
        );
        cursor.settle(13, 13);
        assert_eq!(cursor.above().collect::<Vec<_>>(), vec![12..=15]);
        // A hole in the log: 10 and 11 are settled by one record.
        cursor.settle(10, 11);
        assert_eq!((cursor.next(), cursor.above().count()), (16, 0));
        // Again, and empty: nothing changes.
        cursor.settle(3, 15);
        cursor.settle(20, 19);
        assert_eq!(cursor, Cursor::starting_at(16));
    }

    proptest! {
        /// Whatever the order, the cursor is the set of what is done.
        #[test]
        fn a_cursor_is_a_set(ranges in prop::collection::vec((0i64..200, 0i64..8), 0..80)) {
            let (mut cursor, mut set) = (Cursor::starting_at(5), (0i64..5).collect::<BTreeSet<_>>());
            for (first, length) in ranges {
                cursor.settle(first, first + length - 1);
                set.extend(first..first + length);
                cursor.check();
            }
            for offset in 0..220 {
                prop_assert_eq!(cursor.is_done(offset), set.contains(&offset), "{}", offset);
            }
            let lowest = (0..).find(|offset| !set.contains(offset)).unwrap();
            prop_assert_eq!(cursor.next(), lowest);
        }
    }
}
