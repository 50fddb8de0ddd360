//! A hostile reader and a hostile publisher on the same machine, which repeatedly use every way
//! that shared memory gives them, while an honest publisher and reader beside them work.
//!
//! The attackers pass descriptors without rings, lie about numbers, sizes and generations, flood
//! the control connection, and write random values into every word that they may write. The honest
//! ones lose nothing, no task panics, and nothing is left behind.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Waker};
use std::thread;
use std::time::Duration;

use fastrand::Rng;
use futures_util::future::join_all;
use mycelium_core::FrameView;
use mycelium_core::Message;
use mycelium_core::doorbell::WakePath;
use mycelium_core::link::{
    CloseReason, Config, Event, IncomingId, Interest, Name, OutgoingId, ReaderMode, StreamStart,
};
use mycelium_core::ring::broadcast::{Layout, Word};
use mycelium_core::ring::region::{CursorRegion, DataRegion, ForeignData, Memory, RingIdentity};
use mycelium_executor::Executor;
use mycelium_transports::endpoint::unix::{self, Access, BoundSocket};
use mycelium_transports::link::Notice;
use mycelium_transports::local::{Delivery, Policy};
use mycelium_transports::memory::{
    Connection, ControlThread, Gone, Handler, Mapping, Packet, PacketKind, Token, cursor_region,
    data_region, random_token,
};
use mycelium_transports::stream::{Driver, NodeLink, STREAMS, TOPICS, Traffic};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use tokio::time::{Instant, sleep, timeout};

use super::child::{Follow, Side, Words};
use super::torture::{EPOCH, held, private_directory, publish};

/// How long one attack lasts.
const ATTACK: Duration = Duration::from_millis(60);
/// Longer than it takes to detect an attack.
const PATIENCE: Duration = Duration::from_secs(60);
/// The number of attacks, for a reader and for a publisher.
const WAYS: u64 = 12;

/// The hostile end of a control connection, which passes and accepts regions.
struct Attacker {
    is_reader: bool,
    way: u64,
    epoch: u64,
    over: Arc<AtomicBool>,
    /// The numbers of regions that the other side has accepted.
    accepted: Arc<Mutex<Vec<u32>>>,
    waker: Arc<Mutex<Option<Waker>>>,
    writers: mpsc::Sender<thread::JoinHandle<()>>,
}

impl Attacker {
    /// Writes random values into the words of a region without a ring, until the attack is over.
    fn spoil<R: Send + 'static>(&self, region: R, memory: fn(&R) -> &Mapping) {
        let over = self.over.clone();
        let writer = thread::spawn(move || {
            let (words, mut rng) = (memory(&region).words(), Rng::new());
            while !over.load(Ordering::Relaxed) {
                for _ in 0..64 {
                    spoil_one(words, &mut rng);
                }
            }
        });
        _ = self.writers.send(writer);
    }

    /// Returns the wrong descriptor that this attack passes in place of `region`, if it passes one.
    fn other(&self, region: &OwnedFd, layout: Layout, identity: RingIdentity) -> Option<OwnedFd> {
        let wrong = RingIdentity { epoch: identity.epoch ^ 1, ..identity };
        match self.way {
            1 => Some(memfd(1 << 16, false)),
            2 => Some(memfd(1 << 12, true)),
            3 => File::open("/dev/zero").ok().map(OwnedFd::from),
            4 => File::open("/").ok().map(OwnedFd::from),
            5 if self.is_reader => region.try_clone().ok(),
            5 => cursor_region("hostile", layout, 4, identity).ok().map(|(_, file)| file),
            6 if self.is_reader => cursor_region("hostile", layout, 3, wrong).ok().map(|it| it.1),
            6 => data_region("hostile", layout, 4, wrong, false).ok().map(|(_, file)| file),
            _ => None,
        }
    }

    /// Answers a region that was passed to this hostile reader.
    fn answer(&self, connection: &Connection, packet: Packet, file: OwnedFd) {
        let Ok(copy) = file.try_clone() else { return };
        let Ok(mapping) = Mapping::attach(copy, 1 << 20, true) else { return };
        let identity = RingIdentity { epoch: packet.args[0], digest: Words::DIGEST.0 };
        let Ok(data) = ForeignData::attach(mapping, identity) else { return };
        let layout = data.layout();
        let Ok((region, own)) = cursor_region("hostile", layout, 9, identity) else { return };
        let (number, args) = (packet.number, [9, 0, 0, 0]);
        let pass = |number, args, file: &OwnedFd| {
            let packet = Packet::new(PacketKind::Cursors, number, args);
            _ = connection.send(packet, Some(file.as_fd()));
        };
        if let Some(other) = self.other(&file, layout, identity) {
            return pass(number, args, &other);
        }
        match self.way {
            7 => {
                for lie in [u64::MAX, 0, number + 1, number << 32] {
                    pass(lie, args, &own);
                }
            }
            8 => pass(number, [u64::MAX, 7, 7, 7], &own),
            9 => {
                for _ in 0..2000 {
                    connection.wake(WakePath::Socket(0));
                    pass(number, args, &own);
                }
            }
            _ => {
                pass(number, args, &own);
                self.spoil(region, CursorRegion::memory);
            }
        }
    }

    /// Passes a region as a hostile publisher.
    fn pass(&self, connection: &Connection) {
        let layout = Layout::exact(64, size_of::<Words>()).in_lines();
        let identity = RingIdentity { epoch: self.epoch, digest: Words::DIGEST.0 };
        let Ok((region, file)) = data_region("hostile", layout, 4, identity, false) else { return };
        let pass = |number, args, file: &OwnedFd| {
            let packet = Packet::new(PacketKind::Region, number, args);
            _ = connection.send(packet, Some(file.as_fd()));
        };
        let args = [self.epoch, 0, 1, 0];
        if let Some(other) = self.other(&file, layout, identity) {
            return pass(1, args, &other);
        }
        match self.way {
            7 => pass(u64::MAX, args, &file),
            8 => pass(1, [self.epoch, u64::MAX - 1, u64::MAX, u64::MAX], &file),
            9 => (0..2000).for_each(|number| pass(number, args, &file)),
            10 => (0..2000).for_each(|number| pass(number, [number, 0, 0, 0], &file)),
            _ => {
                pass(1, args, &file);
                self.spoil(region, DataRegion::memory);
            }
        }
    }
}

impl Handler for Attacker {
    fn connected(&self, connection: &Arc<Connection>) {
        if !self.is_reader {
            self.pass(connection);
        }
    }

    fn packet(&self, connection: &Arc<Connection>, packet: Packet, file: Option<OwnedFd>) {
        match (packet.kind, file) {
            (PacketKind::Region, Some(file)) if self.is_reader => {
                self.answer(connection, packet, file);
            }
            (PacketKind::Cursors, _) => {
                self.accepted.lock().unwrap().push(packet.number as u32);
                if let Some(waker) = self.waker.lock().unwrap().take() {
                    waker.wake();
                }
            }
            _ => {}
        }
    }

    fn wake(&self) {}

    fn gone(&self, _: Gone) {}
}

/// Writes a number near zero, near a limit, or any other one into a word; most often into one of
/// the first, which are the header, positions and states.
#[allow(unsafe_code)]
fn spoil_one(words: &[Word], rng: &mut Rng) {
    let index =
        if rng.bool() { rng.usize(..words.len().min(128)) } else { rng.usize(..words.len()) };
    let near = rng.usize(..256);
    let value = match rng.u32(..5) {
        0 | 1 => near,
        2 => near.wrapping_sub(256),
        3 => (1 << 63) - 128 + near,
        _ => rng.usize(..),
    };
    // SAFETY: no ring of this test uses the region, and others read it as foreign memory.
    unsafe { words[index].set(value) };
}

/// Returns a memfd that is filled with zeros.
fn memfd(bytes: u64, seals: bool) -> OwnedFd {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let file = memfd_create("hostile", flags).unwrap();
    ftruncate(&file, bytes).unwrap();
    if seals {
        let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL | SealFlags::WRITE;
        fcntl_add_seals(&file, seals).unwrap();
    }
    file
}

/// The traffic of a hostile reader's or publisher's link.
struct HostileLink {
    attacker: Arc<Attacker>,
    control: Arc<ControlThread>,
    path: PathBuf,
    token: Option<Token>,
    stream: Option<OutgoingId>,
    sent: u64,
    until: Instant,
}

impl Traffic<TOPICS, STREAMS> for HostileLink {
    fn message(&mut self, _: IncomingId, _: FrameView<'_>) -> Result<(), CloseReason> {
        Ok(())
    }

    fn on_event(&mut self, now: Duration, link: &mut NodeLink<'_>, event: Event<'_>) {
        match event {
            Event::Memory { token } => {
                let (access, attacker) = (Access::default(), self.attacker.clone());
                _ = self.control.connect(&self.path, &access, token, attacker);
            }
            Event::Subscribe { export, .. } => {
                _ = link.accept(export);
                let name = Name::try_from("hostile").unwrap();
                let stream = link.open_stream(
                    now,
                    export,
                    name,
                    StreamStart::new(self.attacker.epoch, 0, 64),
                );
                self.stream = stream.ok();
                let token = random_token();
                self.control.expect(token, None, self.attacker.clone());
                _ = link.offer_memory(now, token);
                self.token = Some(token);
            }
            _ => {}
        }
    }

    fn send(&mut self, now: Duration, link: &mut NodeLink<'_>, context: &mut Context<'_>) {
        *self.attacker.waker.lock().unwrap() = Some(context.waker().clone());
        let Some(stream) = self.stream else { return };
        let accepted = self.attacker.accepted.lock().unwrap().pop();
        if let Some(number) = accepted.or((self.attacker.way == 11).then_some(77)) {
            // Includes regions that were never passed, and some twice.
            _ = link.move_stream(now, stream, number);
            self.sent += 1;
        }
        if Instant::now() >= self.until {
            link.close(now, CloseReason::Shutdown);
        }
    }
}

/// Attacks once, over one connection.
async fn attack(
    side: &Side,
    path: &Path,
    is_reader: bool,
    way: u64,
    time: Duration,
    stream: mycelium_executor::Stream,
) {
    let (writers, joined) = mpsc::channel();
    static LIFE: AtomicU64 = AtomicU64::new(1);
    let epoch = LIFE.fetch_add(1, Ordering::Relaxed);
    let attacker = Arc::new(Attacker {
        is_reader,
        way,
        epoch,
        over: Arc::default(),
        accepted: Arc::default(),
        waker: Arc::default(),
        writers,
    });
    let _writers = Writers { over: attacker.over.clone(), joined };
    let name = if is_reader { "spoiler" } else { "hostile" };
    let config = Config { memory: true, ..Config::new(Name::try_from(name).unwrap(), epoch) };
    let mut buffer = vec![0; 1 << 16];
    let mut link = NodeLink::new(config, &mut buffer).unwrap();
    if is_reader {
        link.subscribe(Interest::of::<Words>(ReaderMode::Gating, 64).unwrap()).unwrap();
    }
    let mut traffic = HostileLink {
        attacker: attacker.clone(),
        control: side.memory.clone(),
        path: path.with_extension("shm"),
        token: None,
        stream: None,
        sent: 0,
        until: Instant::now() + time,
    };
    {
        let mut driver = Driver::new(&mut link, stream, side.executor.clone());
        _ = timeout(time, driver.run(&mut traffic)).await;
    }
    traffic.token.inspect(|token| _ = side.memory.forget(token));
}

/// The writing threads of an attack. They end on drop, even if the attack is cut short.
struct Writers {
    over: Arc<AtomicBool>,
    joined: mpsc::Receiver<thread::JoinHandle<()>>,
}

impl Drop for Writers {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        for writer in self.joined.try_iter() {
            writer.join().unwrap();
        }
    }
}

async fn attack_as_reader(side: Side) {
    let path = side.place.join("victim.sock");
    for way in (0..WAYS).cycle() {
        if let Ok(stream) = unix::connect(&path).and_then(|it| side.executor.unix_stream(it)) {
            attack(&side, &path, true, way, ATTACK, stream).await;
        }
        tokio::task::yield_now().await;
    }
}

async fn attack_as_publisher(side: Side) {
    let path = side.place.join("hostile.sock");
    side.memory.listen(path.with_extension("shm"), Access::default()).unwrap();
    let bound = BoundSocket::at(&path).unwrap();
    let mut listener = bound.listener(&*side.executor).unwrap();
    for way in (0..WAYS).cycle() {
        let Ok((stream, _)) = listener.accept().await else { continue };
        attack(&side, &path, false, way, ATTACK, stream).await;
    }
}

/// Attacks a node for some seconds, from both sides of its links.
#[expect(clippy::print_stdout, reason = "how much was done")]
pub(crate) fn run(seconds: u64) {
    let panics = Arc::new(AtomicU64::new(0));
    let (count, before) = (panics.clone(), std::panic::take_hook());
    std::panic::set_hook(Box::new(move |info| {
        count.fetch_add(1, Ordering::Relaxed);
        before(info);
    }));
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    drop(runtime());
    let before = held();
    let place = private_directory("spoilt");
    let received = runtime().block_on(victim(&place, Duration::from_secs(seconds)));
    assert_eq!(panics.load(Ordering::Relaxed), 0, "a task panicked");
    _ = std::panic::take_hook();
    std::fs::remove_dir_all(&place).unwrap();
    assert_eq!(held(), before, "descriptors and mappings are left");
    println!("hostile memory: {received:?} messages of the others in {seconds} s, none missing");
}

/// Checks that a publisher continues while its only reader writes garbage into its memory.
pub(crate) fn run_reader_alone() {
    let place = private_directory("garbage");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let freed = runtime.block_on(async { timeout(PATIENCE, until_let_go(&place)).await });
    std::fs::remove_dir_all(&place).unwrap();
    freed.expect("the publisher waits for a reader that has broken the protocol");
}

async fn until_let_go(place: &Path) {
    let is_found = Arc::new(AtomicBool::new(false));
    let found = is_found.clone();
    let observer: mycelium_transports::link::Observer = Arc::new(move |notice| {
        if let Notice::InvalidMemory { peer: "spoiler", topic: "words", .. } = notice {
            found.store(true, Ordering::Relaxed);
        }
    });
    let victim = Side::new("victim", 1, place.to_owned(), true, observer);
    let reading = Side::new("spoiler", 3, place.to_owned(), true, Arc::new(|_| {}));
    let topic = victim.topic();
    let server = victim.serve("victim.sock", &topic, &["spoiler"]);
    let mut publisher = topic.publisher::<Words>("publisher", EPOCH).unwrap();
    let mut number = 0;
    while publisher.try_emit(Words::new(EPOCH, number)).is_ok() {
        number += 1;
    }
    let path = place.join("victim.sock");
    while !is_found.load(Ordering::Relaxed) {
        if let Ok(stream) = unix::connect(&path).and_then(|it| reading.executor.unix_stream(it)) {
            // Some attacks are too early: their memory is not accepted yet.
            attack(&reading, &path, true, WAYS - 2, 10 * ATTACK, stream).await;
        }
        tokio::task::yield_now().await;
    }
    for _ in 0..100 * number {
        publisher.try_emit(Words::new(EPOCH, number)).expect("it waits for nobody");
        number += 1;
    }
    assert!(server.has_let_go("spoiler"), "the messages are undelivered for this reason");
    for side in [&victim, &reading] {
        side.end().await;
    }
}

/// Publishes for a friendly reader and reads from a friendly publisher, under attack. Returns how
/// many messages each of the two has received.
async fn victim(place: &Path, time: Duration) -> [u64; 2] {
    let side = |name, boot| Side::new(name, boot, place.to_owned(), true, Arc::new(|_| {}));
    let (victim, friend) = (side("victim", 1), side("friend", 2));
    let (reading, writing) = (side("spoiler", 3), side("hostile", 4));
    let (from_victim, from_friend) = (victim.topic(), friend.topic());
    victim.serve("victim.sock", &from_victim, &["friend", "spoiler"]);
    friend.serve("friend.sock", &from_friend, &["victim"]);
    let heap = |side: &Side| Side { in_memory: false, ..side.clone() }.topic();
    let (at_victim, at_friend) = (heap(&victim), heap(&friend));
    let mut tasks = Vec::new();
    let counts: [Arc<AtomicU64>; 2] = Default::default();
    for (topic, count) in [(&at_victim, &counts[0]), (&at_friend, &counts[1])] {
        let mut messages = topic.subscribe::<Words>("reader", Policy::Block).unwrap();
        let (mut follow, count) = (Follow::default(), count.clone());
        tasks.push(tokio::spawn(async move {
            while let Some(delivery) = messages.recv().await {
                // Messages of the hostile publisher may have any content.
                let is_friend = match &delivery {
                    Delivery::Msg(message) => message.life == EPOCH,
                    Delivery::Gap(gap) => gap.epoch == EPOCH,
                };
                if is_friend {
                    follow.check(&delivery, true).unwrap();
                    count.fetch_add(1, Ordering::Relaxed);
                }
            }
        }));
    }
    victim.read("friend", "friend.sock", &at_victim, Policy::Block);
    victim.read("hostile", "hostile.sock", &at_victim, Policy::Block);
    friend.read("victim", "victim.sock", &at_friend, Policy::Block);
    for topic in [&from_victim, &from_friend] {
        let publisher = topic.publisher::<Words>("publisher", EPOCH).unwrap();
        tasks.push(tokio::spawn(publish(publisher, |_, _| ())));
    }
    tasks.push(tokio::spawn(attack_as_reader(reading.clone())));
    tasks.push(tokio::spawn(attack_as_publisher(writing.clone())));
    sleep(time).await;
    for task in &tasks {
        assert!(!task.is_finished(), "a task has ended");
        task.abort();
    }
    join_all(tasks).await;
    for side in [&victim, &friend, &reading, &writing] {
        side.end().await;
    }
    let counts = counts.map(|count| count.load(Ordering::Relaxed));
    assert!(counts.iter().all(|count| *count > 1000), "{counts:?}");
    counts
}
