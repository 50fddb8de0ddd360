//! Messages that are lost, repeated or in another order, and what they carry.

use mycelium_core::TraceContext;
use mycelium_transports::conformance::Probe;
use mycelium_transports::counters::Latency;
use mycelium_transports::local::{Delivery, Publisher, Subscription};

use crate::bad_transports::bad::{Emitted, Fault};
use crate::bad_transports::{catches, every_fifth};

#[derive(Default)]
struct Drops(u32);

impl Fault for Drops {
    async fn recv(&mut self, reader: &mut Subscription<Probe>) -> Option<Delivery<Probe>> {
        if every_fifth(&mut self.0) {
            reader.recv().await;
        }
        reader.recv().await
    }
}

#[test]
fn a_dropped_message_is_noticed() {
    catches::<Drops>([
        ("messages_of_a_publisher_arrive_once_and_in_order", "number and sequence"),
        ("messages_keep_their_traces", "in order"),
        ("every_message_is_counted_after_a_shutdown", "with Block"),
        ("a_disturbance_loses_and_repeats_nothing", "left == right"),
        ("a_task_that_panics_affects_no_other_task", "left == right"),
        ("a_receive_with_a_timeout_loses_nothing", "left == right"),
        ("an_observer_never_blocks_the_publisher_and_gets_exact_gaps", "in order, after the gap"),
    ]);
}

#[derive(Default)]
struct Doubles(u32, Option<Delivery<Probe>>);

impl Fault for Doubles {
    async fn recv(&mut self, reader: &mut Subscription<Probe>) -> Option<Delivery<Probe>> {
        if let Some(again) = self.1.take() {
            return Some(again);
        }
        let delivery = reader.recv().await;
        if every_fifth(&mut self.0) {
            self.1.clone_from(&delivery);
        }
        delivery
    }
}

#[test]
fn a_repeated_message_is_noticed() {
    catches::<Doubles>([
        ("messages_of_a_publisher_arrive_once_and_in_order", "number and sequence"),
        ("a_message_whose_handler_failed_is_redelivered_once", "left == right"),
        ("a_late_node_gets_no_message_twice", "round 0: "),
    ]);
}

#[derive(Default)]
struct Reorders(u32, Option<Delivery<Probe>>);

impl Fault for Reorders {
    async fn recv(&mut self, reader: &mut Subscription<Probe>) -> Option<Delivery<Probe>> {
        if let Some(late) = self.1.take() {
            return Some(late);
        }
        let delivery = reader.recv().await;
        if !every_fifth(&mut self.0) {
            return delivery;
        }
        match reader.try_recv().delivery() {
            Some(next) => {
                self.1 = delivery;
                Some(next)
            }
            None => delivery,
        }
    }
}

#[test]
fn reordered_messages_are_noticed() {
    catches::<Reorders>([(
        "messages_of_a_publisher_arrive_once_and_in_order",
        "number and sequence",
    )]);
}

#[derive(Default)]
struct ChangesTheSpan;

impl Fault for ChangesTheSpan {
    fn trace(real: Option<TraceContext>) -> Option<TraceContext> {
        real.map(|trace| trace.with_span([1; 8]))
    }
}

#[test]
fn a_wrong_trace_is_noticed() {
    catches::<ChangesTheSpan>([("messages_keep_their_traces", "the trace of message")]);
}

#[derive(Default)]
struct HidesLatencies;

impl Fault for HidesLatencies {
    fn latencies(_: Vec<Latency>) -> Vec<Latency> {
        Vec::new()
    }
}

/// The messages are sent late: the time until then is not measured.
#[derive(Default)]
struct SendsLate(Vec<Probe>);

impl Fault for SendsLate {
    async fn emit(&mut self, publisher: &mut Publisher<Probe>, message: Probe) -> Emitted {
        self.0.push(message);
        if self.0.len() < 4 {
            return Ok(());
        }
        for message in self.0.drain(..) {
            publisher.emit(message).await?;
        }
        Ok(())
    }
}

#[test]
fn a_wrong_latency_is_noticed() {
    const LAW: &str = "a_measured_message_shows_how_long_it_took";
    if !cfg!(feature = "metrics") {
        // Nothing is counted.
        return;
    }
    catches::<HidesLatencies>([(LAW, "expected one reader")]);
    catches::<SendsLate>([(LAW, "latencies")]);
}
