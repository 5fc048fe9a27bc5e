//! The plan of a run: which orders there are, what is to become of each, and which records are sent
//! in which order. Drawn from the seed before anything starts: the same seed, the same plan.
//!
//! The rare cases are dealt out evenly (one in every ten, one in every twenty) instead of being
//! left to luck, so that a short run has them too.

use crate::random::Random;
use crate::records::{Kind, ORDERS, PAYMENTS};

/// How far a payment or a repeated record may lag behind, in orders.
const LAG_ORDERS: u64 = 30;
/// Distance of two orders on the plan's time line, so that other steps fit between them.
const ORDER_TICKS: i64 = 10;
/// Orders per mailbox.
const ORDERS_PER_CUSTOMER: u64 = 100;
/// Fates dealt to each block of orders: the rest are plainly paid.
const BLOCK: [Kind; 5] =
    [Kind::Unpaid, Kind::Declined, Kind::Undeliverable, Kind::Flaky, Kind::Flaky];
const BLOCK_ORDERS: usize = 20;

/// One order as it is meant to go.
#[derive(Clone, Debug)]
pub(crate) struct PlannedOrder {
    /// Its id: the records' key and the saga's workflow id.
    pub(crate) id: String,
    /// Its customer: the id of the mailbox without its prefix.
    pub(crate) customer: String,
    /// What becomes of it.
    pub(crate) kind: Kind,
    /// Its amount, in cents.
    pub(crate) amount_cents: u64,
    /// Its payment is sent before the order.
    pub(crate) paid_early: bool,
    /// It is asked for its state while it runs.
    pub(crate) asked: bool,
}

/// Which of an order's records a step sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Fact {
    /// The order record.
    Order,
    /// The payment record.
    Payment,
}

impl Fact {
    /// The topic such records go to.
    pub(crate) fn topic(self) -> &'static str {
        match self {
            Self::Order => ORDERS,
            Self::Payment => PAYMENTS,
        }
    }
}

/// One record to send.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    /// Index into the plan's orders.
    pub(crate) order: usize,
    pub(crate) fact: Fact,
    /// It was sent before: the same bytes, a second record.
    pub(crate) again: bool,
    /// Held back until the order's outcome was seen.
    pub(crate) after_outcome: bool,
}

/// Everything that is to be sent.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) orders: Vec<PlannedOrder>,
    /// In the order of sending.
    pub(crate) steps: Vec<Step>,
}

impl Plan {
    /// The plan for `orders` orders drawn from `seed`.
    pub(crate) fn draw(orders: usize, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let orders = draw_orders(orders, &mut random);
        let steps = draw_steps(&orders, &mut random);
        Self { orders, steps }
    }
}

fn draw_orders(count: usize, random: &mut Random) -> Vec<PlannedOrder> {
    let customers = (count as u64).div_ceil(ORDERS_PER_CUSTOMER);
    let mut orders = Vec::with_capacity(count);
    while orders.len() < count {
        let mut kinds = [Kind::Paid; BLOCK_ORDERS];
        kinds[..BLOCK.len()].copy_from_slice(&BLOCK);
        random.shuffle(&mut kinds);
        for kind in kinds {
            orders.push(PlannedOrder {
                id: format!("order-{:06}", orders.len()),
                customer: random.below(customers).to_string(),
                kind,
                amount_cents: 100 + random.below(100_000),
                paid_early: false,
                asked: false,
            });
        }
    }
    orders.truncate(count);
    for block in orders.chunks_mut(10) {
        // Nobody pays an unpaid order early: of two neighbours one can be paid.
        let first = random.below(block.len() as u64) as usize;
        let second = (first + 1) % block.len();
        let early = if block[first].kind == Kind::Unpaid { second } else { first };
        block[early].paid_early = block[early].kind != Kind::Unpaid;
        let asked = random.below(block.len() as u64) as usize;
        block[asked].asked = true;
    }
    orders
}

fn draw_steps(orders: &[PlannedOrder], random: &mut Random) -> Vec<Step> {
    let mut timed: Vec<(i64, Step)> = Vec::with_capacity(orders.len() * 2);
    for (index, order) in orders.iter().enumerate() {
        let at = index as i64 * ORDER_TICKS;
        let step = Step { order: index, fact: Fact::Order, again: false, after_outcome: false };
        timed.push((at, step));
        if order.kind != Kind::Unpaid {
            let lag = random.below(LAG_ORDERS) as i64 * ORDER_TICKS + ORDER_TICKS / 2;
            let paid_at = if order.paid_early { at - ORDER_TICKS / 2 } else { at + lag };
            timed.push((paid_at, Step { fact: Fact::Payment, ..step }));
        }
    }
    timed.sort_by_key(|(at, _)| *at);
    let repeats = draw_repeats(&timed, random);
    timed.extend(repeats);
    timed.sort_by_key(|(at, _)| *at);
    timed.into_iter().map(|(_, step)| step).collect()
}

/// One record in twenty is sent again: half of them soon after, half only after the order's end.
fn draw_repeats(timed: &[(i64, Step)], random: &mut Random) -> Vec<(i64, Step)> {
    let mut repeats = Vec::new();
    for (number, block) in timed.chunks(20).enumerate() {
        let (at, step) = block[random.below(block.len() as u64) as usize];
        let lag = 1 + random.below(LAG_ORDERS) as i64 * ORDER_TICKS;
        let after_outcome = number % 2 == 1;
        repeats.push((at + lag, Step { again: true, after_outcome, ..step }));
    }
    repeats
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(plan: &Plan, wanted: impl Fn(&PlannedOrder) -> bool) -> usize {
        plan.orders.iter().filter(|order| wanted(order)).count()
    }

    #[test]
    fn the_same_seed_gives_the_same_plan() {
        let (one, two) = (Plan::draw(300, 7), Plan::draw(300, 7));
        assert_eq!(format!("{one:?}"), format!("{two:?}"));
        assert_ne!(format!("{one:?}"), format!("{:?}", Plan::draw(300, 8)));
    }

    #[test]
    fn a_thousand_orders_have_the_promised_shares() {
        let plan = Plan::draw(1000, 1);
        assert_eq!(share(&plan, |o| o.kind == Kind::Unpaid), 50);
        assert_eq!(share(&plan, |o| o.kind == Kind::Flaky), 100);
        assert_eq!(share(&plan, |o| o.asked), 100);
        assert!((95..=100).contains(&share(&plan, |o| o.paid_early)));
        let firsts = plan.steps.iter().filter(|step| !step.again).count();
        assert_eq!(firsts, 1950);
        assert_eq!(plan.steps.len() - firsts, firsts.div_ceil(20));
    }

    #[test]
    fn early_payments_precede_their_order_and_repeats_follow_their_first() {
        let plan = Plan::draw(500, 3);
        let place = |order, fact, again| {
            plan.steps.iter().position(|s| s.order == order && s.fact == fact && s.again == again)
        };
        for (index, order) in plan.orders.iter().enumerate() {
            let (ordered, paid) =
                (place(index, Fact::Order, false).unwrap(), place(index, Fact::Payment, false));
            assert_eq!(paid.is_none(), order.kind == Kind::Unpaid);
            assert_eq!(paid.is_some_and(|paid| paid < ordered), order.paid_early);
            for fact in [Fact::Order, Fact::Payment] {
                if let Some(again) = place(index, fact, true) {
                    assert!(place(index, fact, false).unwrap() < again);
                }
            }
        }
    }

    #[test]
    fn one_order_is_a_plan_too() {
        assert_eq!(Plan::draw(1, 0).orders.len(), 1);
        assert!(Plan::draw(0, 0).steps.is_empty());
    }
}
