//! `mycelium top` in a pseudo-terminal.
#![cfg(all(target_os = "linux", target_pointer_width = "64"))]

pub(crate) mod terminal;

use std::thread;
use std::time::Duration;

use mycelium_cli::live::sample::Sample;
use mycelium_cli::top::screen;
use mycelium_cli::top::state::State;
use mycelium_cli::top::view::Colours;
use portable_pty::CommandBuilder;
use rustix::process::{
    Pid, Signal, WaitOptions, getpid, kill_process, set_child_subreaper, waitpid,
};

use self::terminal::Terminal;
use crate::common::{Ended, Process, kill, run};

/// Returns a node that emits a tick each millisecond and has begun to. No other test uses its name.
fn node(name: &str) -> Process {
    let node = Process::node(&[name]);
    let pid = node.pid().to_string();
    let is_up = |ended: Ended| ended.out.contains("emits");
    while !is_up(run(&["top", "--once", "--interval", "20ms", "--pid", &pid])) {}
    node
}

/// Returns the terminal of a tool that shows a node.
fn shown(command: CommandBuilder, size: (u16, u16)) -> Terminal {
    let terminal = Terminal::run(command, size);
    terminal.until(|text| text.contains("→ ticks"));
    terminal
}

fn top(node: &Process) -> CommandBuilder {
    top_of(&node.pid().to_string())
}

fn top_of(node: &str) -> CommandBuilder {
    let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_mycelium"));
    command.args(["top", "--interval", "100ms", "--pid", node]);
    command.env("TERM", "xterm-256color");
    command.env_remove("NO_COLOR");
    command
}

#[test]
fn it_follows_a_node_and_its_keys_work() {
    let node = node("first");
    let mut terminal = Terminal::run(top(&node), (24, 80));
    let text = terminal.until(|text| text.contains("→ ticks") && text.contains('%'));
    for expected in ["first", "Feed", "Keeper", "Display", "← ticks of Feed", "park"] {
        assert!(text.contains(expected), "{expected} is missing in:\n{text}");
    }
    terminal.press("?");
    terminal.until(|text| text.contains("Keys"));
    terminal.press("?");
    terminal.press("/Disp");
    terminal.until(|text| text.contains("Display") && !text.contains("Keeper"));
    terminal.press("\x1b");
    terminal.until(|text| text.contains("Keeper"));
    terminal.press("\r");
    terminal.until(|text| !text.contains("Keeper") && text.contains("first"));
    terminal.press("\rs");
    terminal.until(|text| text.contains("by rate") && text.contains("Keeper"));
    terminal.press("p");
    terminal.until(|text| text.contains("paused"));
    assert!(terminal.is_changed() && !terminal.echoes());
    terminal.press("q");
    assert!(terminal.wait().success());
}

#[test]
fn it_survives_every_size() {
    let node = node("sizes");
    let mut terminal = shown(top(&node), (24, 80));
    for (rows, cols) in [(1, 1), (2, 5), (3, 300), (500, 2), (1, 80), (0, 0), (24, 1), (300, 500)] {
        terminal.resize(rows, cols);
        terminal.press("?");
        terminal.press("j");
    }
    terminal.resize(24, 80);
    terminal.until(|text| text.contains("→ ticks"));
    terminal.press("\x03");
    assert!(terminal.wait().success());
}

#[test]
fn a_terminal_that_was_small_for_a_moment_is_drawn_again() {
    let node = node("small");
    let terminal = shown(top(&node), (24, 80));
    kill_process(terminal.pid(), Signal::STOP).unwrap();
    terminal.resize(1, 1);
    terminal.resize(24, 80);
    kill_process(terminal.pid(), Signal::CONT).unwrap();
    terminal.until(|text| text.contains("→ ticks"));
}

#[test]
fn a_key_at_the_moment_of_a_resize_is_taken() {
    let node = node("moment");
    let mut terminal = shown(top(&node), (24, 80));
    for round in 0..100 {
        terminal.resize(30 - round % 5, 80);
        terminal.press("?");
        terminal.until(|text| text.contains("Keys") == (round % 2 == 0));
    }
}

#[test]
fn pasted_text_holds_up_neither_keys_nor_signals() {
    let node = node("pasted");
    for ends in [true, false] {
        let mut terminal = shown(top(&node), (24, 80));
        terminal.press(&"j?".repeat(100_000));
        match ends {
            true => terminal.press("q"),
            false => kill_process(terminal.pid(), Signal::TERM).unwrap(),
        }
        assert!(terminal.wait().success());
    }
}

#[test]
fn a_terminal_that_claims_to_be_endless_is_an_error() {
    let node = node("endless");
    let mut terminal = shown(top(&node), (24, 200));
    terminal.claim(u16::MAX, u16::MAX);
    assert_eq!(terminal.wait().exit_code(), 3);
    let error = "error: the terminal claims to have 65535 columns and 65535 rows";
    assert!(String::from_utf8_lossy(&terminal.bytes()).contains(error));
}

#[test]
fn without_colours_there_are_none() {
    let node = node("colours");
    let colours = |command: CommandBuilder| {
        let mut terminal = shown(command, (24, 80));
        terminal.press("q");
        terminal.wait();
        let bytes = String::from_utf8_lossy(&terminal.bytes()).into_owned();
        bytes.contains("\x1b[38;5;") || bytes.contains("\x1b[36m")
    };
    let mut without = top(&node);
    without.env("NO_COLOR", "1");
    assert_eq!((colours(top(&node)), colours(without)), (true, false));
}

#[test]
fn a_node_that_stops_or_dies_is_shown_and_the_tool_lives_on() {
    let mut node = node("dying");
    let mut terminal = shown(top(&node), (24, 80));
    kill(node.pid(), Signal::STOP);
    terminal.until(|text| text.contains("stopped"));
    node.kill();
    terminal.until(|text| text.contains("ended") && text.contains("→ ticks"));
    terminal.press("q");
    assert!(terminal.wait().success());
}

/// Runs the tool in the terminal of the next test.
#[test]
#[ignore = "the next test runs it"]
fn a_screen_that_panics() {
    let mut reads = 0;
    let state = State::new(Duration::from_millis(100));
    let _ = screen::show(state, Colours::On, |at| {
        reads += 1;
        assert!(reads < 3, "the third read");
        Ok(Sample { at, nodes: Vec::new() })
    });
}

#[test]
fn a_panic_restores_the_terminal_and_its_message_is_readable() {
    let mut command = CommandBuilder::new(std::env::current_exe().unwrap());
    command.args(["top::a_screen_that_panics", "--exact", "--ignored", "--nocapture"]);
    command.env("TERM", "xterm-256color");
    // A backtrace hint would follow the message.
    command.env("RUST_BACKTRACE", "0");
    let mut terminal = Terminal::run(command, (24, 200));
    terminal.until(|text| text.contains("the third read"));
    assert!(!terminal.wait().success());
}

/// Runs in a process of the tests below.
#[test]
#[ignore = "the tests below run it"]
#[expect(clippy::print_stdout, reason = "the next test reads it")]
fn a_terminal_that_is_killed() {
    let node = std::env::var(NODE).expect("the next test sets it");
    let terminal = shown(top_of(&node), (24, 80));
    println!("\n{SHOWN}{}", terminal.pid());
    loop {
        thread::park();
    }
}

const SHOWN: &str = "shown by ";
const NODE: &str = "MYCELIUM_TEST_NODE";

/// Runs in a process of the next test. It becomes the parent of the tool, and reads its exit
/// status.
#[test]
#[ignore = "the next test runs it"]
fn a_parent_of_the_tool() {
    let node = node("closing");
    let test = "top::a_terminal_that_is_killed";
    let mut process = Process::test(test, (NODE, &node.pid().to_string()));
    let pid = loop {
        let line = process.line();
        if let Some(pid) = line.strip_prefix(SHOWN) {
            break Pid::from_raw(pid.parse().expect("a number")).expect("a process");
        }
    };
    set_child_subreaper(Some(getpid())).expect("Linux 3.4");
    process.kill();
    let (_, status) = waitpid(Some(pid), WaitOptions::empty()).expect("a child").expect("its end");
    assert_eq!(status.exit_status(), Some(0), "{status:?}");
}

#[test]
fn it_ends_with_its_terminal() {
    let mut parent = Process::test("top::a_parent_of_the_tool", (NODE, ""));
    while parent.line() != SUCCESS {}
}

/// The line that libtest prints for a test that has passed.
const SUCCESS: &str = "test top::a_parent_of_the_tool ... ok";
