//! `bandit bundled` as a user runs it, and what it says when it does not come to its end by itself.

use std::{
    fs,
    io::{BufRead, BufReader, PipeReader, pipe},
    path::Path,
    process::{Child, Command},
};

/// The bundle with nodes that have this long to end.
struct Bundled {
    child: Child,
    /// What it and its members write to their outputs.
    out: BufReader<PipeReader>,
    said: String,
}

impl Bundled {
    fn start(room: &Path, shutdown: &str, arguments: &[&str]) -> Self {
        let topology = include_str!("../bundled.toml")
            .replace("shutdown = \"5s\"", &format!("shutdown = \"{shutdown}\""));
        let file = room.join("bundled.toml");
        fs::write(&file, topology).unwrap();
        let (reader, writer) = pipe().unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_bandit"))
            .args(["bundled", "--topology"])
            .arg(file)
            .arg("--signals")
            .arg(room.join("signals.jsonl"))
            .args(arguments)
            .env("RUST_LOG", "mycelium=info")
            .stdout(writer.try_clone().unwrap())
            .stderr(writer)
            .spawn()
            .unwrap();
        Self { child, out: BufReader::new(reader), said: String::new() }
    }

    /// Reads until a line contains this, and returns what follows in that line.
    fn until(&mut self, words: &str) -> String {
        loop {
            let begin = self.said.len();
            let read = self.out.read_line(&mut self.said).unwrap();
            assert!(read > 0, "nobody says `{words}`:\n{}", self.said);
            if let Some((_, rest)) = self.said[begin..].split_once(words) {
                return rest.trim().to_owned();
            }
        }
    }

    /// Whether it succeeded, and all that it said.
    fn end(mut self) -> (bool, String) {
        while self.out.read_line(&mut self.said).unwrap() > 0 {}
        (self.child.wait().unwrap().success(), self.said)
    }
}

fn signal(signal: &str, pid: &str) {
    assert!(Command::new("kill").args([signal, pid]).status().unwrap().success());
}

fn assert_says_no_done(text: &str) {
    let says = |line: &str| line.starts_with("done") || line.contains("written to");
    assert!(!text.lines().any(says), "{text}");
}

#[test]
fn a_bundle_that_has_done_its_work_says_so() {
    let room = tempfile::tempdir().unwrap();
    let (succeeded, text) = Bundled::start(room.path(), "5s", &[]).end();
    assert!(succeeded, "{text}");
    assert!(text.contains("done in ") && text.contains("written to "), "{text}");
    let signals = fs::read_to_string(room.path().join("signals.jsonl")).unwrap();
    assert_eq!(signals.lines().count(), 51);
}

#[test]
fn a_bundle_that_is_ended_early_does_not_say_that_it_is_done() {
    let room = tempfile::tempdir().unwrap();
    // It would take a minute.
    let mut bundled = Bundled::start(room.path(), "5s", &["--speed", "1440"]);
    bundled.until("connected to node `detector`");
    signal("-TERM", &bundled.child.id().to_string());
    let (succeeded, text) = bundled.end();
    assert!(succeeded, "{text}");
    assert!(text.contains("ended early in "), "{text}");
    assert_says_no_done(&text);
}

#[test]
fn what_a_bundle_could_not_deliver_is_its_error() {
    let room = tempfile::tempdir().unwrap();
    let mut bundled = Bundled::start(room.path(), "1s", &[]);
    let writer = bundled.until("writer: started as process ");
    signal("-STOP", &writer);
    // The detector keeps its swap until the signal is confirmed, and so the adapter stands still.
    bundled.until("waits for confirmation service=\"ArbitrageDetector\"");
    signal("-TERM", &bundled.child.id().to_string());
    bundled.until("collector: exited, exit status: 74");
    signal("-CONT", &writer);
    let (succeeded, text) = bundled.end();
    assert!(!succeeded, "{text}");
    let errors: Vec<_> = text.lines().filter(|line| line.starts_with("error: ")).collect();
    let [member, launcher] = errors[..] else { panic!("{text}") };
    assert!(member.starts_with("error: collector: not delivered, "), "{text}");
    assert!(member.ends_with(" messages of `swaps` to node `detector`"), "{text}");
    assert!(launcher.contains("`collector` ended with messages that it could not"), "{text}");
    assert!(text.contains("ended in "), "{text}");
    assert_says_no_done(&text);
}
