//! Where a subscription starts and ends.

use mycelium_transports::conformance::Probe;
use mycelium_transports::local::{Delivery, Start, Subscription};

use crate::bad_transports::bad::Fault;
use crate::bad_transports::catches;

#[derive(Default)]
struct HidesTheClose;

impl Fault for HidesTheClose {
    async fn recv(&mut self, reader: &mut Subscription<Probe>) -> Option<Delivery<Probe>> {
        match reader.recv().await {
            None => std::future::pending().await,
            delivery => delivery,
        }
    }
}

#[test]
fn a_hidden_close_is_noticed() {
    catches::<HidesTheClose>([(
        "the_end_follows_the_last_message_of_all_publishers",
        "timeout: the end",
    )]);
}

#[derive(Default)]
struct ClosesEarly(u32);

impl Fault for ClosesEarly {
    async fn recv(&mut self, reader: &mut Subscription<Probe>) -> Option<Delivery<Probe>> {
        self.0 += 1;
        if self.0 == 10 { None } else { reader.recv().await }
    }
}

#[test]
fn an_early_close_is_noticed() {
    catches::<ClosesEarly>([(
        "a_restarted_publisher_is_read_from_its_first_message",
        "unexpected end",
    )]);
}

/// Loses the first delivery of a subscription.
#[derive(Default)]
struct StartsLate(bool);

impl Fault for StartsLate {
    async fn recv(&mut self, reader: &mut Subscription<Probe>) -> Option<Delivery<Probe>> {
        if !self.0 {
            reader.recv().await;
            self.0 = true;
        }
        reader.recv().await
    }
}

#[test]
fn a_reader_that_starts_too_late_is_noticed() {
    catches::<StartsLate>([
        ("a_late_reader_starts_with_the_next_message", "timeout: its first"),
        ("a_late_publisher_is_read_from_its_first_message", "timeout: all sent messages"),
    ]);
}

#[derive(Default)]
struct NeverLeaves;

impl Fault for NeverLeaves {
    const LEAKS: bool = true;
}

#[test]
fn a_reader_that_never_leaves_is_noticed() {
    catches::<NeverLeaves>([
        ("a_reader_that_leaves_unblocks_the_publisher", "timeout: the next messages"),
        ("a_restarted_reader_starts_with_new_messages", "timeout: the publisher continues"),
    ]);
}

#[derive(Default)]
struct ForgetsTheStart;

impl Fault for ForgetsTheStart {
    fn start(_: Start) -> Start {
        Start::Next
    }
}

#[test]
fn a_late_reader_without_retained_messages_is_noticed() {
    catches::<ForgetsTheStart>([
        ("a_late_reader_may_start_at_the_oldest_retained_message", "timeout: a retained message"),
        (
            "the_first_reader_of_a_late_node_may_start_at_the_oldest_retained_message",
            "timeout: a retained message",
        ),
    ]);
}
