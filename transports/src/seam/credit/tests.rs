//! A peer that uses all its credit never finds the ring full, and never waits for ever.

use std::sync::Arc;

use mycelium_core::message;
use proptest::prelude::*;

use crate::counters::Region;
use crate::local::ring::RingMemory;
use crate::local::{Policy, Readers, Recorded, Schema, Topic, TryRecv};

#[message(topic = "notes", max = "4 KiB")]
struct Note {
    text: String,
}

/// Returns the bytes of a note of this length, which may be long.
fn note(length: usize) -> Vec<u8> {
    mycelium_core::to_bytes(&Note { text: "n".repeat(length.max(8) - 8) }).unwrap()
}

fn topic(capacity: usize, arena: usize) -> Arc<Topic> {
    let schema = Schema { arena, ..Schema::of::<Note>() };
    let (memory, recorded, region) = (RingMemory::Heap, Recorded::default(), Region::new(16));
    let readers: Readers = 1.into();
    Topic::with_recorded("notes", schema, capacity, readers, memory, recorded, region).unwrap()
}

proptest! {
    #[test]
    fn grown_messages_fit_the_credit(
        (capacity, arena) in (1..7_u32, 1..4_usize),
        more in prop_oneof![Just(0), 1..40_usize, 100..3000_usize],
        steps in prop::collection::vec((0..4096_usize, 0..4_usize), 1..200),
    ) {
        let topic = topic(1 << capacity, arena * 8192);
        let mut reader = topic.subscribe::<Note>("reader", Policy::Block).unwrap();
        let mut feed = topic.feed_with("peer", 1, 0, more, None).unwrap();
        let credit = feed.credit();
        prop_assert!(credit.most >= credit.unit.cost(4096) as usize, "the longest one has no room");
        let mut left = credit.most;
        for (length, taken) in steps {
            // What the peer sends is shorter by what the message gains here.
            let here = note(length);
            let cost = credit.unit.cost(here.len().saturating_sub(more).max(8)) as usize;
            if cost <= left {
                prop_assert_eq!(feed.push(&here, false), Ok(()));
                left -= cost;
            }
            feed.flush();
            for _ in 0..taken {
                let is_there = matches!(reader.try_recv(), TryRecv::Delivery(_));
                reader.done();
                if !is_there {
                    prop_assert_eq!(feed.room(), credit.most, "an empty ring has room for all");
                }
            }
            left += feed.room().saturating_sub(left);
        }
    }
}
