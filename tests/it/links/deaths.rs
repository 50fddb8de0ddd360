//! Readers whose process dies: the messages, gaps and marks that its next process gets, and the
//! counters of publishers.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use mycelium_transports::counters::Kind;
use mycelium_transports::link::{Exports, Redelivery};
use mycelium_transports::local::{
    Delivery, Gap, GapReason, OnStall, Policy, Publisher, Subscription,
};
use tokio::task::JoinHandle;

use crate::links::accounts::fates;
use crate::links::harness::{Number, Side, TestDir, Wire, emit, next, take, until, within};
use crate::links::lost::Big;

/// A process of the reader, until it dies.
struct Life {
    side: Side,
    reader: Subscription<Number>,
    link: JoinHandle<()>,
}

impl Life {
    /// Takes one number, which is then in flight. Returns it, and whether it is redelivered.
    async fn next(&mut self) -> (u64, bool) {
        let number = next(&mut self.reader).await;
        (number.value, number.redelivered())
    }

    /// Takes these numbers, which must all have the same mark.
    async fn takes(&mut self, numbers: Range<u64>, again: bool) {
        for value in numbers {
            assert_eq!(self.next().await, (value, again));
        }
    }

    async fn gap(&mut self) -> Gap {
        match within("a gap", self.reader.recv()).await {
            Some(Delivery::Gap(gap)) => gap,
            other => panic!("{other:?} instead of a gap"),
        }
    }

    /// Ends without closing the link or confirming anything more.
    async fn die(self, there: &Side) {
        let before = there.notices.count("down", "`here`");
        self.link.abort();
        until("its death is seen", || there.notices.count("down", "`here`") > before).await;
    }
}

struct Scene {
    dir: TestDir,
    policy: Policy,
    there: Side,
    exports: Arc<Exports>,
    publisher: Publisher<Number>,
}

impl Scene {
    /// Creates a scene whose publisher has sent `count` numbers.
    fn new(name: &str, redelivery: Redelivery, count: u64) -> Scene {
        Scene::of(name, Policy::Block, redelivery, count)
    }

    fn of(name: &str, policy: Policy, redelivery: Redelivery, count: u64) -> Scene {
        let dir = TestDir::new(name);
        let there = Side::new("there", 1, 64);
        let mut exports = there.exports_for("here", policy);
        exports.redeliver("numbers", redelivery);
        let exports = Arc::new(exports);
        there.serve(exports.clone(), dir.place());
        let publisher = there.publisher();
        let mut scene = Scene { dir, policy, there, exports, publisher };
        scene.emit(0..count);
        scene
    }

    /// Begins a process of the reader.
    fn begin(&self, boot: u64) -> Life {
        let side = Side::new("here", boot, 64);
        let reader = side.numbers.subscribe("reader", self.policy).unwrap();
        let link = side.read("there", self.dir.place(), self.policy);
        Life { side, reader, link }
    }

    fn emit(&mut self, numbers: Range<u64>) {
        numbers.for_each(|value| self.publisher.try_emit(Number { value }).unwrap());
    }

    async fn confirmed(&self, count: u64) {
        until(&format!("{count} are confirmed"), || self.exports.progress() == count).await;
    }
}

#[tokio::test]
async fn an_unconfirmed_message_of_a_killed_reader_is_redelivered_and_is_marked() {
    let mut scene = Scene::new("deaths-again", Redelivery::default(), 20);
    let mut first = scene.begin(2);
    first.takes(0..6, false).await;
    // The sixth message is in flight, the later ones are in the reader's ring.
    until("all arrive", || first.reader.depth() == 15).await;
    scene.confirmed(5).await;
    first.die(&scene.there).await;

    let mut second = scene.begin(3);
    second.takes(5..20, true).await;
    let early = scene.publisher.confirmed();
    let early = tokio::time::timeout(Duration::from_millis(50), early).await;
    assert!(early.is_err(), "the last one is in flight");
    second.reader.done();
    within("all are confirmed", scene.publisher.confirmed()).await;
    assert_eq!(scene.publisher.depth(), 0);
    let found = ["sent_again", "taken"].map(|value| scene.there.sum(Kind::Edge, value));
    assert_eq!((found, second.side.sum(Kind::Edge, "redelivered")), ([15, 20], 15));
    scene.emit(20..21);
    assert_eq!(second.next().await, (20, false), "what nobody had is not marked");
}

/// If the topic evicts readers that stall, it also evicts a dead reader. The next process gets a
/// gap with the number of missed messages, and is gating again.
#[tokio::test]
async fn a_dead_reader_is_evicted_and_its_next_process_is_waited_for() {
    let mut scene = Scene::new("deaths-evicted", Redelivery::default(), 0);
    scene.there.numbers.set_on_stall(OnStall::EvictAfter(Duration::from_millis(5)));
    scene.there.numbers.set_executor(scene.there.executor.clone());
    scene.publisher = scene.there.numbers.publisher("evicting", 8).unwrap();
    scene.emit(0..20);
    let mut first = scene.begin(2);
    first.takes(0..6, false).await;
    until("all arrive", || first.reader.depth() == 15).await;
    scene.confirmed(5).await;
    first.die(&scene.there).await;
    emit(&mut scene.publisher, 20..300).await;
    assert!(scene.there.sum(Kind::Edge, "evicted") > 0);

    let mut second = scene.begin(3);
    let gap = second.gap().await;
    assert_eq!((gap.count, gap.exact(), gap.reason), (300 - 64 - 5, true, GapReason::Evicted));
    second.takes(300 - 64..300, false).await;
    second.reader.done();
    scene.confirmed(300).await;
    let found = ["taken", "overwritten"].map(|value| scene.there.sum(Kind::Edge, value));
    assert_eq!(found, [5 + 64, 300 - 64 - 5]);
    assert_eq!(second.side.sum(Kind::Edge, "overwritten"), 300 - 64 - 5);
    let mut refused = (300..300 + 200)
        .find(|value| scene.publisher.try_emit(Number { value: *value }).is_err())
        .expect("the next process is waited for");
    // The reader continues, and misses none of these.
    second.takes(300..refused, false).await;
    second.reader.done();
    scene.confirmed(refused).await;
    refused += 1;
    emit(&mut scene.publisher, refused..refused + 1).await;
    assert_eq!(second.next().await, (refused, false));
}

#[tokio::test]
async fn a_redelivered_message_in_fragments_is_marked() {
    let dir = TestDir::new("deaths-parts");
    let side = |name: &str, boot| {
        let mut side = Side::new(name, boot, 16);
        side.carry::<Big>(16);
        (side.config.max_frame, side.config.buffer) = (256, 1 << 13);
        side
    };
    let there = side("there", 1);
    there.serve(there.exports_for("here", Policy::Block), dir.place());
    let mut publisher = there.numbers.publisher::<Big>("publisher", 7).unwrap();
    (0..4).for_each(|value| publisher.try_emit(Big { values: [value; 60] }).unwrap());
    for (boot, again) in [(2, false), (3, true)] {
        let here = side("here", boot);
        let mut reader = here.numbers.subscribe::<Big>("reader", Policy::Block).unwrap();
        let link = here.read("there", dir.place(), Policy::Block);
        // The first message is in flight, and nothing is confirmed.
        let big = next(&mut reader).await;
        assert_eq!((&big.values, big.redelivered()), (&[0; 60], again));
        link.abort();
        until("its death is seen", || there.notices.count("down", "`here`") >= boot as usize - 1)
            .await;
    }
}

/// In an orderly end, messages that are still in a ring are not confirmed.
#[tokio::test]
async fn messages_left_at_a_shutdown_go_to_the_next_process() {
    for asked in [true, false] {
        let mut scene = Scene::new(&format!("deaths-goodbye-{asked}"), Redelivery::default(), 10);
        let mut life = scene.begin(2);
        life.takes(0..4, false).await;
        life.reader.done();
        until("all arrive", || life.reader.depth() == 6).await;
        if asked {
            life.side.control.shut_down();
        }
        drop(life.reader);
        if asked {
            // These arrive after the last subscription has ended.
            scene.emit(10..13);
            scene.publisher.flush();
            until("they arrive", || life.side.link("there", "received") == 13).await;
            // Longer than the delay of a confirmation.
            tokio::time::sleep(4 * life.side.config.confirm).await;
        }
        life.side.control.drain();
        within("it has left", life.link).await.unwrap();
        if asked {
            let mut next = scene.begin(3);
            next.takes(4..13, false).await;
            next.reader.done();
        }
        let (taken, left) = if asked { (13, 0) } else { (4, 6) };
        until("all is accounted for", || fates(&scene.there) == taken + left).await;
        let found = ["taken", "left"].map(|value| scene.there.sum(Kind::Edge, value));
        assert_eq!(found, [taken, left], "asked: {asked}");
    }
}

/// A gap is confirmed only after its delivery, so it is not lost when the process dies before.
#[tokio::test]
async fn an_undelivered_gap_goes_to_the_next_process() {
    let scene = Scene::new("deaths-gap", Redelivery::AtMostOnce, 20);
    let first = scene.begin(2);
    until("all arrive", || first.reader.depth() == 20).await;
    first.die(&scene.there).await;
    let second = scene.begin(3);
    until("it is sent", || second.side.link("there", "missed") == 20).await;
    // Longer than the delay of a confirmation.
    tokio::time::sleep(4 * second.side.config.confirm).await;
    assert_eq!(scene.exports.progress(), 0);
    second.die(&scene.there).await;
    let mut third = scene.begin(4);
    let gap = third.gap().await;
    assert_eq!((gap.count, gap.exact(), gap.reason), (20, true, GapReason::Disconnected));
    assert_eq!(scene.exports.progress(), 0, "it is being handled");
    third.reader.done();
    scene.confirmed(20).await;
    let found = ["unknown", "sent_again"].map(|value| scene.there.sum(Kind::Edge, value));
    assert_eq!(found, [20, 0]);
}

/// The services had completed when the shutdown was requested, so they do not restart.
#[tokio::test]
async fn a_shutdown_after_completion_ends_for_good() {
    let scene = Scene::new("deaths-late-shutdown", Redelivery::default(), 5);
    let mut life = scene.begin(2);
    let Scene { there, publisher, .. } = scene;
    assert_eq!(life.next().await, (0, false));
    drop(publisher);
    there.control.drain();
    there.control.shut_down();
    life.takes(1..5, false).await;
    assert_eq!(within("the end", life.reader.recv()).await, None);
    within("all has ended", there.control.ended()).await;
}

/// The services were abandoned at the deadline, one of them with a message in flight.
#[tokio::test]
async fn messages_in_flight_at_an_abandoned_shutdown_are_marked() {
    let scene = Scene::new("deaths-abandoned", Redelivery::default(), 5);
    let mut life = scene.begin(2);
    life.takes(0..2, false).await;
    life.side.control.shut_down();
    drop(life.reader);
    life.side.control.drain();
    within("it has left", life.link).await.unwrap();
    let mut next = scene.begin(3);
    next.takes(1..5, true).await;
}

/// A `drop-newest` subscription loses the messages in its own ring, and the messages that the ring
/// had no room for: all of them are in the gap that the next process gets.
#[tokio::test]
async fn what_a_dead_drop_newest_reader_had_not_handled_is_a_gap() {
    let mut scene = Scene::of("deaths-newest", Policy::DropNewest, Redelivery::default(), 0);
    let mut first = scene.begin(2);
    for sent in (0..300).step_by(20) {
        scene.emit(sent..sent + 20);
        until("all arrive", || first.side.link("there", "received") == sent + 20).await;
        if sent == 0 {
            first.takes(0..5, false).await;
            first.reader.done();
        }
    }
    assert!(first.side.sum(Kind::Edge, "dropped") > 0);
    scene.confirmed(5).await;
    first.die(&scene.there).await;

    // The next process, too, dies with a gap of dropped messages.
    scene.emit(300..301);
    let mut second = scene.begin(3);
    let gap = second.gap().await;
    assert_eq!((gap.count, gap.exact(), gap.reason), (295, true, GapReason::Disconnected));
    assert_eq!(second.next().await, (300, false));
    for sent in (301..601).step_by(20) {
        scene.emit(sent..sent + 20);
        until("all arrive", || second.side.link("there", "received") == sent - 280).await;
    }
    let mut value = 300;
    let gap = loop {
        match within("a gap", second.reader.recv()).await {
            Some(Delivery::Msg(number)) => value += u64::from(number.value == value + 1),
            Some(Delivery::Gap(gap)) => break gap,
            None => panic!("it has not ended"),
        }
    };
    assert_eq!(gap.reason, GapReason::Dropped);
    // All before the gap is confirmed.
    scene.confirmed(value + 1).await;
    second.die(&scene.there).await;

    let mut third = scene.begin(4);
    let again = third.gap().await;
    assert_eq!((again.count, again.exact()), (601 - value - 1, true));
    assert!(again.count >= gap.count);
    scene.emit(601..602);
    assert_eq!(third.next().await, (601, false));
    third.reader.done();
    until("all is accounted for", || fates(&scene.there) == 602).await;
    let [unknown, taken] = ["unknown", "taken"].map(|it| scene.there.sum(Kind::Edge, it));
    assert_eq!(unknown, 602 - taken);
}

/// A process that died before its reader asked for a message had none in flight.
#[tokio::test]
async fn deaths_without_demand_dead_letter_no_message() {
    let scene = Scene::new("deaths-start", Redelivery::default(), 20);
    let mut life = scene.begin(2);
    assert_eq!(life.next().await, (0, false));
    for boot in 3..10 {
        let up = scene.there.notices.count("up", "");
        life.die(&scene.there).await;
        life = scene.begin(boot);
        until("they have met", || scene.there.notices.count("up", "") > up).await;
    }
    life.takes(0..20, true).await;
    life.reader.done();
    until("all is accounted for", || fates(&scene.there) == 20).await;
    assert_eq!(scene.there.sum(Kind::Edge, "dead_lettered"), 0);
}

/// With several readers in one process, the slowest one decides what is confirmed.
#[tokio::test]
async fn unfinished_messages_of_the_slowest_reader_are_redelivered_to_all() {
    let scene = Scene::new("deaths-slowest", Redelivery::default(), 20);
    let mut first = scene.begin(2);
    let mut fast = first.side.reader();
    take(&mut fast, 0..20).await;
    fast.done();
    first.takes(0..7, false).await;
    first.reader.done();
    scene.confirmed(7).await;
    // Longer than the delay of a confirmation by the fast reader.
    tokio::time::sleep(4 * first.side.config.confirm).await;
    assert_eq!(scene.exports.progress(), 7);
    first.die(&scene.there).await;

    let mut second = scene.begin(3);
    let mut other = second.side.reader();
    for _ in 0..2 {
        second.takes(7..20, true).await;
        second.reader.done();
        std::mem::swap(&mut second.reader, &mut other);
    }
    scene.confirmed(20).await;
}

/// The last confirmations of a reader that shuts down are lost with its connection, and the reader
/// closes the next connection before its stream resumes.
#[tokio::test]
async fn possibly_delivered_messages_are_marked_or_at_most_once_a_gap() {
    for (name, redelivery) in [
        ("deaths-unheard", Redelivery::AtLeastOnce { deaths: 3 }),
        ("deaths-unheard-once", Redelivery::AtMostOnce),
    ] {
        let scene = Scene::new(name, redelivery, 3);
        let (here, wire) = (Side::new("here", 2, 64), Wire::default());
        let mut reader = here.reader();
        // Lets the reader's hello and subscriptions pass, but not its confirmations.
        wire.limit_up(Some(2));
        let reading = here.read_over(&wire, scene.dir.place(), Policy::Block);
        take(&mut reader, 0..3).await;
        reader.done();
        wire.until_held("it confirms").await;
        wire.cut().await;
        wire.limit_down(Some(0));
        let notices = &scene.there.notices;
        until("it is there again", || notices.count("up", "`here`") == 2).await;
        here.control.shut_down();
        drop(reader);
        here.control.drain();
        within("it has left", reading).await.unwrap();
        until("that is seen", || notices.count("down", "`here`") == 2).await;

        let mut next = scene.begin(3);
        if redelivery == Redelivery::AtMostOnce {
            let gap = next.gap().await;
            assert_eq!((gap.count, gap.exact(), gap.reason), (3, true, GapReason::Disconnected));
        } else {
            assert_eq!(next.next().await, (0, true));
        }
    }
}
