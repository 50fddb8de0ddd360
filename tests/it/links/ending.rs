//! A publisher's process that shuts down while an observing reader of the topology is not
//! connected.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mycelium_transports::counters::Kind;
use mycelium_transports::local::{Policy, Subscription};
use tokio::task::JoinHandle;

use crate::links::harness::{Number, Side, TestDir, Wire, end, sides, take, until, within};

const OBSERVING: Policy = Policy::DropOldest;

/// A publisher's side, and an observing reader whose connections fail while `down` is set.
struct Sides {
    dir: TestDir,
    there: Side,
    here: Side,
    wire: Wire,
    down: Arc<AtomicBool>,
    serving: JoinHandle<()>,
}

impl Sides {
    fn new(name: &str) -> Sides {
        let (dir, there, here) = sides(name, 64);
        let serving = there.serve(there.exports_for("here", OBSERVING), dir.place());
        Sides { dir, there, here, wire: Wire::default(), down: Arc::default(), serving }
    }

    /// Starts a reader whose connections can be cut and prevented.
    fn read(&self) -> (Subscription<Number>, JoinHandle<()>) {
        let reader = self.here.numbers.subscribe("reader", OBSERVING).unwrap();
        let interests = vec![self.here.interest(OBSERVING)];
        let mut imports = self.here.imports("there", self.dir.place(), interests);
        let connect = self.wire.connect(self.here.executor.clone(), self.dir.place());
        let down = self.down.clone();
        imports.connect = Box::new(move || match down.load(Ordering::SeqCst) {
            true => Box::pin(async { Err(std::io::ErrorKind::NotConnected.into()) }),
            false => connect(),
        });
        (reader, tokio::spawn(imports.run().unwrap()))
    }

    /// Cuts the connection; the reader cannot connect again while `down` is set.
    async fn disconnect(&self) {
        self.down.store(true, Ordering::SeqCst);
        self.wire.cut().await;
        until("the connection is lost", || self.there.notices.count("down", "`here`") == 1).await;
    }

    fn publish(&self, numbers: std::ops::Range<u64>) {
        let mut publisher = self.there.publisher();
        numbers.for_each(|value| publisher.try_emit(Number { value }).unwrap());
    }

    fn shut_down(&self) {
        self.there.control.shut_down();
        self.there.control.drain();
    }

    /// Waits until the publisher's links have ended, and checks that all three messages have this
    /// outcome.
    async fn end_with(self, outcome: &str) {
        within("all links have ended", self.there.control.ended()).await;
        assert_eq!(self.there.sum(Kind::Edge, outcome), 3);
        end(&[&self.there, &self.here], [self.serving]).await;
    }
}

#[tokio::test]
async fn an_observer_that_loses_its_connection_before_or_during_the_shutdown_gets_the_rest() {
    for during in [false, true] {
        let sides = Sides::new("ending-lost");
        let (mut reader, _reading) = sides.read();
        within("both have met", sides.there.control.ready()).await;
        if during {
            sides.wire.limit_down(Some(0));
            sides.publish(0..3);
            sides.wire.until_held("the messages are on their way").await;
            sides.shut_down();
            sides.disconnect().await;
        } else {
            sides.disconnect().await;
            // The reader has seen no stream of this publisher, so it could not report a gap.
            sides.publish(0..3);
            sides.shut_down();
            tokio::task::yield_now().await;
        }
        sides.down.store(false, Ordering::SeqCst);
        take(&mut reader, 0..3).await;
        reader.done();
        sides.end_with("taken").await;
    }
}

/// The launcher runs the reader's process, but the process has not connected yet.
#[tokio::test]
async fn an_observer_that_the_launcher_runs_gets_all_at_a_shutdown() {
    let sides = Sides::new("ending-launched");
    sides.there.control.bind("here", std::process::id());
    sides.publish(0..3);
    sides.shut_down();
    tokio::task::yield_now().await;
    let (mut reader, _reading) = sides.read();
    take(&mut reader, 0..3).await;
    reader.done();
    sides.end_with("taken").await;
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_an_observer_that_never_came_or_has_shut_down() {
    for came in [false, true] {
        let sides = Sides::new("ending-away");
        if came {
            let (reader, reading) = sides.read();
            within("both have met", sides.there.control.ready()).await;
            sides.here.control.shut_down();
            drop(reader);
            sides.here.control.drain();
            within("it has left", reading).await.unwrap();
            until("that is seen", || sides.there.notices.count("down", "`here`") == 1).await;
        }
        sides.publish(0..3);
        sides.shut_down();
        sides.end_with("left").await;
    }
}

#[tokio::test]
async fn a_shutdown_waits_for_an_observer_until_the_launcher_says_that_it_is_gone() {
    let sides = Sides::new("ending-gone");
    let (_reader, reading) = sides.read();
    within("both have met", sides.there.control.ready()).await;
    sides.disconnect().await;
    sides.publish(0..3);
    sides.shut_down();
    tokio::task::yield_now().await;
    assert_eq!(sides.there.sum(Kind::Edge, "left"), 0, "it may come back");
    sides.there.control.gone("here");
    reading.abort();
    sides.end_with("left").await;
}
