//! `up --foreground`, as a service manager runs it.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixDatagram;
use std::process::Stdio;

use portable_pty::{CommandBuilder, PtySize, native_pty_system};
use rustix::process::Signal;

use crate::common::kill;
use crate::world::{PATIENCE, World};

/// Waits for a notification with this line, and returns all lines up to it.
fn until(manager: &UnixDatagram, line: &str) -> Vec<String> {
    let mut all = Vec::new();
    loop {
        let mut bytes = [0; 4096];
        let length = manager.recv(&mut bytes).expect("a notification comes");
        let text = std::str::from_utf8(&bytes[..length]).unwrap();
        all.extend(text.lines().map(str::to_owned));
        if all.iter().any(|found| found == line) {
            return all;
        }
    }
}

#[test]
fn a_manager_is_notified() {
    let world = World::new();
    let path = world.runtime().join("notify");
    let manager = &UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    world.pipeline(&[], &[]);
    let mut tool = world.tool(&["up", "app.toml", "--foreground"]);
    tool.env("NOTIFY_SOCKET", path).env("WATCHDOG_USEC", "400000");
    let mut tool = tool.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(tool.stderr.take().unwrap()).lines().map_while(Result::ok);
    let lines = std::thread::spawn(|| lines.collect::<Vec<_>>());
    let before = until(manager, "READY=1");
    assert!(before.contains(&"STATUS=2 of 2 nodes are up".to_owned()), "{before:?}");
    // The variables of the manager are for the launcher, and not passed on to the nodes.
    let status = world.status();
    assert_eq!(status.len(), 2);
    for (node, shown) in status {
        let environment = fs::read(format!("/proc/{}/environ", shown.pid.unwrap())).unwrap();
        let environment = String::from_utf8_lossy(&environment);
        assert!(environment.contains("XDG_RUNTIME_DIR="), "{node}");
        for variable in ["NOTIFY_SOCKET=", "WATCHDOG_USEC="] {
            assert!(!environment.contains(variable), "{node} has {variable}");
        }
    }
    // The watchdog is notified repeatedly, readiness once.
    for _ in 0..2 {
        let lines = until(manager, "WATCHDOG=1");
        assert!(!lines.contains(&"READY=1".to_owned()), "{lines:?}");
    }
    kill(tool.id(), Signal::TERM);
    let after = until(manager, "STOPPING=1");
    assert!(!after.contains(&"READY=1".to_owned()));
    assert!(tool.wait().unwrap().success(), "{:?}", lines.join().unwrap());
    world.nothing_is_left();
}

#[test]
fn a_bundle_in_the_foreground_is_reached_as_any_other() {
    let world = World::of(&[("feed", "wait")]);
    let mut tool = world.start(&["up", "app.toml", "--foreground"]);
    // The nodes write to the launcher's output.
    while tool.line() != "waits" {}
    let before = world.until_running("feed");
    let second = world.run(&["up", "app.toml", "--foreground"]).expect(3);
    assert_eq!(second.err, "error: `app.toml` runs already: end it with `mycelium down`\n");
    // SIGHUP makes the launcher read the file again.
    world.nodes(&[("feed", "wait"), ("store", "wait")], "");
    kill(tool.pid(), Signal::HUP);
    let after = world.until_running("store");
    assert_eq!(after["feed"], before["feed"]);
    while tool.line() != "waits" {}
    world.run(&["down", "app.toml"]).expect(0);
    tool.ended().expect(0);
    world.nothing_is_left();
}

#[test]
fn output_that_nobody_reads_holds_up_nothing() {
    let world = World::new();
    world.write("[node.feed]\ncommand = [\"yes\"]\n");
    for by_signal in [true, false] {
        let (output, full) = std::io::pipe().unwrap();
        let mut tool = world.tool(&["up", "app.toml", "--foreground"]);
        tool.stdout(full.try_clone().unwrap()).stderr(full);
        let mut launcher = tool.spawn().unwrap();
        drop(tool);
        // The pipe is full when it can no longer be written to.
        let is_full = || {
            let room = rustix::event::PollFlags::OUT;
            let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&output));
            let other = std::fs::OpenOptions::new().append(true).open(path).unwrap();
            let mut polled = [rustix::event::PollFd::new(&other, room)];
            let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
            rustix::event::poll(&mut polled, Some(&now)).unwrap() == 0
        };
        world.until(|nodes| nodes.contains_key("feed") && is_full());
        match by_signal {
            true => kill(launcher.id(), Signal::TERM),
            false => world.down(),
        }
        launcher.wait().unwrap();
        world.nothing_is_left();
    }
}

#[test]
fn a_failure_in_the_foreground_is_its_exit_code() {
    let world = World::of(&[("feed", "refuse")]);
    let ended = world.run(&["up", "app.toml", "--foreground"]).expect(1);
    assert!(ended.err.ends_with("see its own output [M0404]\n"), "{}", ended.err);
    world.write("[node.feed]\n");
    assert_eq!(world.run(&["up", "app.toml", "--foreground"]).code, Some(2));
}

#[test]
fn a_signal_before_the_nodes_start_ends_it_in_order() {
    for signal in [Signal::TERM, Signal::HUP] {
        // The node describes itself only when the gate opens.
        let world = World::new();
        let (gate, begun) = (world.gate("gate"), world.file().with_file_name("begun"));
        let program = format!("echo > {}; cat {}", begun.display(), gate.display());
        world.write(&format!("[node.feed]\ncommand = [\"sh\", \"-c\", \"{program}\"]\n"));
        // A terminal sends the hangup.
        let terminal = native_pty_system().openpty(PtySize::default()).unwrap();
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_mycelium"));
        command.args(["up", "app.toml", "--foreground"]);
        command.cwd(world.file().parent().unwrap());
        command.env("XDG_RUNTIME_DIR", world.runtime());
        let mut tool = terminal.slave.spawn_command(command).unwrap();
        world.until(|_| begun.exists());
        kill(tool.process_id().unwrap(), signal);
        drop(File::options().write(true).open(&gate).unwrap());
        assert!(tool.wait().unwrap().success());
        assert_eq!(world.bundle(), None);
        world.nothing_is_left();
    }
}

#[test]
fn output_that_is_closed_hides_no_failure() {
    let world = World::of(&[("feed", "refuse")]);
    let run = |verb| {
        let (output, into) = std::io::pipe().unwrap();
        drop(output);
        let mut tool = world.tool(&[verb, "app.toml"]).stdout(into).spawn().unwrap();
        tool.wait().unwrap().code()
    };
    assert_eq!(run("up"), Some(1));
    world.down();
    world.write("[node.feed]\ncommand = [\"sh\", \"-c\", \"echo waits; exec sleep 1000\"]\n");
    world.up();
    let pid = world.until_they_wait(&["feed"])["feed"].pid.unwrap();
    kill(pid, Signal::STOP);
    world.until(|nodes| nodes["feed"].state == "suspended");
    assert_eq!(run("status"), Some(1));
    kill(pid, Signal::CONT);
}
