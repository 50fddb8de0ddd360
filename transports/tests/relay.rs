//! What readers see of a publisher in another process.

use mycelium_transports::conformance::Probe;
use mycelium_transports::counters::Region;
use mycelium_transports::local::{Delivery, GapReason, Policy, Schema, Topic, TryRecv};
use proptest::prelude::*;
use zerocopy::IntoBytes;

const CAPACITY: usize = 8;

#[derive(Clone, Copy, Debug)]
enum Op {
    Push,
    /// The publisher's next messages do not come.
    Skip(u64),
    /// Takes so many deliveries.
    Take(usize),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        5 => Just(Op::Push),
        1 => (1..4u64).prop_map(Op::Skip),
        3 => (1..6usize).prop_map(Op::Take),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 8 } else { 500 },
        // The interpreter keeps programs from files.
        failure_persistence: if cfg!(miri) { None } else { ProptestConfig::default().failure_persistence },
        ..ProptestConfig::default()
    })]

    /// Message by message: its number is its sequence, and whatever does not come is told of where it is missing.
    #[test]
    fn each_message_comes_or_is_told_of(
        ops in prop::collection::vec(op(), 0..200),
        policy in prop_oneof![Just(Policy::Block), Just(Policy::DropOldest), Just(Policy::Latest)],
        first in 0..3u64,
    ) {
        let topic = Topic::new("probes", Schema::of::<Probe>(), CAPACITY, Region::new(8)).unwrap();
        let mut reader = topic.subscribe::<Probe>("reader", policy).unwrap();
        let mut relay = topic.relay("publisher", 1, first).unwrap();
        let (mut sent, mut next) = (first, first);
        for op in ops.into_iter().chain([Op::Take(usize::MAX)]) {
            match op {
                Op::Push => {
                    let probe = Probe { publisher: 0, number: sent };
                    sent += u64::from(relay.push(probe.as_bytes(), false).is_ok());
                }
                Op::Skip(count) => {
                    relay.skip(count, GapReason::Overwritten);
                    sent += count;
                }
                Op::Take(count) => {
                    for _ in 0..count {
                        match reader.try_recv() {
                            TryRecv::Delivery(Delivery::Msg(probe)) => {
                                prop_assert_eq!((probe.number, probe.sequence()), (next, next));
                                next += 1;
                            }
                            TryRecv::Delivery(Delivery::Gap(gap)) => {
                                prop_assert!(gap.exact && gap.count > 0);
                                next += gap.count;
                            }
                            TryRecv::Empty => break,
                            TryRecv::Closed => prop_assert!(false, "the publisher is there"),
                        }
                    }
                }
            }
            prop_assert!(next <= sent);
        }
        prop_assert_eq!(next, sent);
    }
}
