//! One run: a process that survives, and three more that are killed, stopped and started again.
//!
//! The survivor reads from the publisher, and publishes for a gating and an observing reader, all
//! over links, with or without shared memory. A seed decides which process is killed, and when.

use std::collections::BTreeMap;
use std::fs;
use std::ops::AddAssign;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use futures_util::future::join_all;
use mycelium_transports::link::{Notice, Observer};
use mycelium_transports::local::{Delivery, EmitError, Policy, Publisher, Refusal, Subscription};
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Instant, sleep, timeout};

use super::child::{self, Follow, SLOTS, Side, Words};

/// Longer than any step takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// The settings of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) kills: u64,
    pub(crate) in_memory: bool,
    /// Whether the processes fork children that keep all descriptors for a while.
    pub(crate) forks: bool,
}

/// The figures of a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    pub(crate) kills: u64,
    pub(crate) stops: u64,
    pub(crate) received: u64,
    /// Messages that killed publishers had emitted and nobody received: they were still on the
    /// socket.
    pub(crate) gone: u64,
    /// The times from `SIGKILL` to the notice of the lost link.
    pub(crate) told: Vec<Duration>,
    /// Messages that the reader's next process received again, with a mark.
    pub(crate) again: u64,
}

impl Figures {
    pub(crate) fn told(&self, of_thousand: usize) -> Duration {
        let mut told = self.told.clone();
        told.sort_unstable();
        let last = told.len().saturating_sub(1);
        told.get(last * of_thousand / 1000).copied().unwrap_or_default()
    }
}

/// The epoch of the survivor's publisher.
pub(crate) const EPOCH: u64 = 1 << 20;

impl AddAssign for Figures {
    fn add_assign(&mut self, other: Figures) {
        self.kills += other.kills;
        self.stops += other.stops;
        self.received += other.received;
        self.gone += other.gone;
        self.again += other.again;
        self.told.extend(other.told);
    }
}

const ROLES: [&str; 3] = ["publisher", "reader", "watcher"];

/// The number of kills of one run.
const PART: u64 = 100;

/// Runs with and without forked children, and a tenth as many kills over sockets. Prints the
/// figures of each.
#[expect(clippy::print_stdout, reason = "the figures")]
pub(crate) fn run_all(seed: u64, kills: u64) -> Result<(), String> {
    let ways =
        [(true, false, kills / 2), (true, true, kills - kills / 2), (false, false, kills / 10)];
    for (in_memory, forks, kills) in ways {
        let mut sum = Figures::default();
        while sum.kills < kills {
            // The runs of one seed must differ from the runs of the next.
            let seed = seed.wrapping_mul(1 << 20).wrapping_add(sum.kills);
            let plan = Plan { seed, kills: PART.min(kills - sum.kills), in_memory, forks };
            sum += run(plan).map_err(|error| format!("{plan:?}: {error}"))?;
        }
        let [p50, p99, most] = [500, 990, 1000].map(|of| sum.told(of));
        let carrier = if in_memory { "shm" } else { "unix" };
        let children = if forks { ", with forked children" } else { "" };
        println!(
            "killed: seed {seed}: {carrier}{children}: {} kills, {} stops, {} received, {} on the \
             socket of dead publishers, {} again; told after {p50:?} (p50), {p99:?} (p99), \
             {most:?} (max)",
            sum.kills, sum.stops, sum.received, sum.gone, sum.again
        );
    }
    Ok(())
}

/// What the tasks of the survivor have seen.
#[derive(Default)]
struct Seen {
    /// Which links are connected.
    up: BTreeMap<String, bool>,
    /// When each link has ended.
    down: BTreeMap<String, Instant>,
    /// The start of the publisher that sent the last message, and how many of its messages were
    /// received.
    last: (u64, u64),
    /// How many messages of each start of the publisher were received.
    received: BTreeMap<u64, u64>,
    /// How many messages the survivor has emitted.
    sent: u64,
    blocked_by: Option<Arc<str>>,
    violations: Vec<String>,
    /// A start of the publisher whose end was not reported.
    untold: Option<u64>,
}

type SharedSeen = Arc<Mutex<Seen>>;

/// Runs the plan. An error describes a broken promise, and what happened.
pub(crate) fn run(plan: Plan) -> Result<Figures, String> {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    // The first runtime opens descriptors that stay open until the process ends.
    drop(runtime());
    let before = held();
    let runtime = runtime();
    let place = private_directory(&format!("killed-{}", plan.seed));
    let figures = runtime.block_on(torture(plan, &place))?;
    drop(runtime);
    let after = held();
    if before != after {
        return Err(format!("left behind: {before:?} descriptors and mappings became {after:?}"));
    }
    let left = fs::read_dir(&place).unwrap().flatten().map(|entry| entry.path());
    let left: Vec<_> =
        left.filter(|it| it.extension().is_some_and(|it| it == "sock" || it == "shm")).collect();
    let is_own = |path: &&PathBuf| path.file_stem().is_some_and(|it| it == "survivor");
    if let Some(path) = left.iter().find(is_own) {
        return Err(format!("{} is left", path.display()));
    }
    fs::remove_dir_all(&place).unwrap();
    Ok(figures)
}

async fn torture(plan: Plan, place: &Path) -> Result<Figures, String> {
    let seen = SharedSeen::default();
    let side = Side::new("survivor", 1, place.to_owned(), plan.in_memory, observer(&seen));
    let topic = side.topic();
    side.serve("survivor.sock", &topic, &["reader"]);
    let heap = Side { in_memory: false, ..side.clone() };
    let incoming = heap.topic();
    let gating = incoming.subscribe::<Words>("gating", Policy::Block).unwrap();
    let watching = incoming.subscribe::<Words>("watching", Policy::DropOldest).unwrap();
    let local = topic.subscribe::<Words>("local", Policy::DropOldest).unwrap();
    side.read("publisher", "publisher.sock", &incoming, Policy::Block);
    let publisher = topic.publisher::<Words>("survivor", EPOCH).unwrap();
    let noted = seen.clone();
    let note = move |sent, blocked_by| {
        let mut seen = noted.lock().unwrap();
        (seen.sent, seen.blocked_by) = (sent, blocked_by);
    };
    let tasks = [
        tokio::spawn(publish(publisher, note)),
        tokio::spawn(receive(gating, seen.clone(), true)),
        tokio::spawn(receive(watching, seen.clone(), false)),
        tokio::spawn(receive(local, seen.clone(), false)),
    ];
    let mut run = Run {
        plan,
        place: place.to_owned(),
        rng: Rng::with_seed(plan.seed),
        seen,
        children: BTreeMap::new(),
        lives: BTreeMap::new(),
        figures: Figures::default(),
    };
    let result = run.all().await;
    for (_, mut child) in std::mem::take(&mut run.children) {
        _ = child.kill();
        _ = child.wait();
    }
    tasks.iter().for_each(|task| task.abort());
    join_all(tasks).await;
    side.end().await;
    result?;
    run.check_logs()?;
    Ok(run.figures)
}

fn observer(seen: &SharedSeen) -> Observer {
    let seen = seen.clone();
    Arc::new(move |notice: Notice<'_>| {
        let mut seen = seen.lock().unwrap();
        match notice {
            Notice::Connected { peer, .. } => _ = seen.up.insert(peer.to_owned(), true),
            Notice::Disconnected { peer, .. } => {
                seen.up.insert(peer.to_owned(), false);
                seen.down.insert(peer.to_owned(), Instant::now());
            }
            _ => {}
        }
    })
}

/// Emits as fast as it can. `note` gets the number of messages, and the reader that has no room.
pub(crate) async fn publish(
    mut publisher: Publisher<Words>,
    mut note: impl FnMut(u64, Option<Arc<str>>),
) {
    let mut number = 0;
    loop {
        match publisher.try_emit(Words::new(EPOCH, number)) {
            Ok(()) => {
                number += 1;
                note(number, None);
            }
            Err(EmitError { refusal: Refusal::Full { .. }, .. }) => {
                note(number, publisher.blocked_by());
                publisher.flush();
                sleep(Duration::from_millis(1)).await;
                continue;
            }
            Err(error) => panic!("{error:?}"),
        }
        if number % 32 == 0 {
            publisher.flush();
            tokio::task::yield_now().await;
        }
    }
}

async fn receive(mut messages: Subscription<Words>, seen: SharedSeen, counts: bool) {
    let (mut follow, name) = (Follow::default(), if counts { "gating" } else { "observing" });
    while let Some(delivery) = messages.recv().await {
        let found = follow.check(&delivery, counts);
        let mut seen = seen.lock().unwrap();
        if let Delivery::Gap(_) = delivery
            && counts
        {
            seen.untold = follow.untold(seen.last.0);
        }
        match found {
            Ok(Some((life, number))) if counts => {
                seen.last = (life, number + 1);
                if seen.received.insert(life, number + 1).is_none() {
                    seen.untold = follow.untold(life);
                }
            }
            Ok(_) => {}
            Err(error) => seen.violations.push(format!("survivor, {name}: {error}")),
        }
    }
}

struct Run {
    plan: Plan,
    place: PathBuf,
    rng: Rng,
    seen: SharedSeen,
    children: BTreeMap<&'static str, Child>,
    /// The number of starts, by role.
    lives: BTreeMap<&'static str, u64>,
    figures: Figures,
}

impl Run {
    async fn all(&mut self) -> Result<(), String> {
        ROLES.iter().for_each(|role| self.start(role));
        while self.figures.kills < self.plan.kills {
            let role = ROLES[self.rng.usize(..ROLES.len())];
            // Mostly kills while messages move, sometimes during the start.
            if self.rng.u32(..4) > 0 {
                self.moves(role).await?;
            }
            sleep(Duration::from_micros(self.rng.u64(..4000))).await;
            if self.rng.u32(..8) == 0 {
                self.stop(role).await?;
            }
            self.kill(role).await?;
            self.check_violations()?;
            self.start(role);
        }
        for role in ROLES {
            self.moves(role).await?;
        }
        let is_told = || self.seen.lock().unwrap().untold.is_none();
        self.until("a gap reports the end of each publisher", is_told).await?;
        self.check_violations()
    }

    fn start(&mut self, role: &'static str) {
        let life = self.lives.entry(role).or_default();
        *life += 1;
        let ways = [("s", self.plan.in_memory), ("f", self.plan.forks)];
        let ways: String = ways.iter().filter(|(_, on)| *on).map(|(way, _)| *way).collect();
        let error = fs::File::create(self.place.join(format!("{role}.{life}.err"))).unwrap();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "killed::process", "--nocapture", "--test-threads=1"])
            .env(child::ROLE, role)
            .env(child::PLACE, &self.place)
            .env(child::LIFE, life.to_string())
            .env(child::WAYS, ways)
            .stdout(Stdio::null())
            .stderr(error)
            .spawn()
            .unwrap();
        self.children.insert(role, child);
    }

    /// Waits until messages move to or from the current process of a role.
    async fn moves(&self, role: &'static str) -> Result<(), String> {
        let life = self.lives[role];
        let log = self.place.join(format!("{role}.{life}"));
        let received = || match role {
            "publisher" => {
                let last = self.seen.lock().unwrap().last;
                if last.0 == life { last.1 } else { 0 }
            }
            _ => fs::metadata(&log).map_or(0, |file| file.len() / 16),
        };
        let most = received() + 200;
        self.until(&format!("{role} {life} gets messages"), || received() >= most).await
    }

    async fn until(&self, what: &str, holds: impl Fn() -> bool) -> Result<(), String> {
        let waiting = async {
            while !holds() {
                sleep(Duration::from_micros(200)).await;
            }
        };
        timeout(PATIENCE, waiting).await.map_err(|_| format!("never: {what}"))
    }

    fn signal(&self, role: &str, signal: Signal) {
        let pid = i32::try_from(self.children[role].id()).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
    }

    /// Stops a process until the publisher is blocked by it, or continues without it.
    async fn stop(&mut self, role: &'static str) -> Result<(), String> {
        if role == "publisher" || !self.seen.lock().unwrap().up.get(role).is_some_and(|up| *up) {
            return Ok(());
        }
        self.signal(role, Signal::STOP);
        self.figures.stops += 1;
        if role == "reader" {
            let blocked = || self.seen.lock().unwrap().blocked_by.as_deref() == Some("reader");
            self.until("the publisher names the stopped reader", blocked).await?;
        } else {
            let sent = self.seen.lock().unwrap().sent;
            let goes_on = || self.seen.lock().unwrap().sent > sent + 4 * SLOTS as u64;
            self.until("the publisher continues without the stopped observer", goes_on).await?;
        }
        if self.rng.bool() {
            self.signal(role, Signal::CONT);
            self.moves(role).await?;
        }
        Ok(())
    }

    async fn kill(&mut self, role: &'static str) -> Result<(), String> {
        let was_up = self.seen.lock().unwrap().up.get(role).is_some_and(|up| *up);
        let (life, began) = (self.lives[role], Instant::now());
        self.signal(role, Signal::KILL);
        let status = self.children.get_mut(role).unwrap().wait().unwrap();
        self.children.remove(role);
        self.figures.kills += 1;
        if status.code().is_some() {
            let said = fs::read_to_string(self.place.join(format!("{role}.{life}.err")));
            return Err(format!("{role} {life} ended before it was killed: {status}: {said:?}"));
        }
        if was_up {
            let seen = &self.seen;
            let down = || seen.lock().unwrap().down.get(role).copied().filter(|at| *at >= began);
            let noticed = format!("the end of {role} {life} is noticed");
            self.until(&noticed, || down().is_some()).await?;
            self.figures.told.push(down().unwrap() - began);
        }
        if role == "publisher" {
            // The messages that a dead publisher had emitted and no reader has received.
            let bytes = fs::read(self.place.join(format!("publisher.{life}"))).unwrap_or_default();
            let emitted = bytes.try_into().map_or(0, u64::from_le_bytes);
            let received = self.seen.lock().unwrap().received.get(&life).copied().unwrap_or(0);
            self.figures.received += received;
            self.figures.gone += emitted.saturating_sub(received);
        }
        Ok(())
    }

    fn check_violations(&self) -> Result<(), String> {
        let own = self.seen.lock().unwrap().violations.join("\n");
        let theirs = fs::read_to_string(self.place.join("violations")).unwrap_or_default();
        if own.is_empty() && theirs.is_empty() { Ok(()) } else { Err(own + &theirs) }
    }

    /// Checks that the starts of the gating reader together miss nothing, and that all messages
    /// that were received again are marked.
    fn check_logs(&mut self) -> Result<(), String> {
        let mut next = 0;
        for life in 1..=self.lives["reader"] {
            let bytes = fs::read(self.place.join(format!("reader.{life}"))).unwrap_or_default();
            for (index, record) in bytes.chunks_exact(16).enumerate() {
                let field = |at: usize| u64::from_le_bytes(record[at..at + 8].try_into().unwrap());
                let (number, again) = (field(0), field(8) == 1);
                if index == 0 && number > next {
                    return Err(format!("reader {life} began at {number}, not before {next}"));
                }
                if number < next && !again {
                    return Err(format!("reader {life} got {number} again without a mark: {next}"));
                }
                self.figures.again += u64::from(number < next);
                next = next.max(number + 1);
            }
            self.figures.received += (bytes.len() / 16) as u64;
        }
        Ok(())
    }
}

/// Returns a new directory that only this user may open.
pub(crate) fn private_directory(name: &str) -> PathBuf {
    let place = std::env::temp_dir().join(format!("mycelium-{name}-{}", std::process::id()));
    _ = fs::remove_dir_all(&place);
    fs::DirBuilder::new().mode(0o700).create(&place).unwrap();
    place
}

/// Returns how many descriptors this process has open, and how many mappings of rings it has.
pub(crate) fn held() -> [usize; 2] {
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let rings = maps.lines().filter(|line| line.contains("/memfd:"));
    [fs::read_dir("/proc/self/fd").map_or(0, Iterator::count), rings.count()]
}
