//! The commands against nodes that each carrier joins.
#![cfg(all(target_os = "linux", target_pointer_width = "64"))]

use std::process::Command;

use tempfile::TempDir;

use crate::common::{Ended, ticks, tool};

/// The runtime directory for one carrier, removed on drop.
struct World {
    directory: TempDir,
    file: String,
    port: String,
}

impl World {
    fn new(carrier: &str) -> World {
        let directory = tempfile::tempdir().expect("a directory");
        let file = format!("{}/tests/it/verbs/{carrier}.toml", env!("CARGO_MANIFEST_DIR"));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port().to_string();
        World { directory, file, port }
    }

    /// Runs a command.
    fn run(&self, arguments: &[&str]) -> Ended {
        let mut command: Command = tool(arguments);
        command.env("XDG_RUNTIME_DIR", self.directory.path());
        command.env("PORT", &self.port).env("LOOPBACK", "127.0.0.2");
        Ended::of(&command.output().expect("the tool runs"))
    }

    /// Runs a command with the topology and the command of its nodes.
    fn run_with_nodes(&self, verb: &[&str]) -> Ended {
        let ticks = ticks();
        let ticks = ticks.to_str().expect("UTF-8");
        let mut arguments = verb.to_vec();
        arguments.extend([self.file.as_str(), "--", ticks, "{node}", "{topology}"]);
        arguments.extend(["--directory", "{directory}"]);
        self.run(&arguments)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.run(&["down", &self.file]);
    }
}

#[test]
fn local() {
    every_verb("local", &["feed"], "");
}

#[test]
fn shm() {
    every_verb("shm", &["feed", "desk"], "shared memory");
}

#[test]
fn unix() {
    every_verb("unix", &["feed", "desk"], "Unix socket");
}

#[test]
fn tcp() {
    every_verb("tcp", &["feed", "desk"], "TCP");
}

/// Runs all commands with the nodes of a carrier's topology. `name` is the carrier's name in the
/// output of `check`; it is empty if no link is needed.
fn every_verb(carrier: &str, nodes: &[&str], name: &str) {
    let world = World::new(carrier);
    let file = world.file.as_str();

    let checked = world.run_with_nodes(&["check"]).expect(0);
    assert!(checked.out.contains("no mistake found"), "{}", checked.out);
    assert!(checked.out.contains(name), "{}", checked.out);

    let hosts: &[&str] =
        if carrier == "tcp" { &["up", "--host", "here", "--host", "there"] } else { &["up"] };
    let up = world.run_with_nodes(hosts).expect(0);
    let status = world.run(&["status", file]).expect(0);

    // Nodes of other tests have the same names, so the commands select processes.
    let state = world.run(&["status", file, "-o", "json"]).expect_success();
    let state: serde_json::Value = serde_json::from_str(state.trim()).expect("JSON");
    let mut target = Vec::new();
    for node in nodes {
        assert!(status.out.contains(node) && up.out.contains(node), "{}", status.out);
        let row = state.as_array().expect("rows").iter().find(|row| row["node"] == *node);
        let pid = row.expect("the node")["pid"].as_u64().expect("a process");
        target.extend(["--pid".to_owned(), pid.to_string()]);
    }
    let look = |arguments: &[&str]| {
        let mut all = arguments.to_vec();
        all.extend(target.iter().map(String::as_str));
        world.run(&all)
    };
    let listed = look(&["ls"]).expect_success();
    nodes.iter().for_each(|node| assert!(listed.contains(node), "{listed}"));
    let top = look(&["top", "--once", "--interval", "200ms"]).expect_success();
    let rates = look(&["hz", "ticks", "--for", "200ms"]).expect_success();
    let counters = look(&["counters", "publisher"]).expect_success();
    for text in [&top, &rates, &counters] {
        assert!(text.contains("ticks") && text.contains("Feed"), "{text}");
    }
    let live = ["check", "--live", "--max-drops", "1000000", "--max-depth", "100"];
    let sums = look(&live).expect_success();
    assert!(sums.contains("ticks"), "{sums}");

    let tap = ["tap", "ticks", "--topology", file, "--node", "feed", "--count", "3"];
    let tapped = world.run(&tap).expect(0);
    assert_eq!(tapped.out.matches("price=").count(), 3, "{}", tapped.out);

    world.run(&["down", file]).expect(0);
    assert_ne!(world.run(&["status", file]).code, Some(0), "nothing runs");
}
