//! The commands against nodes that each carrier joins.
#![cfg(all(target_os = "linux", target_pointer_width = "64"))]

use std::fs;
use std::net::TcpListener;

use crate::common::{Ended, ticks};
use crate::world::World;

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
    let world = World::new();
    let file = format!("{}/tests/it/verbs/{carrier}.toml", env!("CARGO_MANIFEST_DIR"));
    fs::copy(file, world.file()).unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let run = |arguments: &[&str]| {
        let mut command = world.tool(arguments);
        command.env("PORT", port.to_string()).env("LOOPBACK", "127.0.0.2");
        Ended::of(&command.output().unwrap())
    };
    let (program, words) = (ticks(), ["{node}", "{topology}", "--directory", "{directory}"]);
    let run_with_nodes = |verb: &[&str]| {
        let program = ["app.toml", "--", program.to_str().unwrap()];
        run(&[verb, &program, &words].concat())
    };

    let checked = run_with_nodes(&["check"]).expect(0);
    assert!(checked.out.contains("no mistake found"), "{}", checked.out);
    assert!(checked.out.contains(name), "{}", checked.out);

    let hosts: &[&str] =
        if carrier == "tcp" { &["up", "--host", "here", "--host", "there"] } else { &["up"] };
    let up = run_with_nodes(hosts).expect(0);
    let status = run(&["status", "app.toml"]).expect(0);

    // Nodes of other tests have the same names, so the commands select processes.
    run(&["status", "app.toml", "-o", "json"]).expect_success();
    let state = world.status();
    let mut target = Vec::new();
    for node in nodes {
        assert!(status.out.contains(node) && up.out.contains(node), "{}", status.out);
        target.extend(["--pid".to_owned(), state[*node].pid.unwrap().to_string()]);
    }
    let look = |arguments: &[&str]| {
        let target: Vec<&str> = target.iter().map(String::as_str).collect();
        run(&[arguments, &target].concat())
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

    let tap = ["tap", "ticks", "--topology", "app.toml", "--node", "feed", "--count", "3"];
    let tapped = run(&tap).expect(0);
    assert_eq!(tapped.out.matches("price=").count(), 3, "{}", tapped.out);

    run(&["down", "app.toml"]).expect(0);
    assert_ne!(run(&["status", "app.toml"]).code, Some(0), "nothing runs");
}
