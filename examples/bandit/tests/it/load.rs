//! `bandit load`: its line accounts for each swap, also if a process was killed.

use std::{fs, process::Command};

use serde_json::Value;

use crate::program::{Program, command};

fn load(topology: &str, rate: &str, [warm_up, seconds]: [&str; 2]) -> Command {
    let mut command = command(&["load", "--topology", topology, "--rate", rate]);
    command.args(["--warm-up", warm_up, "--seconds", seconds]);
    command
}

/// Returns how many swaps were due, sent, received and missed.
fn counts(line: &str) -> [u64; 4] {
    let line: Value = serde_json::from_str(line).unwrap();
    let latency = ["p50", "p90", "p99", "p999", "max"].map(|name| line["latency"][name].as_u64());
    assert!(latency.is_sorted() && latency[0] > Some(0), "{line}");
    assert!(line["seconds"].as_f64() > Some(0.0), "{line}");
    assert!(line["generator_seconds"].as_f64() > Some(0.0), "{line}");
    ["due", "sent", "received", "missed"].map(|name| line[name].as_u64().unwrap())
}

#[test]
fn each_swap_is_accounted_for() {
    for (topology, rate) in
        [("process", "400"), ("shm", "400"), ("unix", "400"), ("tls", "400"), ("shm", "max")]
    {
        // As fast as possible, a busy machine may send nothing for a while.
        let seconds = if rate == "max" { "3s" } else { "500ms" };
        let output = load(topology, rate, ["200ms", seconds]).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        let [due, sent, received, missed] = counts(&text);
        assert!(due == 200 || rate == "max" && due > 0, "{topology}: {text}");
        assert_eq!([sent, received, missed], [due, due, 0], "{topology}: {text}{errors}");
    }
}

#[test]
fn what_the_services_refuse_is_not_sent() {
    for warm_up in ["0s", "300ms"] {
        let output = load("process", "100000000", [warm_up, "100ms"]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let line = String::from_utf8(output.stdout).unwrap();
        let [due, sent, received, missed] = counts(&line);
        assert_eq!([due, received, missed], [10_000_000, sent, 0]);
        assert!(sent < due);
        // The last ones were sent a second after the end of the offer.
        let line: Value = serde_json::from_str(&line).unwrap();
        assert!(line["latency"]["max"].as_u64() > Some(900_000_000), "{line}");
    }
}

#[test]
fn a_killed_process_is_restarted_and_each_swap_counts_once() {
    for (topology, member) in [("shm", "detector"), ("unix", "collector"), ("tls", "writer")] {
        let directory = tempfile::tempdir().unwrap();
        let mut command = load(topology, "400", ["0s", "2s"]);
        command.env("XDG_RUNTIME_DIR", directory.path());
        let mut program = Program::start(command);
        let started = format!("{member}: started as process ");
        let pid = program.rest_after(&started);
        program.until("swap received", |_| {
            let mut entries = fs::read_dir(directory.path()).unwrap().flatten();
            let receipts = entries.find_map(|it| fs::metadata(it.path().join("receipts")).ok())?;
            (receipts.len() > 0).then_some(())
        });
        assert!(Command::new("kill").args(["-KILL", &pid]).status().unwrap().success());
        let (succeeded, output) = program.end();
        assert!(succeeded, "{output}");
        assert_eq!(output.matches(&started).count(), 2, "{output}");
        let [due, sent, received, missed] = counts(output.lines().last().unwrap());
        assert_eq!([due, received, missed], [800, sent, 0], "{output}");
    }
}
