//! Nodes read the files that the launcher has applied, even if the files on the disk have changed.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use rustix::process::Signal;

use crate::common::kill;
use crate::world::World;

/// Kills a node, and waits until it has started again and is ready.
#[track_caller]
fn crash(world: &World, node: &str) {
    let before = world.status()[node].clone();
    kill(before.pid.unwrap(), Signal::KILL);
    let after = world.until(|nodes| {
        assert!(nodes.contains_key(node), "the bundle has ended: {}", world.logs());
        nodes[node].pid != before.pid && nodes[node].state == "ready"
    });
    assert_eq!(after[node].restarts, before.restarts + 1, "{}", world.logs());
    assert!(world.run(&["status", "app.toml"]).out.contains("signal: 9 (SIGKILL)"));
}

/// Returns the copies of the files in the directory of the bundle.
fn copies(world: &World) -> Vec<PathBuf> {
    let entries = fs::read_dir(world.bundle().unwrap()).unwrap().flatten();
    let mut copies: Vec<PathBuf> = entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("files-"))
        .map(|entry| entry.path())
        .collect();
    copies.sort();
    copies
}

#[test]
fn a_node_that_crashes_after_a_refused_up_starts_again() {
    let world = World::new();
    let (feed, store) = (world.section("feed", "Feed", &[]), world.section("store", "Store", &[]));
    fs::write(world.file().with_file_name("store.toml"), &store).unwrap();
    world.write(&format!("include = [\"store.toml\"]\n{feed}"));
    world.up_and_ready();
    let broken = ["[node.feed\n", "", "[node.feed]\nmemory = 7.5\n"];
    for (text, included) in broken.into_iter().zip(["[", "nodes = 7\n", ""]) {
        fs::write(world.file().with_file_name("store.toml"), included).unwrap();
        world.write(text);
        assert_ne!(world.run(&["up", "app.toml"]).code, Some(0));
        crash(&world, "store");
    }
    fs::remove_file(world.file()).unwrap();
    fs::remove_file(world.file().with_file_name("store.toml")).unwrap();
    crash(&world, "store");
}

#[test]
fn nodes_that_start_slowly_read_what_was_applied() {
    let world = World::new();
    let gates = ["feed.gate", "store.gate"].map(|gate| world.gate(gate));
    let waits = format!("gate={}", world.file().with_file_name("{node}.gate").display());
    world.pipeline(&[&waits, "count=3"], &[&waits, "stays=1"]);
    world.up();
    world.write("");
    for gate in gates {
        // Waits until the node has reached the gate.
        OpenOptions::new().write(true).open(gate).unwrap();
    }
    world.until(|nodes| nodes["feed"].state == "completed");
    let log = |node: &str| {
        fs::read_to_string(world.bundle().unwrap().join(format!("{node}.log"))).unwrap()
    };
    world.until(|_| log("store").contains("stored 3\n"));
    assert!(!log("feed").contains("stored"), "the feed has a store: {}", log("feed"));
    world.pipeline(&[&waits, "count=3"], &[&waits, "stays=1"]);
    assert_eq!(world.up(), ["feed: unchanged", "store: unchanged"]);
}

#[test]
fn each_node_has_the_files_of_its_last_request() {
    let world = World::new();
    let write = |round: u32| world.pipeline(&[], &["stays=1", &format!("round={round}")]);
    write(0);
    world.up_and_ready();
    let first = copies(&world);
    assert_eq!(first.len(), 1, "{first:?}");
    assert_eq!(fs::metadata(&first[0]).unwrap().permissions().mode() & 0o777, 0o600);
    // A request that changes no node leaves no copy.
    world.write(&format!("# more\n{}", fs::read_to_string(world.file()).unwrap()));
    world.up_and_ready();
    assert_eq!(copies(&world), first);
    for round in 1..4 {
        write(round);
        world.up_and_ready();
        let both = copies(&world);
        assert!(both.len() == 2 && both.contains(&first[0]), "{both:?}");
        // A program that tidies up may remove the copies.
        both.iter().for_each(|copy| fs::remove_file(copy).unwrap());
        crash(&world, "feed");
        crash(&world, "store");
        assert_eq!(copies(&world), both);
    }
}

#[test]
fn processes_that_a_node_starts_read_the_disk() {
    let world = World::new();
    let gate = world.gate("gate");
    let command = world.command(&["look", &format!("gate={}", gate.display())]);
    world.write(&format!("[node.feed]\ncommand = {command}\n"));
    world.up();
    world.nodes(&[("feed", "look"), ("store", "look")], "");
    OpenOptions::new().write(true).open(gate).unwrap();
    world.until_they_wait(&["feed"]);
    let logs = world.logs();
    let copy = "cannot read the topology: the launcher of this process has a copy of the files at \
                `/no/such/copy`: No such file or directory (os error 2) [M0100]";
    let late = format!("late sees: {}: {copy}", world.file().display());
    // Processes that share the node's standard input belong to it, such as a program behind a
    // shell.
    for line in ["feed sees: feed", "part sees: feed", "other sees: feed store", &late] {
        assert!(logs.lines().any(|it| it == line), "{line}: {logs}");
    }
}
