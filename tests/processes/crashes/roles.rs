//! The roles of this program as a member: it runs the node with that name, which records what it
//! does.

use std::path::{Path, PathBuf};
use std::process::exit;
use std::sync::Arc;
use std::time::Duration;

use mycelium::counters::Kind;
use mycelium::end_with_launcher;
use mycelium::{Context, Message, Node, Result, Topology, message, service};
use mycelium_executor::Executor;
use mycelium_tokio::Tokio;

use super::marks::{self, Marker, Phase, Role};
use super::records::{Log, Record, file};

pub(crate) const ROLE: &str = "MYCELIUM_TEST_ROLE";
pub(crate) const LIFE: &str = "MYCELIUM_TEST_LIFE";
pub(crate) const PLACE: &str = "MYCELIUM_TEST_PLACE";

/// Small rings that are full soon, and links with short timeouts. [`Transport`] adds to it.
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
[subscription."SinkTicks.ticks"]
policy = "drop-oldest"
[link.default]
keep_alive = "100ms"
silence = "400ms"
handshake = "400ms"
retry = "5ms"
max_retry = "50ms"
window = "8KiB"
"#;

/// The slots of the largest ring, which is the most messages in flight on a link: each message
/// takes 32 bytes of the window of 8 KiB.
pub(crate) const SLOTS: u64 = 256;

#[message(topic = "orders", id = 1)]
struct Order {
    life: u64,
    number: u64,
    content: u64,
}

#[message(topic = "ticks", id = 2)]
struct Tick {
    life: u64,
    number: u64,
    content: u64,
}

#[message(topic = "notes", id = 4)]
struct Note {
    life: u64,
    number: u64,
    content: u64,
}

#[message(topic = "results", id = 3)]
struct Outcome {
    life: u64,
    number: u64,
    content: u64,
}

/// The content of the message with this number, so that messages cannot be confused.
fn content(topic: u64, life: u64, number: u64) -> u64 {
    (topic << 60 ^ life << 40 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// This start of a member.
#[derive(Clone)]
pub(crate) struct Me {
    pub(crate) member: String,
    pub(crate) life: u64,
    pub(crate) place: PathBuf,
}

impl Me {
    /// What the launcher says, if this process is a member.
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

/// A service that emits as fast as possible for a moment, and then pauses. Sometimes it waits until
/// all messages are confirmed.
macro_rules! source {
    ($service:ident, $message:ident) => {
        struct $service {
            life: u64,
            next: u64,
            log: Arc<Log>,
            mark: Arc<Marker>,
        }

        #[service(emits($message))]
        impl $service {
            async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
                loop {
                    let random = ctx.random();
                    for _ in 0..random % 100 {
                        let (life, number) = (self.life, self.next);
                        let content = content($message::ID.into(), life, number);
                        self.mark.is_at(Phase::Emit)?;
                        ctx.emit($message { life, number, content }).await?;
                        self.mark.is_at(Phase::Emitted)?;
                        self.log.put(Record::Sent(number))?;
                        self.next += 1;
                        if ctx.is_shutting_down() {
                            return Ok(());
                        }
                    }
                    if random % 8 == 0 {
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
    };
}

/// A service that receives, sometimes slowly. Sometimes it finishes a message before it receives
/// the next one.
macro_rules! sink {
    ($service:ident, $message:ident) => {
        struct $service {
            log: Arc<Log>,
            mark: Arc<Marker>,
        }

        #[service(reads($message))]
        impl $service {
            async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
                let mut messages = ctx.subscribe::<$message>()?;
                loop {
                    self.mark.is_at(Phase::Receive)?;
                    let Some(delivery) = messages.recv().await else { break };
                    self.mark.is_at(Phase::InFlight)?;
                    self.log.delivery(&delivery, |message: &$message| {
                        let $message { life, number, content: found } = *message;
                        (life, number, found == content($message::ID.into(), life, number))
                    })?;
                    let random = ctx.random();
                    if random % 2048 == 0 {
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
    };
}

source!(Orders, Order);
source!(Ticks, Tick);
source!(Notes, Note);
sink!(SinkOrders, Order);
sink!(SinkTicks, Tick);
sink!(SinkNotes, Note);
sink!(SinkResults, Outcome);

/// Emits one result for each order.
struct Processor {
    life: u64,
    next: u64,
    orders: Arc<Log>,
    results: Arc<Log>,
    hand: Arc<Marker>,
    mark: Arc<Marker>,
}

#[service(reads(Order), emits(Outcome))]
impl Processor {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut orders = ctx.subscribe::<Order>()?;
        loop {
            self.hand.is_at(Phase::Receive)?;
            let Some(delivery) = orders.recv().await else { break };
            self.hand.is_at(Phase::InFlight)?;
            self.orders.delivery(&delivery, |order: &Order| {
                let Order { life, number, content: found } = *order;
                (life, number, found == content(Order::ID.into(), life, number))
            })?;
            if delivery.message().is_none() {
                continue;
            }
            let (life, number) = (self.life, self.next);
            let content = content(Outcome::ID.into(), life, number);
            self.mark.is_at(Phase::Emit)?;
            ctx.emit(Outcome { life, number, content }).await?;
            self.mark.is_at(Phase::Emitted)?;
            self.results.put(Record::Sent(number))?;
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

/// Runs a member and exits, if this process is one. Not a test: passes at once otherwise.
#[cfg_attr(test, test)]
pub(crate) fn enter() {
    let Some(me) = Me::of_environment() else { return };
    // On this runtime no task runs before the first await: the epoch of a publisher is recorded
    // before any reader sees it.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(run(&me));
    // The launcher creates this file if the member will run again.
    exit(i32::from(again(&me.place, &me.member, me.life).exists()));
}

/// Marks that a start of a member is not the last, although it ends in order.
pub(crate) fn again(place: &Path, member: &str, life: u64) -> PathBuf {
    place.join(format!("{member}.{life}.again"))
}

/// The directory of the nodes' sockets.
pub(crate) fn sockets(place: &Path) -> PathBuf {
    place.join("sockets")
}

/// The topology file of a run, which its launcher writes.
pub(crate) fn topology(place: &Path) -> PathBuf {
    place.join("crashes.toml")
}

async fn run(me: &Me) {
    let topology = Topology::load(topology(&me.place)).unwrap();
    let topology = topology.in_directory(sockets(&me.place));
    let life = me.life;
    let [orders, ticks, notes, results] =
        ["orders", "ticks", "notes", "results"].map(|topic| me.log(topic));
    let executor = Tokio::current().unwrap();
    // Each node knows all services, and makes only its own.
    let node = Node::builder(&me.member)
        .topology(topology)
        .service({
            let (me, log) = (me.clone(), orders.clone());
            move || {
                let (log, mark) = (log.clone(), me.marker("orders", Role::Publisher));
                Orders { life, next: 0, log, mark }
            }
        })
        .service({
            let (me, log) = (me.clone(), ticks.clone());
            move || {
                let (log, mark) = (log.clone(), me.marker("ticks", Role::Publisher));
                Ticks { life, next: 0, log, mark }
            }
        })
        .service({
            let (me, log) = (me.clone(), notes.clone());
            move || {
                let (log, mark) = (log.clone(), me.marker("notes", Role::Publisher));
                Notes { life, next: 0, log, mark }
            }
        })
        .service({
            let (me, orders, results) = (me.clone(), orders.clone(), results.clone());
            move || {
                let (orders, results) = (orders.clone(), results.clone());
                let hand = me.marker("orders", Role::Reader);
                let mark = me.marker("results", Role::Publisher);
                Processor { life, next: 0, orders, results, hand, mark }
            }
        })
        .service({
            let (me, log) = (me.clone(), orders.clone());
            move || SinkOrders { log: log.clone(), mark: me.marker("orders", Role::Reader) }
        })
        .service({
            let (me, log) = (me.clone(), ticks.clone());
            move || SinkTicks { log: log.clone(), mark: me.marker("ticks", Role::Reader) }
        })
        .service({
            let (me, log) = (me.clone(), notes.clone());
            move || SinkNotes { log: log.clone(), mark: me.marker("notes", Role::Reader) }
        })
        .service({
            let (me, log) = (me.clone(), results.clone());
            move || SinkResults { log: log.clone(), mark: me.marker("results", Role::Reader) }
        });
    let running = node.build().unwrap().start(executor.clone()).unwrap();
    let publishers = match &*me.member {
        "source" => vec![(&orders, "orders"), (&ticks, "ticks"), (&notes, "notes")],
        "processor" => vec![(&results, "results")],
        _ => vec![],
    };
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
