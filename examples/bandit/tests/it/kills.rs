//! `bandit bundled` while its members are killed and stopped at random. The file of signals has to
//! be that of an undisturbed run, byte for byte, the fills the same, and the bundle has to succeed.
//!
//! `SEEDS=100` runs 100 seeds instead of two, `SEED=7` only that one.

use std::{
    collections::BTreeMap, env, fs, path::Path, process::Command, sync::mpsc::RecvTimeoutError,
    time::Duration,
};

use crate::program::{Program, command, ran, undisturbed};
use fastrand::Rng;

const MEMBERS: [&str; 3] = ["collector", "detector", "writer"];
/// The most kills of a member, below the limit of its restarts.
const MOST_KILLS: u32 = 15;
/// The timeout of a run, which takes some seconds.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The kills and stops of one run.
#[derive(Debug, Default)]
struct Disturbances {
    kills: u32,
    kills_of: BTreeMap<&'static str, u32>,
    /// Kills of two members at once.
    pairs: u32,
    /// Members that were stopped for a while.
    stops: u32,
}

/// A bundle, and the members that run.
struct Bundled {
    program: Program,
    pids: BTreeMap<&'static str, String>,
}

impl Bundled {
    fn start(signals: &Path, random: &mut Rng) -> Self {
        let mut command = command(&["bundled", "--signals", signals.to_str().unwrap()]);
        // As fast as possible, or in one to three seconds, so that the members are mostly idle.
        if random.bool() {
            command.args(["--speed", &random.u32(30_000..90_000).to_string()]);
        }
        command.env("RUST_LOG", "warn");
        Self { program: Program::start(command), pids: BTreeMap::new() }
    }

    /// Reads the output of the bundle for this long; false at its end.
    fn listen(&mut self, time: Duration) -> bool {
        let mut left = time;
        while !left.is_zero() {
            // Counting steps needs no clock, and the exact time does not matter.
            let step = left.min(Duration::from_millis(1));
            match self.program.next(step) {
                Ok(line) => self.take(&line),
                Err(RecvTimeoutError::Timeout) => left -= step,
                Err(RecvTimeoutError::Disconnected) => return false,
            }
        }
        true
    }

    fn take(&mut self, line: &str) {
        for member in MEMBERS {
            let Some(event) = line.strip_prefix(&format!("{member}: ")) else { continue };
            if let Some(pid) = event.strip_prefix("started as process ") {
                self.pids.insert(member, pid.trim().to_owned());
            } else if event.starts_with("exited, ") {
                self.pids.remove(member);
            }
        }
    }

    /// Sends a signal to a member, if it runs. It may have just ended.
    fn signal(&self, signal: &str, member: &str) -> bool {
        let Some(pid) = self.pids.get(member) else { return false };
        Command::new("kill").args([signal, pid]).output().unwrap().status.success()
    }

    fn kill(&mut self, member: &'static str, done: &mut Disturbances) {
        let kills = done.kills_of.entry(member).or_default();
        if *kills < MOST_KILLS && self.signal("-KILL", member) {
            *kills += 1;
            done.kills += 1;
        }
        // Removes the process, so that it is killed only once.
        self.pids.remove(member);
    }

    /// Kills and stops members, and then lets them complete.
    fn disturb(&mut self, random: &mut Rng) -> Disturbances {
        let mut done = Disturbances::default();
        for _ in 0..random.u32(1..16) {
            // Often soon after a start, sometimes much later.
            let longest = 1 << random.u32(2..10);
            if !self.listen(Duration::from_millis(random.u64(0..longest))) {
                break;
            }
            let first = random.usize(..MEMBERS.len());
            let (member, other) = (MEMBERS[first], MEMBERS[(first + 1) % MEMBERS.len()]);
            match random.u32(..8) {
                0 => {
                    let before = done.kills;
                    self.kill(member, &mut done);
                    self.kill(other, &mut done);
                    done.pairs += u32::from(done.kills - before == 2);
                }
                1 if self.signal("-STOP", member) => {
                    done.stops += 1;
                    // Keeps the process id, which is removed if the stopped member is killed
                    // meanwhile.
                    let pid = self.pids[member].clone();
                    self.listen(Duration::from_millis(random.u64(1..400)));
                    match random.u32(..3) {
                        0 => self.kill(member, &mut done),
                        1 => self.kill(other, &mut done),
                        _ => {}
                    }
                    Command::new("kill").args(["-CONT", &pid]).output().unwrap();
                }
                _ => self.kill(member, &mut done),
            }
        }
        done
    }

    /// Waits for the end of the bundle. Returns whether it succeeded, and its whole output.
    fn end(mut self) -> (bool, String) {
        assert!(!self.listen(TIMEOUT), "timeout:\n{}", self.program.output);
        self.program.end()
    }
}

/// Runs a seed to its end and returns the kills and stops, or an error.
fn run(
    seed: u64,
    directory: &Path,
    expected: &[u8],
    fills: &[String],
) -> Result<Disturbances, String> {
    let random = &mut Rng::with_seed(seed);
    let signals = directory.join(format!("{seed}.jsonl"));
    // The file of another run, with a signal later than all others: it has to be ignored.
    fs::write(&signals, expected.trim_ascii_end().rsplit(|byte| *byte == b'\n').next().unwrap())
        .unwrap();
    let mut bundled = Bundled::start(&signals, random);
    let done = bundled.disturb(random);
    let (succeeded, output) = bundled.end();
    let dropped = |line: &str| line.contains(" drops") && !line.contains(" 0 drops");
    let found = fs::read(&signals).unwrap();
    let wrong = match output.lines().find(|line| dropped(line)) {
        _ if !succeeded => "it did not succeed".to_owned(),
        Some(line) => line.to_owned(),
        None if found != expected => {
            format!("another list of signals:\n{}", String::from_utf8_lossy(&found))
        }
        None if totals(&output) != fills => format!("other fills than {fills:?}"),
        None => return Ok(done),
    };
    Err(format!("seed {seed}, {done:?}: {wrong}\n{output}"))
}

/// What the simulator says at the end: how many fills, their gas, and what is left.
fn totals(output: &str) -> Vec<String> {
    let counts = || output.split([',', ':', '\n']).map(str::trim);
    let last = |name| counts().rfind(|count| count.ends_with(name)).unwrap_or_default().to_owned();
    [" fills", " gas_gwei", " gwei_after_gas"].map(last).into()
}

#[test]
#[expect(clippy::print_stdout, reason = "the counts belong to the result")]
fn no_kill_changes_the_signals() {
    let directory = tempfile::tempdir().unwrap();
    let expected = undisturbed(directory.path());
    let (_, output) = ran(command(&[]));
    let fills = totals(&output);
    assert!(fills.iter().all(|total| !total.is_empty()), "{output}");
    let number = |name| env::var(name).ok().map(|number| number.parse::<u64>().unwrap());
    let seeds = match (number("SEED"), number("SEEDS")) {
        (Some(seed), _) => seed..seed + 1,
        (None, seeds) => 0..seeds.unwrap_or(2),
    };
    let count = seeds.end - seeds.start;
    let mut all = Disturbances::default();
    let mut wrong = Vec::new();
    for seed in seeds {
        match run(seed, directory.path(), &expected, &fills) {
            Ok(done) => {
                all.kills += done.kills;
                all.pairs += done.pairs;
                all.stops += done.stops;
                for (member, kills) in done.kills_of {
                    *all.kills_of.entry(member).or_default() += kills;
                }
            }
            Err(error) => wrong.push(error),
        }
    }
    println!("{count} seeds, {all:?}");
    assert!(wrong.is_empty(), "{} of {count} seeds:\n\n{}", wrong.len(), wrong.join("\n\n"));
}
