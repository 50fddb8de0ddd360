//! The *leftovers*: the processes of a launcher that was killed. The next launcher waits for their
//! end before it starts its own nodes.
//!
//! A launcher records each process that it starts, with its start time, so that another process
//! that later gets the same id is left alone.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::time::Duration;

use mycelium_executor::Clock;
use rustix::process::{Pid, Signal, kill_process_group};

use super::place::Place;
use crate::shared::clock::pause;

/// A process: its id, the time of its start, and its node.
type Process<'a> = (u32, u64, &'a str);

/// The time for leftovers to end: nodes end by themselves when their launcher is gone.
pub const GRACE: Duration = Duration::from_secs(15);
/// The time for the system to end a killed process.
const KILLED: Duration = Duration::from_secs(5);
/// The longest time that a new launcher may wait for leftovers, with some reserve. The launcher
/// listens only after this wait.
pub const LONGEST: Duration = Duration::from_secs(2 * GRACE.as_secs() + KILLED.as_secs() + 5);

/// Records a process that was started.
///
/// # Errors
/// If the file cannot be written.
pub fn note(place: &Place, node: &str, pid: u32) -> io::Result<()> {
    let Some(start) = start(pid) else { return Ok(()) };
    let mut file =
        OpenOptions::new().append(true).create(true).mode(0o600).open(place.processes())?;
    file.write_all(format!("{pid} {start} {node}\n").as_bytes())
}

/// Waits until the processes of an earlier launcher have ended. Those that do not end by themselves
/// within `grace` get SIGTERM, and are killed after another `grace`. Calls `say` with a line for
/// each process that still runs. Returns the nodes that were killed.
pub fn end(place: &Place, grace: Duration, mut say: impl FnMut(&str)) -> Vec<String> {
    let text = processes(place);
    let mut left = running(&text);
    for (pid, _, node) in &left {
        say(&format!("{node}: process {pid} of a launcher that was killed still runs"));
    }
    wait_for(&mut left, grace);
    signal(&left, Signal::TERM);
    wait_for(&mut left, grace);
    for (pid, _, node) in &left {
        say(&format!("{node}: process {pid} is killed"));
    }
    signal(&left, Signal::KILL);
    let killed = left.iter().map(|(_, _, node)| (*node).to_owned()).collect();
    wait_for(&mut left, KILLED);
    killed
}

/// Waits until these processes have ended, at most for `limit`. `left` keeps those that still run.
fn wait_for(left: &mut Vec<Process<'_>>, limit: Duration) {
    let clock = Clock::start();
    left.retain(runs);
    while !left.is_empty() && clock.now() < limit {
        pause(Duration::from_millis(10));
        left.retain(runs);
    }
}

/// Signals the process groups of these processes. A group may have ended meanwhile.
fn signal(processes: &[Process<'_>], signal: Signal) {
    for group in processes.iter().filter_map(|(pid, ..)| group(*pid)) {
        let _ = kill_process_group(group, signal);
    }
}

/// Returns the running processes of an earlier launcher, as texts for people.
pub fn shown(place: &Place) -> Vec<String> {
    let text = processes(place);
    running(&text).iter().map(|(pid, _, node)| format!("`{node}` (process {pid})")).collect()
}

/// Returns the text of the file of processes. A damaged byte affects only its own line.
fn processes(place: &Place) -> String {
    String::from_utf8_lossy(&fs::read(place.processes()).unwrap_or_default()).into_owned()
}

fn running(text: &str) -> Vec<Process<'_>> {
    text.lines().filter_map(parse).filter(runs).collect()
}

fn group(pid: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(pid).ok()?)
}

fn parse(line: &str) -> Option<Process<'_>> {
    let mut words = line.splitn(3, ' ');
    let pid = words.next()?.parse().ok().filter(|pid| *pid > 1)?;
    Some((pid, words.next()?.parse().ok()?, words.next()?))
}

fn runs(&(pid, started, _): &Process<'_>) -> bool {
    start(pid) == Some(started)
}

/// Returns the start time of a process, in the clock ticks of the system, or `None` if it does not
/// run.
fn start(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field, a name in parentheses, may have spaces and parentheses.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    // Skips a zombie, which has ended although its parent has not reaped it.
    fields.next().filter(|state| !matches!(*state, "Z" | "X"))?;
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use rustix::process::{WaitId, WaitIdOptions, waitid};

    use super::*;

    #[test]
    fn a_process_is_known_by_its_start() {
        let own = std::process::id();
        let started = start(own).unwrap();
        assert!(runs(&(own, started, "feed")) && !runs(&(own, started + 1, "feed")));
        assert_eq!(parse("17 4711 feed"), Some((17, 4711, "feed")));
        let mut ended = Command::new("true").spawn().unwrap();
        let ended_unasked = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        waitid(WaitId::Pid(group(ended.id()).unwrap()), ended_unasked).unwrap();
        assert_eq!(start(ended.id()), None, "only its parent has not asked");
        ended.wait().unwrap();
        for line in ["", "17", "17 4711", "x 1 feed", "17 -1 feed", "1 4711 feed"] {
            assert_eq!(parse(line), None, "{line}");
        }
    }

    #[test]
    fn a_damaged_line_hides_no_other_process() {
        let directory = tempfile::tempdir().unwrap();
        let place = Place::at(directory.path().to_owned());
        let own = std::process::id();
        let line = format!("{own} {} feed\n", start(own).unwrap());
        fs::write(place.processes(), [line.as_bytes(), b"\xff\n"].concat()).unwrap();
        assert_eq!(shown(&place), [format!("`feed` (process {own})")]);
    }
}
