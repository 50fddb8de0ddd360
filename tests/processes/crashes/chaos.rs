//! One run: a bundle of three nodes under load, faults that a seed decides, and the check of their
//! records.

use std::collections::BTreeMap;
use std::fs;
use std::ops::AddAssign;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use fastrand::Rng;
use mycelium_bundle::{BundleError, BundleEvent, BundleHandle, BundleReport, MemberPhase};
use rustix::process::{Pid, Signal, kill_process};

use super::checker::{Tally, check};
use super::history;
use super::launch::{self, MEMBERS, PATIENCE, STREAMS};
use super::lives::{Fate, Lives, Start};
use super::marks::{self, Phase, Role};
use super::records::{Record, file, read};
use super::roles::{self, SLOTS};
use super::transport::{Layout, Transport};

/// The faults of a run, and the result of the check.
#[derive(Clone, Debug, Default)]
pub(crate) struct Summary {
    pub(crate) kills: u64,
    /// How many kills have hit their target service in each phase.
    pub(crate) hits: BTreeMap<Phase, u64>,
    pub(crate) restarts: u64,
    pub(crate) pauses: u64,
    pub(crate) tally: Tally,
}

impl AddAssign for Summary {
    fn add_assign(&mut self, other: Summary) {
        self.kills += other.kills;
        self.restarts += other.restarts;
        self.pauses += other.pauses;
        self.tally += other.tally;
        for (phase, count) in other.hits {
            *self.hits.entry(phase).or_default() += count;
        }
    }
}

/// The start of the panic message when readers receive nothing new.
pub(crate) const HANGS: &str = "no progress";

/// When a run ends.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(test, expect(dead_code, reason = "a test runs for a time"))]
pub(crate) enum Until {
    #[cfg_attr(not(test), expect(dead_code, reason = "the command counts kills"))]
    Time(Duration),
    Kills(u64),
}

/// Runs the nodes with the faults of the seed. `hits` has the phases that earlier runs have hit.
/// Panics if a check fails.
pub(crate) fn run(
    seed: u64,
    transport: Transport,
    until: Until,
    hits: &BTreeMap<Phase, u64>,
) -> Summary {
    let mut run = Run::start(seed, transport, hits.clone());
    let began = now();
    run.progress();
    let goes_on = |run: &Run| match until {
        // A run without faults proves nothing, so it continues until it has some, on a loaded
        // machine for longer.
        Until::Time(time) => {
            let has_none = run.summary.kills == 0 || run.summary.pauses == 0;
            assert!(!has_none || now() < began + 30 * time, "nothing was killed, or paused");
            now() < began + time || has_none
        }
        Until::Kills(kills) => run.summary.kills < kills,
    };
    while goes_on(&run) {
        for _ in 0..run.rng.u32(1..=4) {
            run.act();
            let pause = Duration::from_millis(run.rng.u64(..60));
            let at_once = run.rng.bool();
            run.pass(if at_once { Duration::ZERO } else { pause });
        }
        run.go_on_all();
        run.progress();
        run.layout.check_reachable();
    }
    run.end()
}

struct Run {
    rng: Rng,
    place: PathBuf,
    layout: Layout,
    handle: BundleHandle,
    bundle: Option<JoinHandle<Result<BundleReport, BundleError>>>,
    events: Receiver<BundleEvent>,
    lives: Lives,
    summary: Summary,
    /// How many kills have hit each phase, including earlier runs.
    hits: BTreeMap<Phase, u64>,
    /// The mark files of the services at which the last kills were aimed.
    aimed: Vec<PathBuf>,
}

/// How long a kill waits for the phase that it aims at.
const AIM: Duration = Duration::from_millis(30);

impl Run {
    fn start(seed: u64, transport: Transport, hits: BTreeMap<Phase, u64>) -> Run {
        let name = format!("mycelium-crashes-{transport:?}-{}-{seed}", std::process::id());
        let place = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&place);
        fs::create_dir(&place).unwrap();
        let layout = Layout::new(transport, &place);
        fs::write(roles::topology(&place), layout.topology()).unwrap();
        let (bundle, events) = launch::bundle(&place);
        Run {
            rng: Rng::with_seed(seed),
            place,
            layout,
            handle: bundle.handle(),
            bundle: Some(thread::spawn(|| bundle.run())),
            events,
            lives: Lives::new(),
            summary: Summary::default(),
            hits,
            aimed: Vec::new(),
        }
    }

    /// Causes one fault, or several at the same time.
    fn act(&mut self) {
        let member = MEMBERS[self.rng.usize(..MEMBERS.len())];
        match self.rng.u32(..10) {
            0..=3 => self.kill_in_rarest_phase(),
            4 => {
                let mut all = MEMBERS;
                self.rng.shuffle(&mut all);
                let few = self.rng.usize(2..=3);
                all[..few].iter().for_each(|member| self.kill(member));
            }
            5 => self.restart(member),
            // Some pauses are so long that other nodes end their links.
            _ => {
                self.pause(member);
                let time = Duration::from_millis(self.rng.u64(1..700));
                self.pass(time);
                if self.rng.bool() {
                    self.go_on(member);
                }
            }
        }
    }

    /// Kills a process in the phase with the fewest hits so far, of all members.
    fn kill_in_rarest_phase(&mut self) {
        self.count_hits();
        let phase = self.rarest(&Phase::ALL[1..]);
        let is_in = |(_, _, role): &(&str, &str, Role)| Phase::of(*role).contains(&phase);
        let places: Vec<_> = roles().filter(is_in).collect();
        let (member, topic, role) = places[self.rng.usize(..places.len())];
        self.kill_in(phase, member, topic, role);
    }

    /// Kills this member in the phase with the fewest hits so far.
    fn kill(&mut self, member: &str) {
        let places: Vec<_> = roles().filter(|(known, ..)| *known == member).collect();
        let (member, topic, role) = places[self.rng.usize(..places.len())];
        let phase = self.rarest(Phase::of(role));
        self.kill_in(phase, member, topic, role);
    }

    fn rarest(&self, phases: &[Phase]) -> Phase {
        let count = |phase: &Phase| self.hits.get(phase).copied().unwrap_or(0);
        phases.iter().copied().min_by_key(count).unwrap_or(Phase::Start)
    }

    /// Kills a process when one of its services reaches this phase. If it does not reach it in
    /// time, the process is mostly spared.
    fn kill_in(&mut self, phase: Phase, member: &str, topic: &str, role: Role) {
        let Some(pid) = self.target(member) else { return };
        // Whatever its publishers know as confirmed before the kill must not be sent to its next
        // process.
        let mut confirmed = Vec::new();
        for (publisher, topic, reader, _) in STREAMS {
            let life = self.lives.of(publisher).saturating_sub(1);
            if reader == member && life < self.lives.of(publisher) {
                let mark = marks::file(&self.place, publisher, life, topic, Role::Publisher);
                confirmed.push((topic, life, marks::read(&mark).confirmed));
            }
        }
        let life = self.lives.of(member).saturating_sub(1);
        let path = marks::file(&self.place, member, life, topic, role);
        let (mark, end) = (fs::File::open(&path).ok(), now() + AIM);
        while marks::Mark::of(mark.as_ref()).phase != phase && now() < end {
            std::hint::spin_loop();
        }
        // A service that waits for another node may take long to reach the phase.
        let is_missed = marks::Mark::of(mark.as_ref()).phase != phase;
        if is_missed && self.rng.u32(..4) > 0 || kill_process(pid, Signal::KILL).is_err() {
            return;
        }
        self.lives.suffers(member, Fate::Killed);
        self.summary.kills += 1;
        self.aimed.push(path);
        if let Some(start) = self.lives.last(member) {
            start.confirmed = confirmed;
        }
    }

    /// Counts the phases that kills have hit. A killed process ends at once, long before the next
    /// kill.
    fn count_hits(&mut self) {
        for mark in self.aimed.drain(..) {
            let phase = marks::read(&mark).phase;
            *self.hits.entry(phase).or_default() += 1;
            *self.summary.hits.entry(phase).or_default() += 1;
        }
    }

    /// Ends a process in order, so that it is started again.
    fn restart(&mut self, member: &str) {
        // `target` notes its start first, because an earlier process has records as well.
        let Some(pid) = self.target(member) else { return };
        let life = self.lives.of(member).saturating_sub(1);
        // A process that does not handle SIGTERM yet is killed by it.
        let is_up = STREAMS.iter().any(|(publisher, topic, reader, _)| {
            let is_its = *publisher == member || *reader == member;
            is_its && !read(&file(&self.place, member, life, topic), 1).is_empty()
        });
        if !is_up {
            return;
        }
        let again = roles::again(&self.place, member, life);
        fs::write(&again, "").unwrap();
        if kill_process(pid, Signal::TERM).is_ok() {
            self.lives.suffers(member, Fate::AskedToEnd);
            self.summary.restarts += 1;
        } else {
            fs::remove_file(&again).unwrap();
        }
    }

    fn pause(&mut self, member: &str) {
        if self.signal(member, Signal::STOP) {
            self.summary.pauses += 1;
            self.lives.last(member).unwrap().stopped = true;
        }
    }

    fn go_on(&mut self, member: &str) {
        let stopped = |start: &mut Start| std::mem::take(&mut start.stopped);
        if self.lives.last(member).is_some_and(stopped) {
            self.signal(member, Signal::CONT);
        }
    }

    fn go_on_all(&mut self) {
        MEMBERS.iter().for_each(|member| self.go_on(member));
    }

    /// Sends a signal to the process of a member, if it is running.
    fn signal(&mut self, member: &str, signal: Signal) -> bool {
        self.target(member).is_some_and(|pid| kill_process(pid, signal).is_ok())
    }

    /// Returns the process of a member, if it is running and its end is not known.
    fn target(&mut self, member: &str) -> Option<Pid> {
        self.pass(Duration::ZERO);
        let start = self.lives.last(member)?;
        if start.life.ended < usize::MAX || start.fate == Fate::Killed {
            return None;
        }
        // An id stays reserved until its process is reaped, and that is reported later. So at worst
        // the process has ended.
        if self.handle.pid(member) != Some(start.pid) {
            return None;
        }
        Pid::from_raw(i32::try_from(start.pid).unwrap())
    }

    /// Records events for this time.
    fn pass(&mut self, time: Duration) {
        let end = now() + time;
        loop {
            match self.events.recv_timeout(end.saturating_duration_since(now())) {
                Ok(event) => self.lives.note(&event, &self.place),
                Err(RecvTimeoutError::Timeout) => return,
                Err(RecvTimeoutError::Disconnected) => panic!("the bundle has ended"),
            }
        }
    }

    /// Waits until each reader has received new messages from each publisher that is running.
    fn progress(&mut self) {
        let end = now() + PATIENCE;
        let mut seen = BTreeMap::new();
        let mut left = STREAMS.to_vec();
        loop {
            left.retain(|(publisher, topic, reader, _)| {
                let (from, to) = (self.lives.of(publisher), self.lives.of(reader));
                if !self.lives.is_up(publisher) || !self.lives.is_up(reader) {
                    return true;
                }
                let path = file(&self.place, reader, to - 1, topic);
                // Messages that were received earlier do not count.
                let before =
                    seen.entry((*topic, *reader, from, to)).or_insert_with(|| read(&path, 0).len());
                let fresh = |record: &Record| matches!(record, Record::Got { life, .. } if *life == from - 1);
                read(&path, *before).iter().filter(|record| fresh(record)).count() < 20
            });
            if left.is_empty() {
                return;
            }
            assert!(now() < end, "{HANGS}: {left:?}\n{}", self.lives.story());
            self.pass(Duration::from_millis(2));
        }
    }

    /// Ends all processes in order, and checks their records.
    fn end(mut self) -> Summary {
        self.count_hits();
        self.handle.stop();
        let bundle = self.bundle.take().unwrap();
        while let Ok(event) = self.events.recv_timeout(2 * PATIENCE) {
            self.lives.note(&event, &self.place);
        }
        let report = bundle.join().unwrap().unwrap();
        for member in report.members {
            assert_eq!(member.phase, MemberPhase::Completed, "{}", member.name);
        }
        self.layout.check_left();
        let (sent, read) = history::of(&self.place, &self.lives.starts);
        match check(&sent, &read, SLOTS) {
            Ok(tally) => self.summary.tally = tally,
            Err(error) => panic!("{error}\n{}", self.lives.story()),
        }
        history::check_processors(&self.place, &self.lives.starts);
        std::mem::take(&mut self.summary)
    }
}

/// Returns each topic of each member, with the member's role.
fn roles() -> impl Iterator<Item = (&'static str, &'static str, Role)> {
    let readers = STREAMS.iter().map(|(_, topic, reader, _)| (*reader, *topic, Role::Reader));
    let publishers = [
        ("source", "orders", Role::Publisher),
        ("source", "ticks", Role::Publisher),
        ("source", "notes", Role::Publisher),
        ("processor", "results", Role::Publisher),
    ];
    readers.chain(publishers)
}

impl Drop for Run {
    /// Removes all files; keeps the records after a failure.
    fn drop(&mut self) {
        self.go_on_all();
        self.handle.stop();
        if let Some(bundle) = self.bundle.take() {
            let _ = bundle.join();
        }
        if thread::panicking() {
            #[expect(clippy::print_stderr, reason = "shows the place of the records")]
            {
                eprintln!("what the processes wrote is in {}", self.place.display());
            }
        } else {
            let _ = fs::remove_dir_all(&self.place);
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "these are real processes")]
fn now() -> Instant {
    Instant::now()
}
