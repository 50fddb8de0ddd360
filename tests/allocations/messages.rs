//! Messages allocate nothing once a pipeline has warmed up.
#![cfg(all(feature = "signals", feature = "topology"))]

#[cfg(all(target_os = "linux", target_pointer_width = "64", feature = "metrics"))]
use std::future::poll_fn;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

#[cfg(feature = "metrics")]
use mycelium::counters::Latency;
use mycelium::legacy::LegacyCodec;
use mycelium::observe::Report;
use mycelium::{Builder, Context, Delivery, Error, Node, Result, Topology, message, service};
use mycelium_tokio::Tokio;
#[cfg(all(target_os = "linux", target_pointer_width = "64", feature = "metrics"))]
use mycelium_transports::local::Policy;

use crate::allocations;
use crate::loopback::host;

const WARM_UP: u64 = 10_000;
const MEASURED: u64 = 100_000;
const LAST: u64 = WARM_UP + MEASURED;
/// More messages than the rings hold, so no service ends before the last measured message is
/// received.
const COOL_DOWN: u64 = 10_000;

#[message(topic = "ticks", id = 1)]
struct Tick {
    number: u64,
    rest: [u64; 6],
}

#[message(topic = "orders", id = 2)]
pub(crate) struct Order {
    pub(crate) number: u64,
}

struct Feed;

#[service(emits(Tick))]
impl Feed {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        for number in 0..WARM_UP + MEASURED + COOL_DOWN {
            ctx.emit(Tick { number, rest: [number; 6] }).await?;
        }
        Ok(())
    }
}

struct Strategy;

#[service(reads(Tick), emits(Order))]
impl Strategy {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut ticks = ctx.subscribe::<Tick>()?;
        while let Some(Delivery::Msg(tick)) = ticks.recv().await {
            assert_eq!(tick.rest, [tick.number; 6]);
            ctx.emit(Order { number: tick.number }).await?;
        }
        Ok(())
    }
}

/// Counts the allocations while the measured messages pass.
#[derive(Default)]
struct Meter {
    before: u64,
    after: u64,
}

impl Meter {
    /// Notes that the message with this number has arrived.
    fn arrived(&mut self, number: u64) {
        match number {
            WARM_UP => self.before = allocations(),
            LAST => self.after = allocations(),
            _ => {}
        }
    }

    fn report(&self, to: &SyncSender<u64>) -> Result<()> {
        assert!(self.before > 0 && self.after > 0, "the allocator counts");
        Ok(to.send(self.after - self.before)?)
    }
}

/// Reports the number of allocations.
struct Exchange(SyncSender<u64>);

#[service(reads(Order))]
impl Exchange {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut orders = ctx.subscribe::<Order>()?;
        let mut meter = Meter::default();
        while let Some(Delivery::Msg(order)) = orders.recv().await {
            meter.arrived(order.number);
        }
        meter.report(&self.0)
    }
}

/// Emits as `Feed` does, in batches.
struct BatchFeed;

#[service(emits(Order))]
impl BatchFeed {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut batch = [Order { number: 0 }; 16];
        for first in (0..WARM_UP + MEASURED + COOL_DOWN).step_by(batch.len()) {
            (first..).zip(&mut batch).for_each(|(number, order)| order.number = number);
            ctx.emit_batch(&batch).await?;
        }
        Ok(())
    }
}

/// Receives and emits as `Exchange` does, in batches.
struct BatchExchange(SyncSender<u64>);

#[service(reads(Order))]
impl BatchExchange {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut orders = ctx.subscribe::<Order>()?;
        let (mut batch, mut next, mut meter) = (Vec::with_capacity(64), 0, Meter::default());
        while orders.recv_many(&mut batch, 64).await > 0 {
            for delivery in batch.drain(..) {
                let Delivery::Msg(order) = delivery else { panic!("a gap") };
                assert_eq!(order.number, next);
                next += 1;
                meter.arrived(order.number);
            }
        }
        meter.report(&self.0)
    }
}

#[message(topic = "notes")]
struct Note {
    number: u64,
    text: String,
    more: Option<Vec<u64>>,
}

#[message(topic = "images")]
struct Image {
    pixels: Vec<u8>,
}

/// Emits one note again and again, short and long, and images that are written in place.
struct NoteFeed;

#[service(emits(Note, Image))]
impl NoteFeed {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let note = |text: &str, more| Note { number: 0, text: text.to_owned(), more };
        let mut notes = [note("short", None), note(&"long".repeat(100), Some(vec![7; 90]))];
        for number in 0..WARM_UP + MEASURED + COOL_DOWN {
            let note = &mut notes[(number % 2) as usize];
            note.number = number;
            ctx.emit_ref(note).await?;
            let mut image = ctx.reserve(Image { pixels: Vec::new() }, 500).await?;
            image.bytes_mut().fill(7);
            image.send()?;
        }
        Ok(())
    }
}

/// Reads notes in place, and reports as `Exchange` does.
struct NoteExchange(SyncSender<u64>);

#[service(reads(Note))]
impl NoteExchange {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut notes = ctx.subscribe::<Note>()?;
        let mut meter = Meter::default();
        while let Some(delivery) = notes.recv_view().await {
            let Delivery::Msg(note) = delivery else { panic!("a gap") };
            let more = note.more().map_or(0, <[u64]>::len);
            assert_eq!(
                (note.text().len(), more),
                [(5, 0), (400, 90)][(note.number() % 2) as usize]
            );
            meter.arrived(note.number());
        }
        meter.report(&self.0)
    }
}

async fn run(node: Builder) -> Report {
    node.build().unwrap().run(Tokio::current().unwrap()).await.unwrap()
}

fn pipeline(sender: &SyncSender<u64>) -> Builder {
    let sender = sender.clone();
    let node = Node::builder("main").service(|| Feed).service(|| Strategy);
    node.service(move || Exchange(sender.clone()))
}

fn batches(sender: &SyncSender<u64>) -> Builder {
    let sender = sender.clone();
    Node::builder("main").service(|| BatchFeed).service(move || BatchExchange(sender.clone()))
}

/// Fast handlers allocate nothing either: they run with single emits, and then with batches.
// Time is paused, because an emit that waits makes a timer once a second, and busy machines are
// slow.
#[tokio::test(start_paused = true)]
async fn p1_emitted_and_received_messages_allocate_nothing() {
    let (sender, allocations) = sync_channel(1);
    let handled = |node: Builder| {
        let is_whole = |tick: &Tick| tick.rest[0] == tick.number;
        let ticks =
            move |tick: &Tick| is_whole(tick).then_some(()).ok_or_else(|| Error::msg("torn"));
        node.fast_handler("ticks", ticks).fast_handler("orders", |_: &Order| Ok(()))
    };
    for node in
        [pipeline(&sender), batches(&sender), handled(pipeline(&sender)), handled(batches(&sender))]
    {
        run(node).await;
        assert_eq!(allocations.recv().unwrap(), 0, "allocations in {MEASURED} messages");
    }
}

/// Messages of any shape allocate nothing if they are emitted by reference and read in place.
#[tokio::test(start_paused = true)]
async fn messages_that_are_viewed_allocate_nothing() {
    let (sender, allocations) = sync_channel(1);
    let node = Node::builder("main").service(|| NoteFeed);
    run(node.service(move || NoteExchange(sender.clone()))).await;
    assert_eq!(allocations.recv().unwrap(), 0, "allocations in {MEASURED} messages");
}

#[tokio::test(start_paused = true)]
#[cfg(feature = "metrics")]
async fn measured_messages_allocate_nothing() {
    let (sender, allocations) = sync_channel(1);
    let node = pipeline(&sender).latency_sample("ticks", 1.0).latency_sample("orders", 0.01);
    let report = run(node).await;
    assert_eq!(allocations.recv().unwrap(), 0, "allocations in {MEASURED} messages");
    let measured = Latency::of(&report.counters);
    let of_ticks = measured.iter().find(|latency| latency.topic == "ticks").unwrap();
    assert_eq!(of_ticks.nanoseconds.count(), WARM_UP + MEASURED + COOL_DOWN);
    run(batches(&sender).latency_sample("orders", 0.5)).await;
    assert_eq!(allocations.recv().unwrap(), 0, "in batches");
}

/// In the earlier system, each message from a socket took six allocations (P2). Here only timers
/// allocate, by the clock. All nodes are on this thread: each message crosses two links, and both
/// their sending and receiving sides are counted.
#[tokio::test]
async fn p2_messages_that_cross_a_link_allocate_nothing() {
    const TOPOLOGY: &str = r#"
[node.near]
services = ["Feed"]
[node.middle]
services = ["Strategy"]
[node.far]
services = ["Exchange"]
"#;
    let place = std::env::temp_dir().join(format!("mycelium-p2-{}", std::process::id()));
    let (sender, allocations) = sync_channel(1);
    let start = |node: &str| {
        let topology = Topology::parse("p2.toml", TOPOLOGY).unwrap().in_directory(&place);
        let sender = sender.clone();
        let builder = Node::builder(node).topology(topology);
        let builder = builder.service(|| Feed).service(|| Strategy);
        let node = builder.service(move || Exchange(sender.clone())).build().unwrap();
        node.start(Tokio::current().unwrap()).unwrap()
    };
    let nodes = ["near", "middle", "far"].map(start);
    for node in nodes {
        node.join().await.unwrap();
    }
    let allocations = allocations.recv().unwrap();
    assert!(allocations < MEASURED / 20, "{allocations} allocations in {MEASURED} messages");
    std::fs::remove_dir_all(&place).unwrap();
}

/// Each message wakes a sleeping reader: the publisher's side rings, and a task at the reader's side
/// wakes the reader. The link, which has more to do in each poll, sleeps. Everything is on this
/// thread. Only timers allocate, by the clock.
#[tokio::test]
#[cfg(all(target_os = "linux", target_pointer_width = "64", feature = "metrics"))]
async fn messages_that_wake_a_reader_in_memory_allocate_nothing() {
    const MESSAGES: u64 = 20_000;
    let world = crate::links::world::World::new::<Order>("allocations-memory", 16);
    let mut reader = world.here.numbers.subscribe::<Order>("reader", Policy::Block).unwrap();
    let mut publisher = world.there.numbers.publisher::<Order>("publisher", 7).unwrap();
    world.connect();
    world.until_moved().await;
    let mut before = 0;
    for number in 0..MESSAGES {
        if number == MESSAGES / 10 {
            before = allocations();
            world.take_wakes_of_client();
        }
        let mut is_sent = false;
        let received = poll_fn(|context| {
            let received = reader.poll_recv(context);
            if received.is_pending() && !std::mem::replace(&mut is_sent, true) {
                assert!(publisher.try_emit(Order { number }).is_ok());
            }
            received
        });
        let Some(Delivery::Msg(order)) = received.await else { panic!("no message {number}") };
        assert_eq!(order.number, number);
        assert!(is_sent, "the reader slept");
    }
    let allocations = allocations() - before;
    let wakes = world.take_wakes_of_client() as u64;
    assert!(wakes < MESSAGES / 20, "{wakes} wakes of the link in {MESSAGES} messages");
    assert!(allocations < MESSAGES / 20, "{allocations} allocations in {MESSAGES} messages");
}

/// In the earlier system, each frame of a client took six allocations, and its bridges took more
/// (P2). Here buffers grow once, and timers allocate. One client sends, the other one receives
/// everything.
#[tokio::test]
async fn p2_frames_of_clients_allocate_nothing() {
    let address = format!("{}:7401", host());
    let text = format!(
        "[legacy.floor]\nlisten = \"{address}\"\nwire = \"plain\"\nqueue = \"16 MiB\"\n\
         [legacy.floor.types]\n12 = \"orders\"\n"
    );
    let (sender, allocations) = sync_channel(1);
    let node = Node::builder("main")
        .topology(Topology::parse("p2.toml", &text).unwrap())
        .legacy(LegacyCodec::<Order>::same_bytes())
        .service(move || Exchange(sender.clone()))
        .build()
        .unwrap();
    let running = node.start(Tokio::current().unwrap()).unwrap();
    let clients = tokio::task::spawn_blocking(move || {
        let connect = || TcpStream::connect(&address).unwrap();
        let (mut reader, mut writer) = (connect(), connect());
        let frames = LAST + COOL_DOWN;
        let writing = std::thread::spawn(move || {
            for number in 0..frames {
                let payload = u64::to_le_bytes(number);
                let frame = [&[12, 0, 8, 0, 0, 0][..], &payload].concat();
                writer.write_all(&frame).unwrap();
            }
            writer
        });
        let mut frame = [0; 14];
        for number in 0..frames {
            reader.read_exact(&mut frame).unwrap();
            assert_eq!(frame[6..], number.to_le_bytes());
        }
        writing.join().unwrap()
    });
    clients.await.unwrap();
    running.shutdown();
    running.join().await.unwrap();
    let allocations = allocations.recv().unwrap();
    assert!(allocations < MEASURED / 20, "{allocations} allocations in {MEASURED} frames");
}

#[message(topic = "questions", id = 3, reply = Order)]
struct Question {
    number: u64,
}

struct Oracle;

#[service(answers(Question))]
impl Oracle {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut questions = ctx.requests::<Question>();
        while let Some(question) = questions.recv().await {
            question.reply_with(|question| Order { number: question.number });
        }
        Ok(())
    }
}

/// Makes many requests at a time, and reports the number of allocations during the measured ones.
struct Desk(SyncSender<u64>);

#[service(requests(Question))]
impl Desk {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut before = 0;
        for number in 0..LAST {
            if number == WARM_UP {
                before = allocations();
            }
            let one = ctx.request(Question { number });
            // Its reply comes with the first one, so that it needs no timer.
            let two = ctx.request(Question { number: number + 1 }).within(Duration::from_secs(60));
            assert_eq!((one.await?.number, two.await?.number), (number, number + 1));
        }
        self.0.send(allocations() - before)?;
        Ok(())
    }
}

#[tokio::test]
async fn requests_and_replies_allocate_nothing() {
    let (sender, allocations) = sync_channel(1);
    run(Node::builder("main").service(|| Oracle).service(move || Desk(sender.clone()))).await;
    assert_eq!(allocations.recv().unwrap(), 0, "allocations in {MEASURED} requests");
}
