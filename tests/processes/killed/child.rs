//! The processes that are killed: a publisher, a gating reader and an observing reader. Each reader
//! checks and records the messages that it receives.

#[path = "../../sleeper/mod.rs"]
mod sleeper;

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use mycelium_core::message;
use mycelium_executor::{Backoff, Executor};
use mycelium_tokio::Tokio;
use mycelium_transports::counters::Region;
use mycelium_transports::endpoint::Anyone;
use mycelium_transports::endpoint::unix::{self, Access, BoundSocket};
use mycelium_transports::link::{
    ExportedTopic, Exports, Identity, Imports, LinkConfig, MemoryAccess, Observer, Redelivery,
    TopicInterest,
};
use mycelium_transports::local::{
    Delivery, GapReason, PageSize, Policy, Recorded, RingMemory, Schema, Subscription, Topic,
};
use mycelium_transports::memory::{ControlLimits, ControlThread};
use mycelium_transports::seam::Control;
use sleeper::fork_a_sleeper;

pub(crate) const ROLE: &str = "MYCELIUM_KILLED_ROLE";
pub(crate) const PLACE: &str = "MYCELIUM_KILLED_PLACE";
pub(crate) const LIFE: &str = "MYCELIUM_KILLED_LIFE";
/// The variable with options: `s` shares memory, `f` forks a child that keeps all descriptors for a
/// while.
pub(crate) const WAYS: &str = "MYCELIUM_KILLED_WAYS";

/// The slots of each ring: few, so that rings are soon full and pass many laps.
pub(crate) const SLOTS: usize = 64;

/// A message of one to a hundred cache lines; its words must match each other.
#[message(topic = "words", id = 20)]
pub(crate) struct Words {
    pub(crate) life: u64,
    pub(crate) number: u64,
    pub(crate) rest: Vec<u64>,
}

impl Words {
    pub(crate) fn new(life: u64, number: u64) -> Words {
        let mix =
            |index: u64| (life << 40 ^ number << 4 ^ index).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let most = if number.is_multiple_of(8) { 800 } else { 14 };
        Words { life, number, rest: (0..mix(0) % most).map(mix).collect() }
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.rest == Words::new(self.life, self.number).rest
    }
}

/// What the processes of the torture have in common: topics, links and files of one process.
#[derive(Clone)]
pub(crate) struct Side {
    pub(crate) place: PathBuf,
    pub(crate) in_memory: bool,
    pub(crate) executor: Arc<dyn Executor>,
    pub(crate) memory: Arc<ControlThread>,
    pub(crate) control: Arc<Control>,
    pub(crate) observer: Observer,
    pub(crate) identity: Identity,
}

impl Side {
    pub(crate) fn new(
        name: &str,
        boot: u64,
        place: PathBuf,
        in_memory: bool,
        observer: Observer,
    ) -> Side {
        Side {
            place,
            in_memory,
            executor: Arc::new(Tokio::current().unwrap()),
            memory: ControlThread::start(name, ControlLimits::default()).unwrap(),
            control: Arc::default(),
            observer,
            identity: Identity::new(name, boot).unwrap(),
        }
    }

    /// Returns a topic of this process.
    pub(crate) fn topic(&self) -> Arc<Topic> {
        let memory = match self.in_memory {
            true => RingMemory::Shared { pages: PageSize::Small, is_required: true },
            false => RingMemory::Heap,
        };
        let (schema, recorded, counters) =
            (Schema::of::<Words>(), Recorded::default(), Region::new(64));
        Topic::with_recorded("words", schema, SLOTS, 8, memory, recorded, counters).unwrap()
    }

    fn config() -> LinkConfig {
        let retry = Backoff { first: Duration::from_millis(1), longest: Duration::from_millis(5) };
        LinkConfig {
            retry,
            confirm: Duration::from_millis(1),
            silence: Duration::from_millis(800),
            keep_alive: Duration::from_millis(200),
            ..LinkConfig::low_latency()
        }
    }

    /// Serves a topic, for which these readers are announced.
    pub(crate) fn serve(&self, socket: &str, topic: &Arc<Topic>, readers: &[&str]) -> Arc<Exports> {
        let path = self.place.join(socket);
        let mut exports = Exports::new(
            self.identity,
            Side::config(),
            self.executor.clone(),
            self.control.clone(),
            Region::new(64),
            self.observer.clone(),
        );
        if self.in_memory {
            self.memory.listen(path.with_extension("shm"), Access::default()).unwrap();
            exports.share_memory(self.memory.clone());
        }
        exports.add(ExportedTopic { topic: topic.clone(), readers: None });
        // Without dead letters, the check is simpler.
        exports.redeliver("words", Redelivery::AtLeastOnce { deaths: 0 });
        for reader in readers {
            exports.announce(reader, topic, Policy::Block).unwrap();
        }
        let bound = BoundSocket::at(path).unwrap();
        let listener = self.executor.unix_listener(bound.socket().unwrap()).unwrap();
        let exports = Arc::new(exports);
        tokio::spawn(exports.clone().wait_for_readers());
        let running = exports.clone().run(listener, Anyone);
        tokio::spawn(async move {
            running.await;
            drop(bound);
        });
        exports
    }

    /// Ends all links.
    pub(crate) async fn end(&self) {
        self.control.stop();
        _ = tokio::time::timeout(Duration::from_secs(30), self.control.ended()).await;
        self.memory.stop();
    }

    /// Reads a topic from a peer.
    pub(crate) fn read(&self, peer: &str, socket: &str, topic: &Arc<Topic>, policy: Policy) {
        let path = self.place.join(socket);
        let (control, access) = (self.memory.clone(), Access::default());
        let memory = MemoryAccess { control, path: path.with_extension("shm"), access };
        let (executor, start) = (self.executor.clone(), mycelium_transports::local::Start::Next);
        let imports = Imports {
            peer: peer.to_owned(),
            connect: Box::new(move || {
                let (executor, path) = (executor.clone(), path.clone());
                Box::pin(async move { executor.unix_stream(unix::connect(&path)?) })
            }),
            interests: vec![TopicInterest { topic: topic.clone(), policy, start }],
            identity: self.identity,
            config: Side::config(),
            executor: self.executor.clone(),
            memory: self.in_memory.then_some(memory),
            control: self.control.clone(),
            counters: Region::new(64),
            observer: self.observer.clone(),
        };
        tokio::spawn(imports.run().unwrap());
    }
}

/// Follows the messages of each start of a publisher, and checks that missing ones were reported.
#[derive(Default)]
pub(crate) struct Follow(BTreeMap<u64, Start>);

/// A start of a publisher; its epoch is the number of the start.
#[derive(Default)]
struct Start {
    /// The next expected number, once a message was received.
    next: Option<u64>,
    /// Whether a gap without a count has reported its end.
    is_lost: bool,
}

impl Follow {
    /// Checks a delivery, and returns the start and the number of a message. With `begins_at_0`,
    /// publishers are gated by this reader from their first message on.
    pub(crate) fn check(
        &mut self,
        delivery: &Delivery<Words>,
        begins_at_0: bool,
    ) -> Result<Option<(u64, u64)>, String> {
        let message = match delivery {
            Delivery::Msg(message) => message,
            Delivery::Gap(gap) => {
                let start = self.0.entry(gap.epoch).or_default();
                start.is_lost |= !gap.exact() && gap.reason == GapReason::Disconnected;
                start.next = start.next.map(|next| next + gap.count);
                let is_told = !begins_at_0 || gap.count == 0;
                return if is_told { Ok(None) } else { Err(format!("{gap}")) };
            }
        };
        let (life, number) = (message.life, message.number);
        let start = self.0.entry(life).or_default();
        let sequence = message.sequence();
        if !message.is_whole() || sequence != number {
            return Err(format!("torn or invented: {number} of start {life} as {sequence}"));
        }
        let expected = start.next.or(begins_at_0.then_some(0));
        if start.is_lost || expected.is_some_and(|expected| expected != number) {
            return Err(format!("{number} came, {expected:?} should have, of start {life}"));
        }
        start.next = Some(number + 1);
        Ok(Some((life, number)))
    }

    /// Returns a start before `last` whose messages were received, and whose end was not reported.
    pub(crate) fn untold(&self, last: u64) -> Option<u64> {
        let mut starts = self.0.iter();
        let is_untold = |(life, start): &(&u64, &Start)| {
            **life < last && start.next.is_some() && !start.is_lost
        };
        starts.find(is_untold).map(|(life, _)| *life)
    }
}

/// Runs a process of the torture and exits, if this process is one.
pub(crate) fn enter() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let place = PathBuf::from(std::env::var(PLACE).unwrap());
    let life: u64 = std::env::var(LIFE).unwrap().parse().unwrap();
    let ways = std::env::var(WAYS).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let quiet: Observer = Arc::new(|_| {});
        let side = Side::new(&role, life, place, ways.contains('s'), quiet);
        match &*role {
            "publisher" => publish(&side, life, ways.contains('f')).await,
            _ => receive(&side, &role, life, ways.contains('f')).await,
        }
    });
}

async fn publish(side: &Side, life: u64, forks: bool) {
    let count = File::create(side.place.join(format!("publisher.{life}"))).unwrap();
    let topic = side.topic();
    side.serve("publisher.sock", &topic, &["survivor"]);
    let mut publisher = topic.publisher::<Words>("publisher", life).unwrap();
    for number in 0.. {
        let words = Words::new(life, number);
        if number % 2 == 0 {
            publisher.emit(words).await.unwrap();
        } else {
            let rest = words.rest.clone();
            let mut words = publisher.reserve(words, rest.len()).await.unwrap();
            words.items_mut().copy_from_slice(&rest);
            words.send().unwrap();
        }
        count.write_all_at(&(number + 1).to_le_bytes(), 0).unwrap();
        if forks && number == 100 {
            fork_a_sleeper(2);
        }
    }
}

async fn receive(side: &Side, role: &str, life: u64, forks: bool) {
    let policy = if role == "reader" { Policy::Block } else { Policy::DropOldest };
    let heap = Side { in_memory: false, ..side.clone() };
    let topic = heap.topic();
    let mut messages: Subscription<Words> = topic.subscribe(role, policy).unwrap();
    side.read("survivor", "survivor.sock", &topic, policy);
    let mut log = options().open(side.place.join(format!("{role}.{life}"))).unwrap();
    let mut follow = Follow::default();
    let mut received = 0;
    loop {
        let delivery = messages.recv().await.expect("the survivor continues");
        match follow.check(&delivery, false) {
            Ok(Some((_, number))) => {
                let Delivery::Msg(message) = &delivery else { unreachable!("it has a number") };
                let again = u64::from(message.redelivered());
                log.write_all([number, again].map(u64::to_le_bytes).as_flattened()).unwrap();
            }
            Ok(None) => {}
            Err(error) => {
                let mut violations = options().open(side.place.join("violations")).unwrap();
                violations.write_all(format!("{role} {life}: {error}\n").as_bytes()).unwrap();
            }
        }
        received += 1;
        if forks && received == 100 {
            fork_a_sleeper(2);
        }
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    options
}
