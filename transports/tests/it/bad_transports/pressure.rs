//! Slow readers: backpressure, gaps, stalls, batches and thresholds.

use std::time::Duration;

use mycelium_transports::conformance::Probe;
use mycelium_transports::local::{Delivery, OnStall, Policy, Publisher, Subscription};

use crate::bad_transports::bad::Fault;
use crate::bad_transports::{catches, without_wakes};

#[derive(Default)]
struct NeverBlocks;

impl Fault for NeverBlocks {
    fn policy(_: Policy) -> Policy {
        Policy::DropOldest
    }
}

#[test]
fn missing_backpressure_is_noticed() {
    catches::<NeverBlocks>([
        ("a_full_block_subscription_blocks_the_publisher", "timeout: the publisher waits"),
        ("try_emit_returns_the_message_of_a_full_ring", "accepted more than the ring holds"),
        ("a_full_reject_subscription_returns_the_message", "rejected"),
        ("a_reader_that_stalls_is_evicted_until_it_reads", "the reason of"),
    ]);
}

#[derive(Default)]
struct AlwaysBlocks;

impl Fault for AlwaysBlocks {
    fn policy(_: Policy) -> Policy {
        Policy::Block
    }
}

#[test]
fn a_blocking_observer_is_noticed() {
    catches::<AlwaysBlocks>([
        ("an_observer_never_blocks_the_publisher_and_gets_exact_gaps", "an observer never blocks"),
        ("a_drop_newest_reader_keeps_the_oldest_messages", "timeout: the publisher emits"),
        ("a_sampling_reader_gets_every_nth_message", "right: 3"),
        ("a_reader_by_key_gets_the_newest_message_of_each_key", "expected a gap first"),
        ("a_full_reject_subscription_returns_the_message", "timeout: emit does not wait"),
    ]);
}

#[derive(Default)]
struct HidesGaps;

impl Fault for HidesGaps {
    async fn recv(&mut self, reader: &mut Subscription<Probe>) -> Option<Delivery<Probe>> {
        loop {
            match reader.recv().await {
                Some(Delivery::Gap(_)) => {}
                delivery => return delivery,
            }
        }
    }
}

#[test]
fn a_hidden_gap_is_noticed() {
    catches::<HidesGaps>([
        ("an_observer_that_is_always_slower_still_gets_messages", "in order, after the gap"),
        ("an_observer_never_blocks_the_publisher_and_gets_exact_gaps", "in order, after the gap"),
        ("a_reader_that_stalls_is_evicted_until_it_reads", "in order, after the gap"),
        ("a_latest_reader_gets_the_newest_message_and_the_skipped_number", "expected a gap first"),
    ]);
}

#[derive(Default)]
struct NeverLetsGo;

impl Fault for NeverLetsGo {
    fn on_stall(_: OnStall) -> OnStall {
        OnStall::Block
    }
}

/// Evicts every reader that does not make room at once.
#[derive(Default)]
struct LetsGoAtOnce;

impl Fault for LetsGoAtOnce {
    fn on_stall(_: OnStall) -> OnStall {
        OnStall::EvictAfter(Duration::ZERO)
    }
}

#[test]
fn a_reader_that_stalls_for_ever_is_noticed() {
    let law = "a_reader_that_stalls_is_evicted_until_it_reads";
    catches::<NeverLetsGo>([(law, "timeout: the publisher continues")]);
    catches::<LetsGoAtOnce>([(law, "timeout: the publisher waits again")]);
}

/// Loses the last message of a batch.
#[derive(Default)]
struct ShortensBatches;

impl Fault for ShortensBatches {
    fn batch(messages: &[Probe]) -> Vec<Probe> {
        messages[..messages.len().saturating_sub(1)].to_vec()
    }
}

/// Says of a batch that waits that nothing was sent.
#[derive(Default)]
struct ForgetsWhatWasSent;

impl Fault for ForgetsWhatWasSent {
    fn sent(_: usize) -> usize {
        0
    }
}

#[test]
fn an_incomplete_batch_is_noticed() {
    catches::<ShortensBatches>([
        ("batches_arrive_once_and_in_order", "0 of at most"),
        ("an_observer_gets_the_exact_gaps_of_batches", "timeout: what"),
        ("a_failed_batch_is_redelivered_one_by_one", "timeout: all"),
    ]);
    catches::<ForgetsWhatWasSent>([("a_cancelled_batch_has_sent_a_prefix", "left == right")]);
}

#[derive(Default)]
struct NeverPressed;

impl Fault for NeverPressed {
    async fn until_below(&mut self, _: &mut Publisher<Probe>) {}
}

#[derive(Default)]
struct LosesWakesOfRelief;

impl Fault for LosesWakesOfRelief {
    async fn until_below(&mut self, publisher: &mut Publisher<Probe>) {
        without_wakes(publisher.until_below()).await;
    }
}

/// Says that the ring is empty.
#[derive(Default)]
struct HidesTheDepth;

impl Fault for HidesTheDepth {
    fn depth(_: usize) -> usize {
        0
    }
}

#[test]
fn a_threshold_without_effect_is_noticed() {
    let law = "a_publisher_waits_until_its_reader_is_below_the_threshold";
    catches::<NeverPressed>([(law, "the publisher waits: Canceled")]);
    catches::<LosesWakesOfRelief>([(law, "timeout: the publisher continues")]);
    catches::<HidesTheDepth>([(law, "the publisher waits: Canceled")]);
}
