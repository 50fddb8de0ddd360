//! Other processes: this program again, running one of the ignored tests below.

use mycelium_transports::counters::{Attached, Line, Region, ServiceValue};
use rustix::process::{Pid, Resource, Rlimit, Signal};

use crate::support::{Other, role, say};

/// The lines of the first region of [`spins`], which has several segments.
pub(crate) const LINES: u64 = 200;
/// The lines that [`grows`] adds when the test tells it to.
pub(crate) const MORE: u64 = 300;
const PARENT: &str = "MYCELIUM_TEST_PARENT";

/// Starts another process with a role of this file.
pub(crate) fn other(name: &str) -> Other {
    let mut command = role(&format!("counters::roles::{name}"));
    command.env(PARENT, std::process::id().to_string());
    Other::start(command)
}

pub(crate) fn signal(other: &Other, signal: Signal) {
    let process = i32::try_from(other.child.id()).ok().and_then(Pid::from_raw).unwrap();
    rustix::process::kill_process(process, signal).unwrap();
}

/// Returns the state of a process: `R` runs, `T` is stopped, `Z` has ended.
pub(crate) fn state(other: &Other) -> String {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", other.child.id())).unwrap();
    let (_, rest) = stat.rsplit_once(") ").unwrap();
    rest[..1].to_owned()
}

/// Returns the parent if this is another process; in a run of all ignored tests there is none.
fn parent() -> Option<u32> {
    std::env::var(PARENT).ok()?.parse().ok()
}

fn wait() {
    std::io::stdin().lines().next();
}

fn lines(region: &Region, numbers: std::ops::Range<u64>) -> Vec<Line<ServiceValue>> {
    let lines = numbers.map(|number| {
        let line = region.line(&format!("service={number}"));
        line.set(ServiceValue::Starts, number);
        line.add(ServiceValue::Errors, 2 * number);
        line
    });
    lines.collect()
}

/// Has a region of several segments and a second one, and then spins without any system call.
#[test]
#[ignore = "another process of the tests in `owners.rs`"]
fn spins() {
    let Some(_) = parent() else { return };
    let first = Region::shared(16).unwrap();
    let second = Region::shared(16).unwrap();
    let _first = lines(&first, 0..LINES);
    let _second = lines(&second, 7777..7778);
    say("ready", "");
    loop {
        std::hint::spin_loop();
    }
}

/// Has a region that grows when the test tells it to.
#[test]
#[ignore = "another process of the tests in `owners.rs`"]
fn grows() {
    let Some(_) = parent() else { return };
    let region = Region::shared(16).unwrap();
    let _first = lines(&region, 0..LINES);
    say("ready", "");
    wait();
    let _more = lines(&region, LINES..LINES + MORE);
    say("grown", "");
    wait();
}

/// Has no descriptor left to grow its region, and none for another region.
#[test]
#[ignore = "another process of the tests in `owners.rs`"]
fn runs_out_of_descriptors() {
    let Some(_) = parent() else { return };
    let region = Region::shared(16).unwrap();
    let _first = lines(&region, 0..16);
    let next = rustix::io::dup(std::io::stdin()).unwrap();
    let most = Some(u64::from(std::os::fd::AsRawFd::as_raw_fd(&next).unsigned_abs()));
    rustix::process::setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most }).unwrap();
    let error = Region::shared(16).unwrap_err().to_string();
    let _more = lines(&region, 16..100);
    // The process itself still counts in these lines.
    assert_eq!(region.read().len(), 100);
    say("error", &error);
    wait();
}

/// Reads the regions of its parent a thousand times, and prints its open files before and after.
#[test]
#[ignore = "another process of the tests in `owners.rs`"]
fn attaches_a_thousand_times() {
    let Some(parent) = parent() else { return };
    let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let maps = || {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        maps.lines().filter(|line| line.contains("memfd")).count()
    };
    let before = (open(), maps());
    let mut read = 0;
    for _ in 0..1000 {
        for mut region in Attached::of_process(parent).unwrap().regions {
            // Regions of other tests in the parent may lie.
            read += region.read().map_or(0, |view| view.lines.len());
        }
    }
    assert!(read >= 1000);
    assert_eq!((open(), maps()), before);
    say("the same", "");
}
