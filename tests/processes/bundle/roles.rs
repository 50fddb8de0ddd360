//! The roles of this program when a test runs it as a process.

use std::io::Write;
use std::process::{Command, exit};
use std::time::Duration;

use mycelium::execution::end_with_launcher;
use mycelium_bundle::{Bundle, Member};
use signal_hook::consts::SIGTERM;
use signal_hook::iterator::Signals;

pub(crate) const ROLE: &str = "MYCELIUM_TEST_ROLE";
pub(crate) const NAME: &str = "MYCELIUM_TEST_NAME";

/// Plays the role of this process; returns at once in the test run itself.
#[test]
fn enter() {
    let Ok(role) = std::env::var(ROLE) else { return };
    match &*role {
        "complete" => say("completes"),
        "fail" => exit(3),
        "wait" => wait_for_the_end(),
        "hang" => hang(),
        "hear" => hear(),
        "launch" => launch("wait"),
        #[cfg(target_os = "linux")]
        "source" | "middle" | "sink" => exit(crate::bundle::pipeline::run(&role).into()),
        #[cfg(target_os = "linux")]
        "upgrade" => {
            exit(crate::bundle::upgrade::run(&std::env::var(NAME).unwrap()).into());
        }
        "fail-at-the-end" => {
            wait_for_the_end();
            exit(5)
        }
        "undelivered-at-the-end" => {
            wait_for_the_end();
            exit(Bundle::UNDELIVERED.into())
        }
        "launch-hanging" => launch("hang"),
        other => panic!("there is no role {other}"),
    }
    exit(0)
}

/// Reports in a single write, so that lines of different processes do not mix.
pub(crate) fn say(what: &str) {
    let name = std::env::var(NAME).unwrap();
    std::io::stdout().write_all(format!("\n@{name} {what}\n").as_bytes()).unwrap();
}

/// Waits for SIGTERM, as a node does.
fn wait_for_the_end() {
    let mut signals = Signals::new([SIGTERM]).unwrap();
    end_with_launcher(Duration::from_secs(30)).unwrap();
    say("waits");
    signals.forever().next();
    say("ends");
}

/// Reports each line that the launcher writes to this process.
fn hear() {
    say("hears");
    std::io::stdin().lines().map_while(Result::ok).for_each(|line| say(&line));
}

/// Ignores SIGTERM and never ends.
fn hang() -> ! {
    let _signals = Signals::new([SIGTERM]).unwrap();
    end_with_launcher(Duration::ZERO).unwrap();
    say("hangs");
    loop {
        std::thread::park();
    }
}

/// Runs a bundle of two members that inherit this process's standard output.
fn launch(role: &'static str) {
    let member = |name: &'static str| {
        let command = move || -> Command { crate::bundle::program(role, name) };
        Member::new(name, command)
    };
    let bundle = Bundle::new()
        .member(member("sink").ends_after("source"))
        .member(member("source"))
        .deadline(Duration::from_secs(3600));
    match bundle.run() {
        Ok(_) => say("has ended"),
        Err(error) => say(&format!("failed: {error}")),
    }
}
