//! The roles of this program as a member: it runs the node with the member's name, and records what
//! the node does.

use std::path::{Path, PathBuf};
use std::process::exit;
use std::sync::Arc;
use std::time::Duration;

use mycelium::counters::Kind;
use mycelium::execution::end_with_launcher;
use mycelium::{Context, Node, Result, Topology, message, service};
use mycelium_executor::Executor;
use mycelium_tokio::Tokio;

use super::marks::{self, Marker, Phase, Role};
use super::records::{Log, Record, file};

pub(crate) const ROLE: &str = "MYCELIUM_TEST_ROLE";
pub(crate) const LIFE: &str = "MYCELIUM_TEST_LIFE";
pub(crate) const PLACE: &str = "MYCELIUM_TEST_PLACE";

/// Small rings that are soon full, and links with short timeouts. [`Transport`] adds more lines.
///
/// [`Transport`]: super::transport::Transport
pub(crate) const TOPOLOGY: &str = r#"
[node.source]
services = ["Orders", "Ticks", "Notes"]
shutdown = "20s"
[node.processor]
services = ["Processor"]
shutdown = "20s"
[node.sink]
services = ["SinkOrders", "SinkTicks", "SinkNotes", "SinkResults"]
shutdown = "20s"
[topic.orders]
capacity = 64
dead_letter_after = "never"
[topic.ticks]
capacity = 64
[topic.notes]
capacity = 64
delivery = "at-most-once"
[topic.results]
capacity = 64
dead_letter_after = "never"
[subscription."SinkTicks.input"]
policy = "drop-oldest"
[link.default]
keep_alive = "100ms"
silence = "400ms"
handshake = "400ms"
retry = "5ms"
max_retry = "50ms"
window = "8KiB"
"#;

/// The number of slots of the largest ring, which bounds the messages in flight on a link: in a
/// window of 8 KiB, each message takes at least 32 bytes.
pub(crate) const SLOTS: u64 = 256;

/// The topics, each with the service that publishes it.
static PUBLISHED: [(&str, &str); 4] =
    [("orders", "Orders"), ("ticks", "Ticks"), ("notes", "Notes"), ("results", "Processor")];

/// A message of each topic. Most fit into a slot of a ring, and some take two pages.
#[message(topic = "items", id = 1, max = "16 KiB")]
struct Item {
    life: u64,
    number: u64,
    content: u64,
    rest: Vec<u8>,
}

impl Item {
    /// Makes a message whose content has topic, start and number, so that messages cannot be
    /// confused.
    fn new(topic: &str, life: u64, number: u64) -> Item {
        let topic = PUBLISHED.iter().position(|(known, _)| *known == topic).unwrap() as u64;
        let content = (topic << 60 ^ life << 40 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let most = if content >> 61 == 0 { 8_000 } else { 80 };
        let rest = vec![content as u8; (content >> 32) as usize % most];
        Item { life, number, content, rest }
    }

    /// Returns the values that a record of a message has.
    fn seen(topic: &str, life: u64, number: u64, content: u64, rest: &[u8]) -> (u64, u64, bool) {
        let whole = Item::new(topic, life, number);
        (life, number, (content, rest) == (whole.content, &whole.rest))
    }
}

/// This process as a start of a member.
#[derive(Clone)]
pub(crate) struct Me {
    pub(crate) member: String,
    pub(crate) life: u64,
    pub(crate) place: PathBuf,
}

impl Me {
    /// Reads the launcher's variables; `None` if this process is no member.
    pub(crate) fn of_environment() -> Option<Me> {
        let member = std::env::var(ROLE).ok()?;
        let life = std::env::var(LIFE).unwrap().parse().unwrap();
        let place = PathBuf::from(std::env::var(PLACE).unwrap());
        end_with_launcher(Duration::from_secs(30)).unwrap();
        Some(Me { member, life, place })
    }

    pub(crate) fn log(&self, topic: &str) -> Arc<Log> {
        Arc::new(Log::open(&file(&self.place, &self.member, self.life, topic)).unwrap())
    }

    fn marker(&self, topic: &str, role: Role) -> Arc<Marker> {
        let path = marks::file(&self.place, &self.member, self.life, topic, role);
        Arc::new(Marker::open(&path).unwrap())
    }
}

/// Emits as fast as possible for a moment, and then pauses. Sometimes waits until all messages are
/// confirmed.
struct Source {
    topic: &'static str,
    life: u64,
    next: u64,
    log: Arc<Log>,
    mark: Arc<Marker>,
}

#[service(emits(Item as output))]
impl Source {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        loop {
            let random = ctx.random();
            for _ in 0..random % 100 {
                let item = Item::new(self.topic, self.life, self.next);
                self.mark.is_at(Phase::Emit)?;
                if self.next.is_multiple_of(2) {
                    ctx.on(Self::output).emit(item).await?;
                } else {
                    let rest = item.rest.clone();
                    let mut item = ctx.on(Self::output).reserve(item, rest.len()).await?;
                    item.bytes_mut().copy_from_slice(&rest);
                    item.send()?;
                }
                self.mark.is_at(Phase::Emitted)?;
                self.log.put(Record::Sent(self.next))?;
                self.next += 1;
                if ctx.is_shutting_down() {
                    return Ok(());
                }
            }
            if random.is_multiple_of(8) {
                self.mark.is_at(Phase::Confirming)?;
                ctx.confirmed().await;
                self.mark.confirmed(self.next)?;
                ctx.sleep(Duration::from_micros(random % 200)).await?;
            }
            self.mark.is_at(Phase::Rest)?;
            ctx.sleep(Duration::from_micros(random % 4000)).await?;
        }
    }
}

/// Receives, sometimes slowly, and sometimes finishes a message before it receives the next one.
struct Sink {
    topic: &'static str,
    log: Arc<Log>,
    mark: Arc<Marker>,
}

#[service(reads(Item as input))]
impl Sink {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut messages = ctx.subscribe_on(Self::input)?;
        loop {
            self.mark.is_at(Phase::Receive)?;
            let Some(delivery) = messages.recv_view().await else { break };
            self.mark.is_at(Phase::InFlight)?;
            self.log.delivery(&delivery, |item| {
                Item::seen(self.topic, item.life(), item.number(), item.content(), item.rest())
            })?;
            let random = ctx.random();
            if random.is_multiple_of(2048) {
                // A shutdown ends the pause.
                let _ = ctx.sleep(Duration::from_millis(20)).await;
            }
            if random % 64 == 1 {
                messages.done();
                self.mark.is_at(Phase::Done)?;
                let _ = ctx.sleep(Duration::from_micros(random >> 8 & 0x3ff)).await;
            }
        }
        self.log.put(Record::End)?;
        Ok(())
    }
}

/// Emits one result for each order.
struct Processor {
    life: u64,
    next: u64,
    orders: Arc<Log>,
    results: Arc<Log>,
    hand: Arc<Marker>,
    mark: Arc<Marker>,
}

#[service(reads(Item as input), emits(Item as output))]
impl Processor {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut orders = ctx.subscribe_on(Self::input)?;
        loop {
            self.hand.is_at(Phase::Receive)?;
            let Some(delivery) = orders.recv().await else { break };
            self.hand.is_at(Phase::InFlight)?;
            self.orders.delivery(&delivery, |item| {
                Item::seen("orders", item.life, item.number, item.content, &item.rest)
            })?;
            if delivery.message().is_none() {
                continue;
            }
            let item = Item::new("results", self.life, self.next);
            self.mark.is_at(Phase::Emit)?;
            ctx.on(Self::output).emit(item).await?;
            self.mark.is_at(Phase::Emitted)?;
            self.results.put(Record::Sent(self.next))?;
            self.next += 1;
            if ctx.random().is_multiple_of(256) && !ctx.is_shutting_down() {
                self.mark.is_at(Phase::Confirming)?;
                ctx.confirmed().await;
                self.mark.confirmed(self.next)?;
            }
            self.mark.is_at(Phase::Rest)?;
        }
        self.orders.put(Record::End)?;
        Ok(())
    }
}

/// Runs a member and exits, if this process is one; returns at once in the test run itself.
#[cfg_attr(test, test)]
pub(crate) fn enter() {
    let Some(me) = Me::of_environment() else { return };
    // On this runtime no task runs before the first await, so the epoch of a publisher is recorded
    // before a reader can see it.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(run(&me));
    // The launcher creates this file if the member will start again.
    exit(i32::from(again(&me.place, &me.member, me.life).exists()));
}

/// Returns the file that marks a start of a member as not the last one, although it ends in order.
pub(crate) fn again(place: &Path, member: &str, life: u64) -> PathBuf {
    place.join(format!("{member}.{life}.again"))
}

/// Returns the directory of the nodes' sockets.
pub(crate) fn sockets(place: &Path) -> PathBuf {
    place.join("sockets")
}

/// Returns the topology file of a run, which the launcher writes.
pub(crate) fn topology(place: &Path) -> PathBuf {
    place.join("crashes.toml")
}

async fn run(me: &Me) {
    let topology = Topology::load(topology(&me.place)).unwrap();
    let topology = topology.in_directory(sockets(&me.place));
    let executor = Tokio::current().unwrap();
    // Each node is told of all services, and runs only its own.
    let mut node = Node::builder(&me.member).topology(topology);
    for &(topic, name) in &PUBLISHED[..3] {
        let me = me.clone();
        let source = move || {
            let (log, mark) = (me.log(topic), me.marker(topic, Role::Publisher));
            Source { topic, life: me.life, next: 0, log, mark }
        };
        node = node.named_service(name, source).bind(name, "output", topic);
    }
    let of_processor = me.clone();
    let processor = move || {
        let me = &of_processor;
        let (orders, results) = (me.log("orders"), me.log("results"));
        let hand = me.marker("orders", Role::Reader);
        let mark = me.marker("results", Role::Publisher);
        Processor { life: me.life, next: 0, orders, results, hand, mark }
    };
    node = node.service(processor);
    node = node.bind("Processor", "input", "orders").bind("Processor", "output", "results");
    let sinks = ["SinkOrders", "SinkTicks", "SinkNotes", "SinkResults"];
    for (name, (topic, _)) in sinks.into_iter().zip(PUBLISHED) {
        let me = me.clone();
        let sink = move || Sink { topic, log: me.log(topic), mark: me.marker(topic, Role::Reader) };
        node = node.named_service(name, sink).bind(name, "input", topic);
    }
    let running = node.build().unwrap().start(executor.clone()).unwrap();
    let publishers = match &*me.member {
        "source" => &PUBLISHED[..3],
        "processor" => &PUBLISHED[3..],
        _ => &[],
    };
    let publishers: Vec<_> = publishers.iter().map(|(topic, _)| (me.log(topic), *topic)).collect();
    for (log, topic) in &publishers {
        let counters = running.counters();
        let line = counters
            .iter()
            .find(|line| line.kind == Kind::Publisher && line.label("topic") == *topic);
        let epoch = u64::from_str_radix(line.unwrap().label("epoch"), 16).unwrap();
        log.put(Record::Epoch(epoch)).unwrap();
    }
    executor.interrupted().await.unwrap();
    running.shutdown();
    running.join().await.unwrap();
    for (log, _) in &publishers {
        log.put(Record::End).unwrap();
    }
}
