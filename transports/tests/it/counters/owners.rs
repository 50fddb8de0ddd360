//! Owners that do not know of their reader, and cannot answer it.
//!
//! They are this program again, running one of the ignored tests below.

use std::fs;
use std::ops::Range;
use std::process::{self, Command, Stdio};

use mycelium_transports::counters::{
    AttachError, Attached, CountersView, Line, Region, ServiceValue,
};
use rustix::process::{Resource, Rlimit, Signal};

use crate::support::{Other, given, resources, role, say, until};

/// The lines of the first region of [`spins`], which has several segments.
const LINES: u64 = 200;
/// The lines that [`grows`] adds when the test tells it to.
const MORE: u64 = 300;

/// Starts another process with a role of this file. Returns the value of its line `says`, too.
fn other(name: &str, says: &str) -> (Other, String) {
    let parent = process::id().to_string();
    let mut other = Other::start(role(&format!("counters::owners::{name}"), parent));
    let value = other.line(says);
    (other, value)
}

/// Returns the state of a process: `R` runs, `T` is stopped, `Z` has ended.
fn state(other: &Other) -> String {
    let stat = fs::read_to_string(format!("/proc/{}/stat", other.child.id())).unwrap();
    let (_, rest) = stat.rsplit_once(") ").unwrap();
    rest[..1].to_owned()
}

fn lines(region: &Region, numbers: Range<u64>) -> Vec<Line<ServiceValue>> {
    let lines = numbers.map(|number| {
        let line = region.line(&format!("service={number}"));
        line.set(ServiceValue::Starts, number);
        // In both words of the value.
        line.add(ServiceValue::Errors, number);
        line.count_many(ServiceValue::Errors, number);
        line
    });
    lines.collect()
}

/// Has a region of several segments and a second one, and then spins without any system call.
#[test]
#[ignore = "a part of another test"]
fn spins() {
    let Some(_) = given() else { return };
    let first = Region::shared(16).unwrap();
    let second = Region::shared(16).unwrap();
    let _first = lines(&first, 0..LINES);
    // This line has ended, and stays readable.
    drop(lines(&second, 7777..7778));
    say("ready", "");
    loop {
        std::hint::spin_loop();
    }
}

/// Has a region that grows when the test tells it to.
#[test]
#[ignore = "a part of another test"]
fn grows() {
    let Some(_) = given() else { return };
    let region = Region::shared(16).unwrap();
    let _first = lines(&region, 0..LINES);
    say("ready", "");
    std::io::stdin().lines().next();
    let _more = lines(&region, LINES..LINES + MORE);
    say("grown", "");
    std::io::stdin().lines().next();
}

/// Has no descriptor left to grow its region, and none for another region.
#[test]
#[ignore = "a part of another test"]
fn runs_out_of_descriptors() {
    let Some(_) = given() else { return };
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
    std::io::stdin().lines().next();
}

/// Reads the regions of its parent a thousand times, and says whether that has left files or
/// mappings open.
#[test]
#[ignore = "a part of another test"]
fn attaches_a_thousand_times() {
    let Some(parent) = given() else { return };
    let parent = parent.to_str().unwrap().parse().unwrap();
    let before = resources();
    let mut read = 0;
    for _ in 0..1000 {
        for mut region in Attached::of_process(parent).unwrap().regions {
            // Regions of other tests in the parent may lie.
            read += region.read().map_or(0, |view| view.lines.len());
        }
    }
    assert!(read >= 1000);
    assert_eq!(resources(), before);
    say("the same", "");
}

/// Asserts that the view has the lines that a role made.
fn assert_lines(view: &CountersView, numbers: Range<u64>) {
    assert_eq!((view.torn, view.out_of_reach, view.unseen), (0, 0, 0));
    assert_eq!(view.lines.len() as u64, numbers.end - numbers.start);
    for (place, (line, number)) in view.lines.iter().zip(numbers).enumerate() {
        assert_eq!((line.place, line.generation), (place as u64, 1));
        assert_eq!(line.kind.name, "service");
        assert_eq!(line.label("service"), number.to_string());
        let values = ["starts", "errors", "panics"].map(|name| line.value(name));
        assert_eq!(values, [Some(number), Some(2 * number), Some(0)]);
        assert_eq!(line.value("of another version"), None);
    }
}

/// Asserts that both regions of the role `spins` are read exactly.
fn assert_spinning(regions: &mut [Attached], process: u32) {
    let [first, second] = regions else { panic!("two regions: {regions:?}") };
    assert!(first.id() != second.id() && [first.process(), second.process()] == [process; 2]);
    let view = first.read().unwrap();
    assert_eq!(view.made_by, process);
    assert_lines(&view, 0..LINES);
    assert_lines(&second.read().unwrap(), 7777..7778);
}

#[test]
fn a_stopped_process_is_read() {
    let (other, _) = other("spins", "ready");
    other.signal(Signal::STOP);
    until("it is stopped", || state(&other) == "T");
    let mut found = Attached::of_process(other.child.id()).unwrap();
    assert_spinning(&mut found.regions, other.child.id());
    assert_eq!(state(&other), "T", "it had no part in it");
    assert!(!found.regions[0].has_ended());
}

#[test]
fn the_last_values_of_a_killed_process_are_read() {
    let (mut other, _) = other("spins", "ready");
    let process = other.child.id();
    let mut found = Attached::of_process(process).unwrap();
    // All segments are mapped, so they stay readable after the kill.
    assert_spinning(&mut found.regions, process);
    other.signal(Signal::KILL);
    until("it has ended", || found.regions.iter().all(Attached::has_ended));
    assert_spinning(&mut found.regions, process);
    // Before and after its parent has reaped it.
    for _ in 0..2 {
        let error = Attached::of_process(process).unwrap_err();
        assert!(matches!(error, AttachError::NoProcess { process: it } if it == process));
        assert_eq!(error.to_string(), format!("no process has the number {process} [M0360]"));
        other.child.wait().unwrap();
    }
    assert_spinning(&mut found.regions, process);
}

#[test]
fn a_segment_of_a_dead_process_that_was_not_mapped_is_out_of_reach() {
    let (mut other, _) = other("spins", "ready");
    let mut found = Attached::of_process(other.child.id()).unwrap();
    other.signal(Signal::KILL);
    other.child.wait().unwrap();
    let view = found.regions[0].read().unwrap();
    assert_eq!((view.lines.len(), view.out_of_reach), (16, LINES - 16));
}

#[test]
fn a_region_that_grows_is_read_as_it_grows() {
    let (mut other, _) = other("grows", "ready");
    let mut found = Attached::of_process(other.child.id()).unwrap();
    let [region] = &mut found.regions[..] else { panic!("one region") };
    assert_lines(&region.read().unwrap(), 0..LINES);
    other.go_on();
    other.line("grown");
    assert_lines(&region.read().unwrap(), 0..LINES + MORE);
}

#[test]
fn a_process_without_descriptors_counts_alone() {
    let (other, error) = other("runs_out_of_descriptors", "error");
    assert!(error.starts_with("cannot make shared memory: Too many open files"), "{error}");
    let mut found = Attached::of_process(other.child.id()).unwrap();
    let view = found.regions[0].read().unwrap();
    assert_eq!((view.lines.len(), view.out_of_reach), (16, 84));
}

#[test]
fn nothing_is_left_of_a_thousand_readers() {
    let region = Region::shared(16).unwrap();
    let _line = region.line::<ServiceValue>("service=x");
    other("attaches_a_thousand_times", "the same");
}

#[test]
fn processes_without_counters_say_so() {
    let mut other = Command::new("sleep").arg("1000").stdin(Stdio::null()).spawn().unwrap();
    // A process that runs `sleep` has no regions any more.
    until("it runs", || {
        fs::read_to_string(format!("/proc/{}/comm", other.id())).unwrap() == "sleep\n"
    });
    let error = Attached::of_process(other.id()).unwrap_err();
    other.kill().unwrap();
    other.wait().unwrap();
    let expected = "has no counters: expected a descriptor of a memfd `mycelium-counters` [M0362]";
    assert_eq!(error.to_string(), format!("process {} {expected}", other.id()));
    for process in [0, u32::MAX] {
        let error = Attached::of_process(process).unwrap_err();
        assert!(matches!(error, AttachError::NoProcess { .. }), "{error}");
    }
}

/// The layout in `docs/observability.md` is complete: this program was written from it.
#[test]
fn a_program_in_another_language_reads_the_same() {
    let (other, _) = other("spins", "ready");
    other.signal(Signal::STOP);
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/counters_reader.py");
    let output = Command::new("python3").arg(program).arg(other.child.id().to_string()).output();
    let output = output.expect("this test needs python3 in the path, to run counters_reader.py");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let expected = [(0, 0..LINES), (1, 7777..7778)].into_iter().flat_map(|(region, numbers)| {
        numbers.map(move |number| {
            let (errors, ended) = (2 * number, region == 1);
            format!(
                "{{\"region\": {region}, \"kind\": \"service\", \"label\": \"service={number}\", \
                 \"ended\": {ended}, \"values\": {{\"starts\": {number}, \"errors\": {errors}, \
                 \"panics\": 0, \"dead_letters\": 0, \"stalls\": 0, \"spins\": 0}}}}\n"
            )
        })
    });
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected.collect::<String>());
}

/// As after a fork. The holder is this process, whose number is likely the lower one.
#[test]
fn a_region_belongs_to_the_process_that_made_it() {
    let (mut other, _) = other("spins", "ready");
    let (process, own) = (other.child.id(), process::id());
    let ids: Vec<u64> =
        Attached::of_process(process).unwrap().regions.iter().map(Attached::id).collect();
    let held: Vec<_> = fs::read_dir(format!("/proc/{process}/fd"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            fs::read_link(path).unwrap().starts_with("/memfd:mycelium-counters (deleted)")
        })
        .map(|path| fs::File::open(path).unwrap())
        .collect();
    assert_eq!((ids.len(), held.len()), (2, 2));
    let processes = || -> Vec<u32> {
        let regions = Attached::of_all_processes().unwrap().regions.into_iter();
        regions.filter(|region| ids.contains(&region.id())).map(|it| it.process()).collect()
    };
    assert_eq!(processes(), [process; 2]);
    let found = Attached::of_process(own).unwrap().regions;
    let not_own = found.iter().filter(|region| ids.contains(&region.id()));
    assert!(not_own.filter(|region| !region.is_own()).count() == 2, "held, and not made");
    other.child.kill().unwrap();
    other.child.wait().unwrap();
    assert_eq!(processes(), [0; 0], "their process has ended");
}
