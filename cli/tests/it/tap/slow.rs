//! Slow, stopped and killed processes: publishers never wait for the tool, and each message is
//! printed or in a gap.

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;

use rustix::process::Signal;
use serde_json::Value;

use super::liar::{args, lies, swap_form};
use super::process::{feed, full_pipe, has_handled_signals};
use crate::common::{Process, kill};
use crate::world::World;

/// The file of a publisher that no other service reads.
const ALONE: &str = "[node.feed]\nservices = [\"Source\"]\nobservers = true\n";

/// The printed and missed messages of a publisher. A hole in its sequences must be a gap.
#[derive(Default)]
struct Account {
    next: Option<u64>,
    messages: u64,
    missed: u64,
    gaps: u64,
    end: Option<u64>,
}

impl Account {
    fn add(&mut self, line: &str) {
        let line: Value = serde_json::from_str(line).unwrap();
        let number = |name: &str| line[name].as_u64();
        if line["event"] == "began" {
            self.next = number("first");
        } else if let Some(gap) = number("gap") {
            assert_eq!(number("first"), self.next);
            (self.missed, self.gaps) = (self.missed + gap, self.gaps + 1);
            self.next = self.next.map(|next| next + gap);
        } else if let Some(sequence) = number("sequence") {
            assert_eq!(Some(sequence), self.next);
            assert_eq!(line["message"]["number"], sequence);
            self.messages += 1;
            self.next = Some(sequence + 1);
        } else if line["event"] == "ended" {
            self.end = number("next");
        }
    }

    /// Reads lines until `count` messages have been printed or reported as missed.
    fn until(&mut self, tap: &mut Process, count: u64) {
        while self.messages + self.missed < count {
            self.add(&tap.line());
        }
        assert_eq!(self.messages + self.missed, count);
    }
}

/// Returns a tool that has begun to read.
fn begun(world: &World) -> Process {
    let mut tap = world.tapping(&["swaps"]);
    tap.until("begins at #");
    tap
}

/// Returns a publisher without another reader, and a tool that has begun to read.
fn tapped() -> (World, Process, Process, Account) {
    let (world, node) = feed(ALONE);
    let mut tap = world.tapping(&["swaps", "-o", "json", "--until-end"]);
    let mut account = Account::default();
    account.add(&tap.until("began"));
    (world, node, tap, account)
}

#[test]
fn printed_and_missed_messages_are_those_that_were_sent() {
    const COUNT: u64 = 300_000;
    let (_place, mut node, mut tap, mut account) = tapped();
    node.send(&format!("emit {COUNT}"));
    account.until(&mut tap, COUNT);
    node.until("emitted ");
    assert_eq!(node.waited(), 0);
    node.end();
    let ended = tap.ended().expect(0);
    ended.out.lines().for_each(|line| account.add(line));
    let Account { messages, missed, gaps, end, .. } = account;
    assert_eq!((messages + missed, end), (COUNT, Some(COUNT)), "{}", ended.err);
    assert_eq!(ended.err, format!("{messages} messages, {gaps} gaps, {missed} missed\n"));
}

#[test]
fn a_tool_that_is_stopped_or_whose_output_nobody_reads_holds_up_nobody_and_its_gap_is_exact() {
    // Far fewer lines than `count` fit into the pipe.
    for (is_stopped, count) in [(true, 1_000_000), (false, 200_000)] {
        let (_place, mut node, mut tap, mut account) = tapped();
        if is_stopped {
            kill(tap.pid(), Signal::STOP);
        }
        node.emit(count);
        assert_eq!(node.waited(), 0);
        kill(tap.pid(), Signal::CONT);
        // The tool reports the gap before the next message.
        node.emit(1);
        account.until(&mut tap, count + 1);
        assert!(account.missed > 0);
        node.end();
    }
}

#[test]
fn an_interrupt_prints_the_summary() {
    let (world, mut node) = feed(ALONE);
    for signal in [Signal::INT, Signal::TERM] {
        let mut tap = begun(&world);
        node.emit(2);
        tap.until("size=");
        tap.until("size=");
        kill(tap.pid(), signal);
        assert_eq!(tap.ended().expect(0).err, "2 messages, 0 gaps, 0 missed\n");
    }
}

#[test]
fn a_signal_ends_a_tool_whose_output_nobody_reads() {
    let (world, mut node) = feed(ALONE);
    for signal in [Signal::INT, Signal::TERM] {
        let mut tap = begun(&world);
        // The pipe has room for only some thousand lines.
        node.emit(200_000);
        kill(tap.pid(), signal);
        let _unread = tap.lines.take();
        let errors = tap.ended().expect(0).err;
        assert!(errors.ends_with(" missed\n"), "{errors}");
    }
}

#[test]
fn a_signal_ends_a_tool_whose_output_and_errors_are_one_pipe_that_nobody_reads() {
    let (world, mut node) = feed(ALONE);
    for signal in [Signal::INT, Signal::TERM] {
        let (reader, writer) = std::io::pipe().unwrap();
        let mut tap = world.tool(&["tap", "swaps"]);
        tap.stdout(writer.try_clone().unwrap()).stderr(writer);
        let mut tap = tap.spawn().unwrap();
        let mut reader = BufReader::new(reader);
        reader.read_line(&mut String::new()).unwrap();
        node.emit(200_000);
        kill(tap.id(), signal);
        assert_eq!(tap.wait().unwrap().code(), Some(0));
    }
}

#[test]
fn a_signal_ends_a_tool_whose_last_error_nobody_reads() {
    let world = World::new();
    lies(&world, |liar| {
        liar.began(&swap_form())?;
        liar.message(9, &[1; 16])
    });
    for signal in [Signal::INT, Signal::TERM] {
        let (_reader, errors) = full_pipe();
        let mut tap = world.tapping_to(&args(&["swaps"]), errors);
        kill(tap.pid(), signal);
        let code = tap.child.wait().unwrap().code();
        // The tool is reading the message, or has read it.
        assert!(matches!(code, Some(0 | 3)), "{code:?}");
    }
}

#[test]
fn a_second_signal_ends_the_tool_at_once() {
    let (world, mut node) = feed(ALONE);
    let mut ended = || {
        let (_reader, errors) = full_pipe();
        let mut tap = world.tapping_to(&["swaps"], errors);
        node.emit(200_000);
        kill(tap.pid(), Signal::TERM);
        has_handled_signals(tap.pid());
        kill(tap.pid(), Signal::INT);
        tap.child.wait().unwrap().signal()
    };
    // The first signal may end the tool before the second arrives.
    assert!((0..10).any(|_| ended() == Some(Signal::INT.as_raw())));
}

#[test]
fn a_tool_that_is_stopped_or_whose_output_nobody_reads_does_not_hold_up_the_end_of_a_node() {
    let world = World::new();
    // With these times, a node that waits for its deadline or for the link to end never ends.
    world.write(&format!("{ALONE}shutdown = \"1h\"\n[link.default]\nsilence = \"1h\"\n"));
    for (is_stopped, count) in
        [(true, 0), (true, 20_000), (true, 200_000), (false, 20_000), (false, 200_000)]
    {
        let mut node = world.node("feed");
        let tap = begun(&world);
        if is_stopped {
            kill(tap.pid(), Signal::STOP);
        }
        node.emit(count);
        node.end();
    }
}

#[test]
fn killed_processes_leave_nothing_and_the_next_start_is_shown() {
    let (world, mut node) = feed(ALONE);
    let mut killed = world.tapping(&["swaps"]);
    killed.until("begins at #0");
    killed.kill();
    node.emit(5);

    let mut tap = world.tapping(&["swaps"]);
    let first = tap.until("begins at #5");
    node.emit(1);
    tap.until("#5 number=5");
    node.kill();
    tap.until("disconnected");

    let mut node = world.node("feed");
    let second = tap.until("begins at #");
    assert_ne!(first.rsplit(' ').next(), second.rsplit(' ').next(), "{first}{second}");
    node.emit(1);
    tap.until("number=0");
    node.kill();
    tap.kill();
    // Only the sockets of the killed node are left, which it will replace; the tool makes no files.
    let mut left: Vec<_> = std::fs::read_dir(world.sockets()).unwrap().flatten().collect();
    left.retain(|entry| !entry.file_name().to_string_lossy().starts_with("feed.sock"));
    assert!(left.is_empty(), "{left:?}");
}
