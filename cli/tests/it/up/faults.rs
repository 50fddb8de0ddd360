//! Nodes that fail, and processes that are killed.

use std::fs::{self, File, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::process::Stdio;

use rustix::process::Signal;

use crate::common::{Ended, kill};
use crate::world::{PATIENCE, World};

#[test]
fn a_node_that_refuses_to_start_ends_the_bundle_with_its_last_words() {
    let world = World::of(&[("feed", "wait"), ("store", "refuse")]);
    let Ended { err, .. } = world.run(&["up", "app.toml"]).expect(1);
    let refusal = "error: member `store` does not want to be restarted (exit code 78)";
    assert!(err.starts_with(refusal) && err.contains("    the port is taken\n"), "{err}");
    world.until_nothing_runs();
    // The logs stay until somebody has read them.
    let status = world.run(&["status", "app.toml"]).expect(3);
    assert!(status.err.contains("it ended with an error: member `store`"), "{}", status.err);
    world.down();
    assert_eq!(world.run(&["status", "app.toml"]).err, "error: nothing of `app.toml` runs\n");
}

#[test]
fn nodes_that_fail_are_named() {
    let killed = "members did not end and were killed: feed [M0408]\n";
    for (role, arguments, expected) in [
        ("crash", &["up", "app.toml"][..], "node `feed` fails again and again; the end of `"),
        ("lose", &["down", "app.toml"], "member `feed` ended with messages that it could not"),
        ("hang", &["down", "app.toml", "--timeout", "50ms"], killed),
    ] {
        let world = World::of(&[("feed", role)]);
        if role != "crash" {
            world.up();
            world.until_they_wait(&["feed"]);
        }
        let ended = world.run(arguments).expect(1);
        assert!(ended.err.starts_with(&format!("error: {expected}")), "{role}: {}", ended.err);
        if role == "crash" {
            assert!(ended.err.contains("    the disk is full\n"), "{}", ended.err);
            // The reason may be a mistake that `check` would have named.
            let reason = ended.err.split("\nthe file was not checked: ").nth(1);
            assert!(reason.is_some_and(|it| it.contains("node `feed` runs `")), "{}", ended.err);
            // The result of `down` depends on whether the node has failed again by then.
            world.run(&["down", "app.toml"]);
        }
    }
}

/// The launcher dies at its first write: `up` reports it, and starts no other launcher.
#[test]
fn a_launcher_that_dies_at_its_start_is_an_error() {
    let world = World::of(&[("feed", "wait")]);
    let ended = Ended::of(&world.limited("-f 0", &["up", "app.toml"]).output().unwrap());
    // The launcher may have dumped its core.
    let expected = "error: the launcher ended, signal: 25 (SIGXFSZ)";
    assert!(ended.code == Some(3) && ended.err.starts_with(expected), "{}", ended.err);
    world.until_nothing_runs();
}

#[test]
fn a_node_that_prints_without_end_does_not_fill_the_disk() {
    let world = World::of(&[("feed", "flood")]);
    world.up();
    let size = |name: &str| {
        world.bundle().and_then(|bundle| Some(fs::metadata(bundle.join(name)).ok()?.len()))
    };
    let limit = 16 << 20;
    world.until(|_| size("feed.log.old").is_some_and(|size| size == limit));
    world.until(|_| size("feed.log").is_some_and(|size| size < limit));
}

#[test]
fn after_a_killed_launcher_its_nodes_end_and_the_next_one_starts_cleanly() {
    let (world, before) = World::waiting(&[("feed", "wait"), ("store", "wait")]);
    kill(world.launcher(), Signal::KILL);
    assert_eq!(world.up(), ["feed: started", "store: started"]);
    let after = world.until_they_wait(&["feed", "store"]);
    assert!(["feed", "store"].iter().all(|node| before[*node].pid != after[*node].pid));
    kill(world.launcher(), Signal::KILL);
    // `down` cleans up after a killed launcher.
    world.down();
}

#[test]
fn programs_that_do_not_notice_the_end_of_the_launcher_are_shown_and_ended() {
    let world = World::new();
    let shell = |node: &str, commands: &str| {
        format!("[node.{node}]\ncommand = [\"sh\", \"-c\", \"{commands}\"]\n")
    };
    let polite = shell("polite", "echo waits; exec sleep 1000");
    let stubborn = "trap '' TERM; echo waits; while true; do sleep 1000; done";
    world.write(&[polite, shell("stubborn", stubborn)].concat());
    world.up();
    let nodes = world.until_they_wait(&["polite", "stubborn"]);
    let stubborn = nodes["stubborn"].pid.unwrap();
    kill(world.launcher(), Signal::KILL);
    let left =
        nodes.iter().map(|(node, shown)| format!("`{node}` (process {})", shown.pid.unwrap()));
    let left: Vec<_> = left.collect();
    let status = || world.run(&["status", "app.toml"]);
    world.until(|_| left.iter().all(|node| status().err.contains(node)));
    let Ended { code, err, .. } = status();
    let start = "error: no launcher of `app.toml` responds, and nodes still run: `";
    assert!(code == Some(3) && err.starts_with(start), "{err}");
    assert!(err.ends_with(", and `up` and `down` wait for them\n"), "{err}");
    let ended = world.run(&["down", "app.toml", "--timeout", "2s"]).expect(1);
    let killed = "error: the launcher of `app.toml` was killed, and nodes did not end by \
                  themselves or at SIGTERM, and were killed: stubborn\n";
    assert_eq!(ended.err, killed);
    // The command line is empty if the new parent has not reaped the process yet.
    let command = fs::read(format!("/proc/{stubborn}/cmdline")).unwrap_or_default();
    assert!(command.is_empty(), "{}", command.escape_ascii());
}

#[test]
fn nodes_notice_the_end_of_the_launcher() {
    let world = World::new();
    let section = |node, service| world.section(node, service, &[]) + "shutdown = \"200ms\"\n";
    world.write(&[section("feed", "Feed"), section("store", "Store")].concat());
    world.up_and_ready();
    kill(world.launcher(), Signal::KILL);
    world.until_nothing_runs();
}

#[test]
fn a_directory_that_others_may_write_to_is_not_used() {
    let world = World::of(&[("store", "refuse")]);
    assert_eq!(world.run(&["up", "app.toml"]).code, Some(1));
    world.until_nothing_runs();
    // Another user could write the list of processes here, and name any process of this user.
    let bundle = world.bundle().unwrap();
    fs::set_permissions(&bundle, Permissions::from_mode(0o777)).unwrap();
    for verb in ["up", "status", "down"] {
        let ended = world.run(&[verb, "app.toml"]);
        let expected = format!(
            "error: directory `{}` is open to other users: expected mode 0700, found 0777; change \
             it (`chmod 0700`) [M0082]\n",
            bundle.display()
        );
        assert_eq!((ended.code, ended.err), (Some(3), expected), "{verb}");
    }
    fs::set_permissions(&bundle, Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn a_bundle_that_has_not_started_is_not_up() {
    let world = World::new();
    let gate = world.gate("gate");
    let program = format!(
        "case $$* in *--describe*) cat {};; *) echo waits; exec sleep 1000;; esac",
        gate.display()
    );
    world.write(&format!("[node.feed]\ncommand = [\"sh\", \"-c\", \"{program}\", \"sh\"]\n"));
    let up = world.start(&["up", "app.toml", "--no-wait"]);
    let status = || world.run(&["status", "app.toml"]);
    world.until(|_| status().err == "error: no node has started yet\n");
    assert_eq!(status().code, Some(1));
    // The program ends without a description, and the node starts.
    drop(File::options().write(true).open(&gate).unwrap());
    let output = up.ended().out;
    let row = output.lines().last().unwrap_or_default();
    assert!(row.starts_with("feed "), "{output}");
    world.until_they_wait(&["feed"]);
}

#[test]
fn a_killed_client_leaves_a_bundle_that_the_next_one_finds() {
    let world = World::of(&[("feed", "wait"), ("store", "wait")]);
    for _ in 0..3 {
        let mut client = world.tool(&["up", "app.toml"]).stdout(Stdio::null()).spawn().unwrap();
        std::thread::yield_now();
        client.kill().unwrap();
        client.wait().unwrap();
    }
    world.up();
    world.until_they_wait(&["feed", "store"]);
}

#[test]
fn two_at_once_are_one_bundle() {
    let world = World::of(&[("feed", "wait"), ("store", "wait")]);
    let clients = [(); 4].map(|()| world.start(&["up", "app.toml", "--no-wait"]));
    let outputs = clients.map(|client| client.ended().expect(0).out).concat();
    assert_eq!(outputs.matches(": started").count(), 2, "{outputs}");
    world.until_they_wait(&["feed", "store"]);
}

#[test]
fn a_broken_file_changes_nothing() {
    let (world, before) = World::waiting(&[("feed", "wait")]);
    let file = world.file();
    let command = |command: &str| format!("[node.feed]\ncommand = {command}\n");
    let memory = command(&world.command(&["wait"])) + "memory = 7.5\n";
    let [none, unknown, root] =
        ["[\"./nothing\"]", "[\"no-such-program\"]", "[\"/\"]"].map(command);
    let broken = [
        (1, "[node.feed\n", "app.toml:1:11: "),
        (1, &memory, "app.toml:3:10: "),
        (2, "[node.feed]\n", "node `feed` has no command: set `command` in `[node.feed]`"),
        (3, &none, "app.toml:2:12: node `feed`: cannot run `"),
        (3, &unknown, "cannot run `no-such-program`: no directory of `PATH` has it"),
        (3, &root, "cannot run `/`: it is not a file\n"),
        (2, "[topic.swaps]\ncapacity = 64\n", "the file has no node for this host"),
    ];
    for (code, text, message) in broken {
        world.write(text);
        let error = world.run(&["up", "app.toml"]).expect_failure(code);
        assert!(error.contains(message), "{message}: {error}");
    }
    fs::remove_file(&file).unwrap();
    assert_eq!(world.run(&["up", "app.toml"]).code, Some(2));
    // A bundle whose file is gone can still be shown and ended.
    assert_eq!(world.until_they_wait(&["feed"]), before);
    world.down();
}

#[test]
fn a_launcher_that_does_not_respond_is_an_error() {
    let (world, before) = World::waiting(&[("feed", "wait")]);
    let launcher = world.launcher();
    kill(launcher, Signal::STOP);
    // A change that `up` must not apply.
    world.nodes(&[("feed", "wait"), ("store", "wait")], "");
    let clients = ["status", "up", "down"].map(|verb| world.start(&[verb, "app.toml"]));
    for client in clients {
        let error = client.ended().expect_failure(3);
        assert!(error.starts_with("error: the launcher of `app.toml` at `"), "{error}");
        assert!(error.ends_with("`: it does not respond\n"), "{error}");
    }
    kill(launcher, Signal::CONT);
    // The launcher does not carry out what nobody waits for.
    for _ in 0..5 {
        assert_eq!(world.until_they_wait(&["feed"]), before);
    }
}

#[test]
fn a_launcher_whose_socket_was_removed_is_not_said_to_be_killed() {
    let (world, _) = World::waiting(&[("feed", "wait")]);
    let (launcher, bundle) = (world.launcher(), world.bundle().unwrap());
    fs::remove_file(bundle.join("control")).unwrap();
    let error = world.run(&["status", "app.toml"]).expect_failure(3);
    let expected =
        "error: no launcher of `app.toml` responds, and nodes still run: `feed` (process";
    assert!(error.starts_with(expected), "{error}");
    kill(launcher, Signal::TERM);
    world.until_nothing_runs();
}

#[test]
fn hostile_peers_hold_up_nobody() {
    let (world, _) = World::waiting(&[("feed", "wait")]);
    let socket = world.bundle().unwrap().join("control");
    let connect = || UnixStream::connect(&socket).unwrap();
    // More silent clients than the launcher serves at once, and some that send garbage.
    let mut silent: Vec<UnixStream> = (0..100).map(|_| connect()).collect();
    let surplus = silent.last_mut().unwrap();
    surplus.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut answer = String::new();
    surplus.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("it serves 64 connections already"), "{answer}");
    silent.truncate(20);
    for bytes in [&b"\n"[..], b"{}\n", b"\xff\xff\n", &[b'['; 200_000], b"{\"verb\":\"up\"}\n"] {
        // The launcher may have closed the connection.
        let _ = connect().write_all(bytes);
    }
    world.until_they_wait(&["feed"]);
    drop(silent);
}
