//! `bandit bundled` as a user runs it, and its output when it does not complete.

use std::{
    fs::{self, DirBuilder},
    net::TcpListener,
    os::unix::fs::DirBuilderExt,
    path::Path,
    process::Command,
};

use crate::program::{Program, command, ran};

/// The bundle, with this grace period for its nodes.
fn start(directory: &Path, shutdown: &str, arguments: &[&str]) -> Program {
    let run = directory.join("run");
    DirBuilder::new().recursive(true).mode(0o700).create(&run).unwrap();
    let topology = include_str!("../../bundled.toml")
        .replace("shutdown = \"5s\"", &format!("shutdown = \"{shutdown}\""));
    let file = directory.join("bundled.toml");
    fs::write(&file, topology).unwrap();
    // Whoever runs the tests may ignore SIGHUP, as under `nohup`.
    let mut command = Command::new("env");
    command
        .args(["--default-signal=HUP", env!("CARGO_BIN_EXE_bandit"), "bundled", "--topology"])
        .arg(file)
        .arg("--signals")
        .arg(directory.join("signals.jsonl"))
        .args(arguments)
        .env("RUST_LOG", "mycelium=info")
        .env("XDG_RUNTIME_DIR", run);
    Program::start(command)
}

fn signal(signal: &str, pid: &str) {
    assert!(Command::new("kill").args([signal, pid]).status().unwrap().success());
}

fn assert_not_done(text: &str) {
    let says = |line: &str| line.starts_with("done") || line.contains("written to");
    assert!(!text.lines().any(says), "{text}");
}

#[test]
fn a_stopped_bundle_does_not_print_done() {
    for name in ["-TERM", "-HUP"] {
        let directory = tempfile::tempdir().unwrap();
        // At this speed the run would take a minute.
        let mut bundled = start(directory.path(), "5s", &["--speed", "1440"]);
        bundled.rest_after("connected to node `detector`");
        signal(name, &bundled.child.id().to_string());
        let (succeeded, text) = bundled.end();
        assert!(succeeded, "{text}");
        assert!(text.contains("ended early in "), "{text}");
        assert_not_done(&text);
        let left = fs::read_dir(directory.path().join("run")).unwrap().count();
        assert_eq!(left, 0, "{text}");
    }
}

/// The next launcher removes the directories of a killed one. No launcher removes those of a
/// running one.
#[test]
fn a_launcher_that_is_killed_leaves_directories_until_the_next_start() {
    let directory = tempfile::tempdir().unwrap();
    let left = || fs::read_dir(directory.path().join("run")).unwrap().count();
    let mut killed = start(directory.path(), "5s", &["--speed", "1440"]);
    killed.rest_after("connected to node `detector`");
    signal("-KILL", &killed.child.id().to_string());
    // Waits for the members of the killed launcher, which end, too.
    killed.end();
    assert_eq!(left(), 2);
    let mut first = start(directory.path(), "5s", &["--speed", "1440"]);
    first.rest_after("connected to node `detector`");
    assert_eq!(left(), 2);
    let (succeeded, text) = start(directory.path(), "5s", &[]).end();
    assert!(!succeeded && text.contains("signals.jsonl: another run writes it"), "{text}");
    let other = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(directory.path().join("run"), other.path().join("run")).unwrap();
    let (succeeded, text) = start(other.path(), "5s", &[]).end();
    assert!(succeeded, "{text}");
    assert_eq!(left(), 2);
    signal("-TERM", &first.child.id().to_string());
    let (succeeded, text) = first.end();
    assert!(succeeded, "{text}");
    assert_eq!(left(), 0, "{text}");
}

#[test]
fn a_port_that_is_in_use_ends_the_bundle_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = held.local_addr().unwrap();
    let (bundled, file) = (directory.path().join("bundled.toml"), directory.path().join("t.toml"));
    fs::write(bundled, include_str!("../../bundled.toml")).unwrap();
    let node =
        format!("include = [\"bundled.toml\"]\n[node.detector]\nlisten_metrics = \"{address}\"\n");
    fs::write(&file, node).unwrap();
    let mut command = command(&["bundled", "--topology", file.to_str().unwrap()]);
    command.env("XDG_RUNTIME_DIR", directory.path());
    let (succeeded, text) = ran(command);
    assert!(!succeeded, "{text}");
    assert_eq!(text.matches("detector: started as process").count(), 1, "{text}");
    let says = format!("node `detector` cannot serve metrics at `{address}`: ");
    assert_eq!(text.matches(&says).count(), 1, "{text}");
}

#[test]
fn signals_that_cannot_be_written_are_an_error_before_anything_runs() {
    let directory = tempfile::tempdir().unwrap();
    let pipe = directory.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for path in [directory.path(), &pipe].map(|path| path.to_str().unwrap()) {
        for arguments in [&["bundled", "--signals", path][..], &["--signals", path]] {
            let (succeeded, errors) = ran(command(arguments));
            assert!(!succeeded, "{errors}");
            let expected = format!("error: cannot write the file of signals {path}: ");
            assert!(errors.starts_with(&expected) && errors.lines().count() == 1, "{errors}");
        }
    }
}

#[test]
fn undelivered_messages_are_an_error_of_the_bundle() {
    let directory = tempfile::tempdir().unwrap();
    let mut bundled = start(directory.path(), "1s", &[]);
    let writer = bundled.rest_after("writer: started as process ");
    signal("-STOP", &writer);
    // The detector keeps its swap until the signal is confirmed, so the adapter is blocked.
    bundled.rest_after("for slow readers of its messages service=\"ArbitrageDetector\"");
    signal("-TERM", &bundled.child.id().to_string());
    bundled.rest_after("collector: exited, exit status: 74");
    signal("-CONT", &writer);
    let (succeeded, text) = bundled.end();
    assert!(!succeeded, "{text}");
    let errors: Vec<_> = text.lines().filter(|line| line.starts_with("error: ")).collect();
    let [member, launcher] = errors[..] else { panic!("{text}") };
    assert!(member.starts_with("error: collector: not delivered within 1s: "), "{text}");
    assert!(member.ends_with(" messages of `swaps` to `detector` [M0062]"), "{text}");
    assert!(launcher.contains("`collector` ended with messages that it could not"), "{text}");
    assert!(text.contains("ended in "), "{text}");
    assert_not_done(&text);
}

#[test]
fn a_file_of_signals_that_cannot_grow_ends_with_a_whole_line() {
    let directory = tempfile::tempdir().unwrap();
    let signals = directory.path().join("signals.jsonl");
    // The limit is in blocks of 512 bytes, or of 1,024.
    let output = Command::new("sh")
        .args(["-c", "ulimit -f 8; exec \"$0\" --signals \"$1\""])
        .arg(env!("CARGO_BIN_EXE_bandit"))
        .arg(&signals)
        .output()
        .unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains("error: SignalWriter: cannot write the file of signals "), "{errors}");
    let text = fs::read_to_string(&signals).unwrap();
    assert!(text.lines().count() > 10 && text.ends_with("}\n"), "{text}");
}
