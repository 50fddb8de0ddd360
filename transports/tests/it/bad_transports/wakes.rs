//! Lost wakes, and futures that act before they are ready.

use std::future::poll_fn;
use std::task::Poll;

use mycelium_transports::conformance::Probe;
use mycelium_transports::local::{Delivery, Publisher, Subscription};

use crate::bad_transports::bad::{Emitted, Fault};
use crate::bad_transports::{catches, without_wakes};

#[derive(Default)]
struct LosesWakesOfReaders;

impl Fault for LosesWakesOfReaders {
    async fn recv(&mut self, reader: &mut Subscription<Probe>) -> Option<Delivery<Probe>> {
        without_wakes(reader.recv()).await
    }
}

#[derive(Default)]
struct LosesWakesOfPublishers;

impl Fault for LosesWakesOfPublishers {
    async fn emit(&mut self, publisher: &mut Publisher<Probe>, message: Probe) -> Emitted {
        without_wakes(publisher.emit(message)).await
    }
}

#[test]
fn a_lost_wake_is_noticed() {
    catches::<LosesWakesOfReaders>([(
        "a_sleeping_reader_is_woken",
        "timeout: a sleeping reader is woken",
    )]);
    catches::<LosesWakesOfPublishers>([(
        "a_sleeping_publisher_is_woken",
        "timeout: a sleeping publisher is woken",
    )]);
}

#[derive(Default)]
struct TakesBeforeItIsReady;

impl Fault for TakesBeforeItIsReady {
    async fn recv(&mut self, reader: &mut Subscription<Probe>) -> Option<Delivery<Probe>> {
        let delivery = reader.recv().await;
        yield_once().await;
        delivery
    }
}

async fn yield_once() {
    let mut yielded = false;
    poll_fn(|context| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[derive(Default)]
struct SendsBeforeItIsReady;

impl Fault for SendsBeforeItIsReady {
    async fn emit(&mut self, publisher: &mut Publisher<Probe>, message: Probe) -> Emitted {
        publisher.emit(message).await?;
        yield_once().await;
        Ok(())
    }
}

#[test]
fn an_effect_of_a_cancelled_future_is_noticed() {
    catches::<TakesBeforeItIsReady>([("a_cancelled_receive_takes_nothing", "dropped at poll")]);
    catches::<SendsBeforeItIsReady>([("a_cancelled_emit_sends_nothing", "poll")]);
}
