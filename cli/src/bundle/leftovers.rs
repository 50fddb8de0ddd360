//! The processes of a launcher that was killed: the next one waits for their end before it starts
//! nodes of its own.
//!
//! A launcher notes each process that it starts, with the time of its start, so that another
//! process that has got the same id is left alone.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};

use super::place::Place;
use crate::clock::{Clock, pause};

/// How long they have: members end by themselves when their launcher is gone.
const GRACE: Duration = Duration::from_secs(15);
/// How long the system has to end one that was killed.
const KILLED: Duration = Duration::from_secs(5);

/// Notes a process.
///
/// # Errors
/// If the file cannot be written.
pub fn note(place: &Place, node: &str, pid: u32) -> io::Result<()> {
    let Some(start) = start(pid) else { return Ok(()) };
    let mut file =
        OpenOptions::new().append(true).create(true).mode(0o600).open(place.processes())?;
    file.write_all(format!("{pid} {start} {node}\n").as_bytes())
}

/// Waits until the processes of a launcher before have ended, and kills those that do not.
/// `say` is called with a line for each that still runs.
pub fn end(place: &Place, mut say: impl FnMut(&str)) {
    let text = processes(place);
    let left = running(&text);
    for (pid, _, node) in &left {
        say(&format!("{node}: process {pid} of a launcher that was killed still runs"));
    }
    let clock = Clock::default();
    for &process in &left {
        while runs(&process) && clock.now() < GRACE {
            pause(Duration::from_millis(10));
        }
        let (pid, _, node) = process;
        let Some(group) = group(pid).filter(|_| runs(&process)) else { continue };
        say(&format!("{node}: process {pid} is killed"));
        // It may have ended just now.
        let _ = kill_process_group(group, Signal::KILL);
        let clock = Clock::default();
        while test_kill_process_group(group).is_ok() && runs(&process) && clock.now() < KILLED {
            pause(Duration::from_millis(10));
        }
    }
}

/// The processes of a launcher before that still run, as a person reads them.
#[must_use]
pub fn shown(place: &Place) -> Vec<String> {
    let text = processes(place);
    running(&text).iter().map(|(pid, _, node)| format!("`{node}` (process {pid})")).collect()
}

fn processes(place: &Place) -> String {
    fs::read_to_string(place.processes()).unwrap_or_default()
}

fn running(text: &str) -> Vec<(u32, u64, &str)> {
    text.lines().filter_map(parse).filter(runs).collect()
}

fn group(pid: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(pid).ok()?)
}

fn parse(line: &str) -> Option<(u32, u64, &str)> {
    let mut words = line.splitn(3, ' ');
    Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?, words.next()?))
}

fn runs(&(pid, started, _): &(u32, u64, &str)) -> bool {
    start(pid) == Some(started)
}

/// When a process started, in the clock ticks of the system: `None` if it does not run.
fn start(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field, a name in parentheses, may have spaces and parentheses.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    // A zombie has ended; only its parent has not asked.
    fields.next().filter(|state| !matches!(*state, "Z" | "X"))?;
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_start() {
        let own = std::process::id();
        let started = start(own).unwrap();
        assert!(runs(&(own, started, "feed")) && !runs(&(own, started + 1, "feed")));
        assert_eq!(parse("17 4711 feed"), Some((17, 4711, "feed")));
        for line in ["", "17", "17 4711", "x 1 feed", "17 -1 feed"] {
            assert_eq!(parse(line), None, "{line}");
        }
    }
}
