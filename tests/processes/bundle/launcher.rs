//! Launchers in separate processes, which receive signals.

use std::io::pipe;
use std::process::{Child, Command, Stdio};

use rustix::process::Signal;

use crate::bundle::{Said, kill, program};

/// Starts a launcher with two members; all three report.
fn launcher(role: &str) -> (Child, Said) {
    let (reader, writer) = pipe().unwrap();
    let launcher = program(role, "launcher").stdout(writer).spawn().unwrap();
    (launcher, Said::by(reader))
}

#[test]
fn sigterm_ctrl_c_and_a_hangup_end_the_bundle_in_order() {
    for signals in
        [[Signal::TERM, Signal::INT], [Signal::INT, Signal::TERM], [Signal::HUP, Signal::HUP]]
    {
        if signals[0] == Signal::HUP && ignores_hangup("self") {
            // The launcher inherits the ignored SIGHUP, as under `nohup`.
            continue;
        }
        let (mut launcher, said) = launcher("launch");
        assert_eq!(said.sorted(), ["sink waits", "source waits"]);
        // `timeout` sends its signal to the process, and again to its group. Two equal signals may
        // be merged.
        signals.into_iter().for_each(|signal| kill(launcher.id(), signal));
        assert_eq!(said.rest(), ["source ends", "sink ends", "launcher has ended"]);
        assert!(launcher.wait().unwrap().success());
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_launcher_that_was_started_to_ignore_hangups_does() {
    let (reader, writer) = pipe().unwrap();
    let program = program("launch", "launcher");
    let mut nohup = Command::new("nohup");
    nohup.arg(program.get_program()).args(program.get_args());
    nohup.envs(program.get_envs().filter_map(|(key, value)| Some((key, value?))));
    let mut launcher = nohup.stdin(Stdio::null()).stdout(writer).spawn().unwrap();
    drop(nohup);
    let said = Said::by(reader);
    assert_eq!(said.sorted(), ["sink waits", "source waits"]);
    let ignores = ignores_hangup(&launcher.id().to_string());
    kill(launcher.id(), Signal::HUP);
    kill(launcher.id(), Signal::TERM);
    assert_eq!(said.rest(), ["source ends", "sink ends", "launcher has ended"]);
    assert!(ignores);
    assert!(launcher.wait().unwrap().success());
}

/// Returns whether a process ignores SIGHUP; `false` without `/proc`.
fn ignores_hangup(process: &str) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & 1 != 0)
}

#[test]
fn a_second_signal_kills_all_at_once() {
    let (mut launcher, said) = launcher("launch-hanging");
    assert_eq!(said.sorted(), ["sink hangs", "source hangs"]);
    kill(launcher.id(), Signal::INT);
    // Signals that arrive too soon belong to the same request.
    while launcher.try_wait().unwrap().is_none() {
        kill(launcher.id(), Signal::TERM);
        std::thread::yield_now();
    }
    let mut rest = said.rest();
    // The two members exit in any order.
    rest[0] = rest[0].replace("source, sink", "sink, source");
    let failed = "launcher failed: members did not end and were killed: sink, source [M0408]";
    assert_eq!(rest, [failed]);
    launcher.wait().unwrap();
}

#[test]
fn h11_members_that_hang_are_killed_when_their_launcher_is() {
    let (mut launcher, said) = launcher("launch-hanging");
    assert_eq!(said.sorted(), ["sink hangs", "source hangs"]);
    kill(launcher.id(), Signal::KILL);
    launcher.wait().unwrap();
    assert!(said.rest().is_empty());
}
