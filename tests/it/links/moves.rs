//! Streams that move from the socket of their link to shared memory while messages are on their
//! way, and connections that end before, during and after the move: no message is lost, nobody
//! waits for ever, and no descriptor or mapping leaks.

use std::collections::VecDeque;
use std::fs;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use futures_util::future::try_join_all;
use mycelium_core::message;
use mycelium_executor::Executor;
use mycelium_tokio::Tokio;
use mycelium_transports::link::dedicated_to;
use mycelium_transports::local::{Delivery, Policy, TryRecv};
use mycelium_transports::memory::{ControlLimits, ControlThread};
use tokio::runtime::Builder;
use tokio::time::timeout;

use world::{World, emit, watched};

use crate::links::harness::{Number, PATIENCE, next, take};

mod world;

/// A message so large that a run of them does not fit into a socket.
#[message(topic = "pages", id = 2)]
#[derive(Debug, PartialEq)]
struct Page {
    number: u64,
    rest: [u64; 511],
}

impl From<u64> for Number {
    fn from(value: u64) -> Number {
        Number { value }
    }
}

impl From<u64> for Page {
    fn from(number: u64) -> Page {
        Page { number, rest: [number; 511] }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_moves_while_messages_are_on_their_way() {
    const PAGES: u64 = 4096;
    let world = World::new::<Page>("moves-running", 1024);
    let mut reader = world.here.numbers.subscribe::<Page>("reader", Policy::Block).unwrap();
    let mut publisher = world.there.numbers.publisher::<Page>("publisher", 7).unwrap();
    // The ring is full when the first connection begins.
    for number in 0..1024 {
        publisher.try_emit(Page::from(number)).ok().unwrap();
    }
    world.connect();
    let emitting = emit(publisher, 1024..PAGES);
    for number in 0..PAGES {
        let page = next(&mut reader).await;
        assert!(*page == Page::from(number), "{page:?} instead of {number}");
    }
    world.until_moved().await;
    emitting.await.unwrap();
    for side in [&world.there, &world.here] {
        assert_eq!(side.notices.count("down", ""), 0, "{:?}", side.notices);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_is_kept_on_the_socket_does_not_move() {
    let name = "moves-kept";
    let world =
        World::with::<Number>(name, 16, Policy::Block, |exports| exports.keep_on_socket(name));
    let mut reader = world.here.reader();
    let publisher = world.there.publisher();
    world.connect();
    let emitting = emit(publisher, 0..20_000);
    take(&mut reader, 0..20_000).await;
    emitting.await.unwrap();
    for side in [&world.there, &world.here] {
        assert_eq!(side.notices.count("moved", ""), 0, "{:?}", side.notices);
        // The topology asks for it, so nothing is reported.
        assert_eq!(side.notices.count("on socket", ""), 0, "{:?}", side.notices);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_observer_holds_nobody_up_after_a_move() {
    let world = World::new::<Number>("moves-observer", 16);
    let mut reader = world.here.reader();
    // This observer never receives.
    let _observer = world.here.numbers.subscribe::<Number>("observer", Policy::DropOldest).unwrap();
    let mut publisher = world.there.publisher();
    // These messages go over the socket.
    for number in 0..5 {
        publisher.try_emit(Number::from(number)).ok().unwrap();
    }
    world.connect();
    world.until_moved().await;
    let emitting = emit(publisher, 5..1000);
    take(&mut reader, 0..1000).await;
    emitting.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_on_a_thread_of_its_own_wakes_while_the_links_executor_is_busy() {
    let (_world, mut reader, mut publisher) = World::moved("moves-busy", 16).await;
    let (asleep, is_asleep) = mpsc::channel();
    let (number, received) = mpsc::channel();
    thread::spawn(move || {
        let receives = poll_fn(|context| {
            let received = reader.poll_recv(context);
            if received.is_pending() {
                asleep.send(()).unwrap();
            }
            received
        });
        let own = tokio::runtime::Builder::new_current_thread().build().unwrap();
        number.send(own.block_on(receives).and_then(Delivery::message).map(|it| it.value))
    });
    is_asleep.recv_timeout(PATIENCE).expect("the reader sleeps");
    // Until `_release` is dropped, no worker of the runtime polls a task.
    let (busy, is_busy) = mpsc::channel();
    let _release: Vec<mpsc::Sender<()>> = (0..2)
        .map(|_| {
            let (release, released) = mpsc::channel();
            let busy = busy.clone();
            tokio::spawn(async move {
                busy.send(()).unwrap();
                _ = released.recv();
            });
            is_busy.recv_timeout(PATIENCE).expect("a worker is free");
            release
        })
        .collect();
    publisher.try_emit(Number { value: 1 }).ok().unwrap();
    assert_eq!(received.recv_timeout(PATIENCE), Ok(Some(1)));
}

/// Each wake-up of the session would cost a write to an eventfd, and a poll that checks all
/// streams.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_runs_in_memory_does_not_wake_its_link() {
    let (world, mut reader, mut publisher) = World::moved("moves-awake", 16).await;
    // The message has left the ring of the link.
    publisher.try_emit(Number { value: 0 }).ok().unwrap();
    assert_eq!(next(&mut reader).await.value, 0);
    reader.done();
    world.take_wakes_of_client();
    for number in 1..10_000 {
        publisher.try_emit(Number::from(number)).ok().unwrap();
        let TryRecv::Delivery(Delivery::Msg(message)) = reader.try_recv() else {
            panic!("no message {number}");
        };
        assert_eq!(message.value, number);
        // A service does this at the end of a poll.
        reader.done();
    }
    assert_eq!(world.take_wakes_of_client(), 0, "the link has nothing to do");
    // The session tells the publisher that the reader has left.
    drop(reader);
    assert_eq!(world.take_wakes_of_client(), 1, "a reader has left");
    let emitting = emit(publisher, 10_000..10_100);
    timeout(PATIENCE, emitting).await.expect("the publisher waits for nobody").unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_moved_on_an_earlier_connection_continues_without_its_memory() {
    let (world, mut reader, mut publisher) = World::moved("moves-earlier", 16).await;
    // The next connection of the link gets no control connection.
    fs::remove_file(world.control_socket()).unwrap();
    world.cut();
    world.here.notices.until("on socket", "cannot connect to its node: ").await;
    publisher.try_emit(Number { value: 0 }).ok().unwrap();
    assert_eq!(next(&mut reader).await.value, 0, "it is still in memory");
    reader.done();
    world.here_thread.stop();
    let emitting = emit(publisher, 1..1000);
    // These messages go over the socket again.
    take(&mut reader, 1..1000).await;
    emitting.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn publishers_that_end_before_they_move_leave_nothing_open() {
    const PUBLISHERS: u64 = 300;
    /// Rings that arrive after their streams have ended are kept until the link ends.
    const WAITING: usize = 128;
    /// The ring of the last stream, and the positions of its readers, may stay mapped until the
    /// link is polled again.
    const LAST: usize = 2;
    let (world, mut reader, _lasting) = World::moved("moves-short", 16).await;
    let (mapped, open) = (mappings("moves-short"), descriptors("moves-short"));
    for number in 0..PUBLISHERS {
        let mut publisher = world.there.numbers.publisher::<Number>("short", 100 + number).unwrap();
        publisher.try_emit(Number::from(number)).ok().unwrap();
        drop(publisher);
        assert_eq!(next(&mut reader).await.value, number);
    }
    reader.done();
    let now = || (mappings("moves-short"), descriptors("moves-short"));
    let released = async {
        while now().0 > mapped + LAST || now().1 > open + WAITING {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let is_released = timeout(PATIENCE, released).await.is_ok();
    assert!(is_released, "{:?} instead of {mapped} mappings and {open} descriptors", now());
}

/// Returns how many mappings a topic's memory has.
fn mappings(topic: &str) -> usize {
    let all = fs::read_to_string("/proc/self/maps").unwrap();
    all.lines().filter(|line| line.contains(&format!("/memfd:{topic}"))).count()
}

/// Returns how many descriptors a topic's memory has.
fn descriptors(topic: &str) -> usize {
    let links = fs::read_dir("/proc/self/fd").unwrap().flatten();
    let files = links.filter_map(|link| fs::read_link(link.path()).ok());
    files.filter(|file| file.to_string_lossy().starts_with(&format!("/memfd:{topic}"))).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_control_connection_is_reported() {
    let world = World::new::<Number>("moves-refused", 16);
    let mut reader = world.here.reader();
    let mut publisher = world.there.publisher();
    // The thread at the control socket does not know the token of the link.
    let other = ControlThread::start("other", ControlLimits::default()).unwrap();
    other.listen(world.control_socket(), Default::default()).unwrap();
    let elsewhere = world.control_socket().with_extension("elsewhere");
    world.there_thread.listen(elsewhere, Default::default()).unwrap();
    world.connect_link();
    world.here.notices.until("on socket", "the control connection has ended: ").await;
    for number in 0..100 {
        publisher.emit(Number::from(number)).await.ok().unwrap();
        assert_eq!(next(&mut reader).await.value, number);
    }
}

/// Other processes may connect as often as they can, so the queue of the control socket may be
/// full. Then the socket is removed and made again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_waits_for_a_place_in_the_queue_of_the_control_socket() {
    let world = World::new::<Number>("moves-queue", 16);
    let mut reader = world.here.reader();
    let mut publisher = world.there.publisher();
    let full = world.fill_control_socket();
    world.connect_link();
    publisher.try_emit(Number { value: 0 }).ok().unwrap();
    // The reader has received the token before.
    assert_eq!(next(&mut reader).await.value, 0);
    std::fs::remove_file(world.control_socket()).unwrap();
    drop(full);
    // Long enough for several attempts.
    tokio::time::sleep(Duration::from_millis(50)).await;
    world.there_thread.listen(world.control_socket(), Default::default()).unwrap();
    world.until_moved().await;
}

/// Checks that the reader gets each message once while connections are cut.
async fn misses_nothing(name: String, capacity: usize, rounds: u64, cuts: fn() -> Cuts) {
    let (world, mut reader, _lasting) = World::moved(&name, capacity).await;
    for round in 0..rounds {
        let publisher = world.there.numbers.publisher::<Number>("short", 100 + round).unwrap();
        let emitting = emit(publisher, 0..MESSAGES);
        let (cuts, done) = (cuts(), fastrand::u64(1..300));
        for number in 0..MESSAGES {
            cuts.at(number, &world).await;
            let received = timeout(PATIENCE, reader.recv()).await;
            let Ok(Some(Delivery::Msg(message))) = received else {
                panic!("{name} {round}: {received:?} instead of {number}, {cuts:?}");
            };
            let found = (message.value, message.redelivered());
            assert_eq!(found, (number, false), "{name} {round}: {cuts:?}");
            if number % done == 0 {
                reader.done();
            }
        }
        reader.done();
        drop(emitting.await.unwrap());
    }
}

/// A connection is lost at any moment between a publisher's first message and its end. Readers may
/// be ahead of what was confirmed over the link, but nothing is repeated.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_is_lost_before_or_after_a_move_repeats_nothing() {
    misses_nothing("moves-cut".to_owned(), 1024, 200, Cuts::of_link).await;
}

/// The control connection alone is lost, or the link with it, while both processes run: the stream
/// continues over the link, and moves again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_is_waited_for_misses_nothing_when_control_connections_are_cut() {
    let name = |world| format!("moves-uncontrolled-{world}");
    all((0..8).map(|world| misses_nothing(name(world), 128, 4, Cuts::random))).await;
}

/// Observers get each message once, or miss it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_observer_gets_or_misses_each_message_once_when_control_connections_are_cut() {
    let worlds = (0..8).map(|world| async move {
        let name = format!("moves-unobserved-{world}");
        let policy = [Policy::DropOldest, Policy::Latest][world % 2];
        let world = World::with::<Number>(&name, 128, policy, |_| {});
        let mut reader = world.here.numbers.subscribe::<Number>("reader", policy).unwrap();
        let _lasting = world.there.publisher();
        world.connect();
        world.until_moved().await;
        for round in 0..4 {
            let mut publisher =
                world.there.numbers.publisher::<Number>("short", 100 + round).unwrap();
            let (cuts, pace) = (Cuts::random(), fastrand::u64(1..64));
            let (mut emitted, mut next) = (0, 0);
            while next < MESSAGES {
                if emitted < MESSAGES {
                    cuts.at(emitted, &world).await;
                    assert!(publisher.emit(Number::from(emitted)).await.is_ok());
                    emitted += 1;
                }
                if emitted < MESSAGES && !emitted.is_multiple_of(pace) {
                    continue;
                }
                let patience = if emitted < MESSAGES { Duration::ZERO } else { PATIENCE };
                let Ok(received) = timeout(patience, reader.recv()).await else {
                    assert!(emitted < MESSAGES, "{name} {round}: nothing after {next}, {cuts:?}");
                    continue;
                };
                match received {
                    Some(Delivery::Msg(message)) => {
                        let found = (message.value, message.redelivered());
                        assert_eq!(found, (next, false), "{name} {round}: {cuts:?}");
                        next += 1;
                    }
                    Some(Delivery::Gap(gap)) if gap.exact() => next += gap.count,
                    other => panic!("{name} {round}: {other:?} at {next}, {cuts:?}"),
                }
            }
            assert_eq!(next, MESSAGES, "{name} {round}: {cuts:?}");
        }
    });
    all(worlds).await;
}

/// A reader forgets an ended publisher once it has read everything. The publisher's node may not
/// know that yet.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn publishers_that_come_and_go_repeat_nothing_when_connections_are_cut() {
    const PUBLISHERS: u64 = 300;
    let worlds = (0..4).map(|world| async move {
        // Some streams move after all of their messages, and others before.
        let each = [2, 30][world % 2];
        let name = format!("moves-uncontrolled-short-{world}");
        let (world, mut reader, _lasting) = World::moved(&name, 128).await;
        let topic = world.there.numbers.clone();
        let emitting = tokio::spawn(async move {
            for epoch in 0..PUBLISHERS {
                let publisher = topic.publisher::<Number>("short", 100 + epoch).unwrap();
                let first = epoch * each;
                drop(emit(publisher, first..first + each).await.unwrap());
            }
        });
        let mut received = vec![0; PUBLISHERS as usize];
        let mut until_cut = fastrand::u64(0..each);
        for _ in 0..PUBLISHERS * each {
            if until_cut == 0 {
                let which = fastrand::u8(0..3);
                if which != 0 {
                    world.cut_memory();
                }
                if which != 1 {
                    world.cut();
                }
                until_cut = fastrand::u64(1..100 * each);
            }
            until_cut -= 1;
            let number = next(&mut reader).await.value;
            let found = &mut received[(number / each) as usize];
            assert_eq!(number % each, *found, "{name}: of publisher {}", number / each);
            *found += 1;
            if number.is_multiple_of(64) {
                reader.done();
            }
        }
        emitting.await.unwrap();
    });
    all(worlds).await;
}

/// Publishers wait in shared memory with nothing left to read, and end as a connection is cut.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn publishers_that_end_as_connections_are_cut_end_once() {
    const PUBLISHERS: u64 = 120;
    let worlds = (0..4).map(|world| async move {
        let name = format!("moves-ending-{world}");
        let (world, mut reader, _lasting) = World::moved(&name, 16).await;
        let ending = async {
            let mut alive = VecDeque::new();
            for number in 0..PUBLISHERS {
                let publisher = world.there.numbers.publisher::<Number>("short", 100 + number);
                let publisher = emit(publisher.unwrap(), 2 * number..2 * number + 2).await.unwrap();
                alive.push_back(publisher);
                tokio::time::sleep(Duration::from_micros(fastrand::u64(0..3000))).await;
                if alive.len() > 10 {
                    drop(alive.pop_front());
                    tokio::time::sleep(Duration::from_micros(fastrand::u64(0..200))).await;
                    if fastrand::bool() {
                        world.cut();
                    }
                }
            }
        };
        let reading = async {
            let mut received = vec![0; PUBLISHERS as usize];
            for _ in 0..2 * PUBLISHERS {
                let number = next(&mut reader).await.value;
                let found = &mut received[number as usize / 2];
                assert_eq!(number % 2, *found, "{name}: of publisher {}", number / 2);
                *found += 1;
                reader.done();
            }
        };
        tokio::join!(ending, reading);
        let protocol_errors = world.here.notices.count("down", "protocol");
        let unexpected = world.here.notices.count("down", "unexpected");
        assert_eq!((protocol_errors, unexpected), (0, 0), "{name}: {:?}", world.here.notices);
    });
    all(worlds).await;
}

const MESSAGES: u64 = 600;

/// When connections are cut, and which ones: of the control socket, of the link, or both.
#[derive(Debug)]
struct Cuts {
    cuts: Vec<(u64, [bool; 2])>,
    /// Whether the reader pauses between messages.
    slow: bool,
}

impl Cuts {
    fn of_link() -> Cuts {
        Cuts { cuts: vec![(fastrand::u64(0..MESSAGES), [false, true])], slow: false }
    }

    fn random() -> Cuts {
        let which = [[true, false], [true, false], [false, true], [true, true]];
        let cut = || (fastrand::u64(0..MESSAGES), which[fastrand::usize(0..4)]);
        Cuts { cuts: (0..3).map(|_| cut()).collect(), slow: true }
    }

    async fn at(&self, number: u64, world: &World) {
        if self.slow && number.is_multiple_of(50) {
            // It takes a while until a side notices a cut.
            tokio::time::sleep(Duration::from_millis(fastrand::u64(0..30))).await;
        }
        for (_, [control, link]) in self.cuts.iter().filter(|(at, _)| *at == number) {
            tokio::time::sleep(Duration::from_micros(fastrand::u64(0..300))).await;
            if *control {
                world.cut_memory();
            }
            if *link {
                world.cut();
            }
        }
    }
}

async fn all(worlds: impl Iterator<Item: Future<Output = ()> + Send + 'static>) {
    try_join_all(worlds.map(tokio::spawn)).await.unwrap();
}

/// The thread of the sessions has no part in it, nor have the control threads.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thread_with_an_executor_of_its_own_wakes_itself() {
    let (world, mut reader, mut publisher) = World::moved("moves-own-thread", 16).await;
    let (taken, next) = mpsc::channel();
    let reading = thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let wakes = Arc::<Mutex<Vec<_>>>::default();
        let by_itself = wakes.clone();
        let read = async move {
            let executor: Arc<dyn Executor> = Arc::new(Tokio::current().unwrap());
            dedicated_to(&executor);
            // Until the publisher's node has the socket, the control thread wakes.
            let here = thread::current().id();
            while let Some(_) = reader.recv().await
                && by_itself.lock().unwrap().iter().filter(|it| **it == here).count() < 100
            {
                taken.send(()).unwrap();
            }
        };
        runtime.block_on(watched(read, wakes));
    });
    loop {
        _ = publisher.emit(Number { value: 0 }).await;
        let heard = tokio::task::block_in_place(|| next.recv());
        if heard.is_err() {
            break;
        }
    }
    reading.join().unwrap();
    drop(world);
}
