//! `ls`, `hz`, `counters`, `top --once` and `check --live` against running nodes.
#![cfg(all(target_os = "linux", target_pointer_width = "64"))]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use mycelium::counters::Region;
use rustix::fs::MemfdFlags;
use rustix::io::ioctl_fionread;
use rustix::pipe::fcntl_setpipe_size;
use rustix::process::Signal;
use serde_json::Value;

use crate::common::{Ended, Process, json, kill, run, skip, tool};
use crate::world::World;

/// Waits until the condition holds.
#[track_caller]
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let mut tries = (0..1_000_000).inspect(|_| std::thread::yield_now());
    assert!(tries.any(|_| holds()), "never: {what}");
}

/// Returns a node that has sent `count` ticks and now waits. Its display is slow and misses some.
fn after(count: u64) -> (Process, String) {
    after_in(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/live/one.toml"), count)
}

fn after_in(topology: &str, count: u64) -> (Process, String) {
    let mut node = Process::node(&["one", topology, "--count", &count.to_string()]);
    assert_eq!(node.line(), format!("sent {count}"));
    let pid = node.pid().to_string();
    // The node prints its line in a poll, and the publisher stores its count at the end of that
    // poll.
    let sent = format!("ticks,Feed,one,0,0.0,{count}\n");
    while !run(&["hz", "ticks", "--pid", &pid, "--for", "1ms", "-o", "csv"]).out.contains(&sent) {}
    (node, pid)
}

/// While the publisher sends at full rate, the counts of all intervals must add up to the total
/// that the publisher reports at its end.
#[test]
fn at_full_rate_no_message_is_counted_twice_or_missed() {
    let topology = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/live/one.toml");
    let count = 300_000;
    let mut node = Process::node(&["one", topology, "--count", &count.to_string()]);
    let pid = node.pid().to_string();
    while !run(&["ls", "--pid", &pid]).out.contains("one") {}
    let (mut expected, mut readings) = (None, 0);
    loop {
        let ended = run(&["hz", "ticks", "--pid", &pid, "--for", "20ms", "-o", "json"]);
        // The topics of the node do not exist yet.
        let Ok(rates) = serde_json::from_str::<Value>(ended.out.trim()) else { continue };
        let (messages, sent) = (rates[0]["messages"].as_u64(), rates[0]["sent"].as_u64());
        let (Some(messages), Some(sent)) = (messages, sent) else { continue };
        let before = sent - messages;
        assert!(expected.is_none_or(|expected| before >= expected), "{rates}");
        expected = Some(sent);
        readings += 1;
        if sent == count {
            break;
        }
    }
    assert!(readings > 0);
    assert_eq!(node.line(), format!("sent {count}"));
}

#[test]
fn a_second_signal_ends_a_tool_whose_output_nobody_reads() {
    let (_node, pid) = after(10);
    let (output, into) = std::io::pipe().unwrap();
    fcntl_setpipe_size(&into, 4096).unwrap();
    let mut hz = tool(&["hz", "--pid", &pid, "--interval", "1ms"]);
    let mut hz = hz.stdout(into).stderr(Stdio::null()).spawn().unwrap();
    // No further line fits into the pipe.
    while ioctl_fionread(&output).unwrap() < 4000 {
        assert!(hz.try_wait().unwrap().is_none());
    }
    // Two signals that arrive together count as one.
    while hz.try_wait().unwrap().is_none() {
        kill(hz.id(), Signal::TERM);
        std::thread::yield_now();
    }
}

#[test]
fn a_node_that_is_stopped_is_read_as_one_that_runs() {
    let (node, pid) = after(1_000);
    kill(node.pid(), Signal::STOP);
    while json(&["ls", "--pid", &pid])[0]["process"] != "stopped" {}
    let rates = json(&["hz", "--pid", &pid, "--for", "10ms"]);
    assert!(rates.iter().any(|rate| rate["sent"] == 1_000), "{rates:?}");
    let limits = ["--max-drops", "1000000", "--max-depth", "100"];
    let ended = run(&[&["check", "--live", "--pid", &pid][..], &limits].concat()).expect(1);
    assert!(ended.out.contains("is stopped"), "{}", ended.out);
    kill(node.pid(), Signal::CONT);
}

#[test]
fn a_live_check_finds_drops_and_adds_up() {
    let (_node, pid) = after(100_000);
    let arguments = ["check", "--live", "--pid", &pid, "--max-depth", "100"];
    // The slow display may not have noticed its losses yet.
    let found = |ended: &Ended| ended.code == Some(1) && ended.out.contains("messages dropped");
    let ended = std::iter::repeat_with(|| run(&arguments)).find(found).expect("drops");
    assert!(ended.out.contains("ticks of Feed at Display"), "{}", ended.out);
    assert!(ended.err.contains("limit"), "{}", ended.err);
    let sums = json(&[&arguments[..], &["--max-drops", "100000"]].concat());
    let number = |row: &Value, name: &str| row[name].as_u64().expect("a number");
    for row in &sums {
        let ended = number(row, "taken") + number(row, "dropped") + number(row, "in_flight");
        assert_eq!(number(row, "to_readers"), ended, "{row}");
    }
    let ticks = sums.iter().find(|row| row["topic"] == "ticks").expect("a row");
    assert_eq!(number(ticks, "to_readers"), 200_000);
}

/// Returns a live check that has found its node, and that waits for an hour or a signal.
fn check_for_an_hour(arguments: &[&str]) -> Process {
    let limits = ["--for", "1h", "--max-depth", "100", "--max-drops", "1000000"];
    let mut check = tool(&[&["check", "--live"], arguments, &limits].concat());
    let check = Process::run(check.stderr(Stdio::piped()));
    let of_check = |file: &str| {
        std::fs::read_to_string(format!("/proc/{}/{file}", check.pid())).unwrap_or_default()
    };
    until("the counters are mapped", || of_check("maps").contains("mycelium-counters"));
    until("the tool waits", || of_check("wchan").starts_with("futex"));
    check
}

#[test]
fn a_live_check_that_is_interrupted_has_not_passed() {
    let (_node, pid) = after(1_000);
    let check = check_for_an_hour(&["--pid", &pid]);
    kill(check.pid(), Signal::INT);
    let ended = check.ended().expect(3);
    assert!(ended.err.contains("a signal ended the check"), "{}", ended.err);
    assert!(ended.out.contains("ticks"), "the sums until then: {}", ended.out);
}

/// `--directory` finds processes by their sockets, and a node without readers in other nodes has
/// none.
#[test]
fn nodes_without_a_socket_in_the_directory_are_named() {
    let world = World::new();
    let (file, directory) = (world.file(), world.runtime().join("sockets"));
    let [desk, absent] = ["desk", "absent"].map(|name| format!("{name}-{}", std::process::id()));
    world.write(&format!(
        "[node.feed]\nservices = [\"Feed\"]\n[node.{desk}]\nservices = [\"Keeper\", \"Display\"]\n\
         [node.{absent}]\nservices = []\n"
    ));
    let [file, directory] = [&file, &directory].map(|path| path.to_str().expect("UTF-8"));
    let start = |name: &str| Process::node(&[name, file, "--directory", directory, "--count", "1"]);
    let (_feed, desk_process) = (start("feed"), start(&desk));
    let ended = || run(&["check", file, "--live", "--directory", directory]);
    let (desk_pid, mut last) = (desk_process.pid(), ended());
    let seen = format!("node `{desk}` (process {desk_pid}) has no socket in `{directory}`");
    until("both nodes have begun", || {
        last = ended();
        last.err.contains(&seen)
    });
    let absent = format!("no node `{absent}` runs");
    assert!(last.expect(3).err.contains(&absent), "{absent}");
}

/// While the tool waits, the process ends and another process of its node starts.
#[test]
fn a_live_check_finds_a_process_that_was_replaced() {
    let world = World::new();
    let name = format!("replaced-{}", std::process::id());
    world.write(&format!("[node.{name}]\nobservers = false\n"));
    let start = || {
        let topology = world.file();
        let mut node = Process::node(&[&name, topology.to_str().unwrap(), "--count", "1"]);
        assert_eq!(node.line(), "sent 1");
        let pid = node.pid().to_string();
        until("it is ready", || {
            run(&["ls", "--pid", &pid, "-o", "json"]).out.contains("\"ready\"")
        });
        node
    };
    let mut old = start();
    let check = check_for_an_hour(&["--node", &name]);
    old.kill();
    let new = start();
    // A signal ends the wait.
    kill(check.pid(), Signal::INT);
    let ended = check.ended().expect(1);
    let row = format!("process {} ended, and process {} runs", old.pid(), new.pid());
    assert!(ended.out.contains(&row), "{row} in {}", ended.out);
}

/// The publisher has room for all, so its process does not look at what the reader has taken.
#[test]
fn a_reader_in_shared_memory_is_as_its_own_process_counts_it() {
    let world = World::new();
    world.write(
        "[node.feed]\nservices = [\"Feed\"]\n[node.desk]\nservices = [\"Keeper\"]\n\
         [link.default]\ntransport = \"shm\"\n[topic.ticks]\ncapacity = 65536\n",
    );
    let (file, directory) = (world.file(), world.runtime().join("sockets"));
    let [file, directory] = [&file, &directory].map(|path| path.to_str().expect("UTF-8"));
    let start =
        |name: &str| Process::node(&[name, file, "--directory", directory, "--count", "60000"]);
    let (desk, mut feed) = (start("desk"), start("feed"));
    assert_eq!(feed.line(), "sent 60000");
    let [feed, desk] = [&feed, &desk].map(|node| node.pid().to_string());
    until("all are taken", || {
        let taken = json(&["counters", "edge", "--pid", &desk]);
        taken.iter().any(|row| row["counter"] == "taken" && row["value"] == 60_000)
    });
    let (both, one) = (["--pid", &feed, "--pid", &desk], ["--pid", &feed]);
    let limit = ["check", "--live", "--max-depth", "1"];
    run(&[&limit[..], &both].concat()).expect_success();
    let reads = |pids: &[&str]| {
        let rows = json(&[&["top", "--once", "--interval", "1ms"][..], pids].concat());
        rows.into_iter().find(|row| row["node"] == "feed" && row["direction"] == "reads")
    };
    let row = reads(&both).expect("a row");
    assert_eq!((&row["depth"], &row["rate"]), (&0.into(), &0.0.into()), "{row}");
    let row = reads(&one).expect("a row");
    assert_eq!((&row["state"], &row["rate"]), (&"stale".into(), &Value::Null), "{row}");
    let ended = run(&[&limit[..], &one].concat()).expect(0);
    assert!(ended.err.contains("is not known"), "{}", ended.err);
}

#[test]
fn counters_have_the_names_that_are_in_memory() {
    let (_node, pid) = after(1_000);
    let rows = json(&["counters", "--pid", &pid]);
    let sent = rows.iter().find(|row| row["kind"] == "publisher" && row["counter"] == "sent");
    assert_eq!(sent.expect("a row")["value"], 1_000);
    let some = json(&["counters", "reader=Keeper", "--pid", &pid]);
    assert!(!some.is_empty() && some.len() < rows.len());
    let csv = run(&["counters", "--pid", &pid, "-o", "csv"]).expect_success();
    assert!(csv.starts_with("node,pid,kind,label,counter,value\n"), "{csv}");
}

/// The tool only maps memory, so the target does not notice it.
#[test]
#[allow(clippy::print_stdout, reason = "a check that is left out is reported")]
fn the_target_makes_no_system_call() {
    if Command::new("strace").arg("-V").output().is_err() {
        println!("SKIPPED: strace is not installed: system calls of the target are not counted");
        return;
    }
    let topology = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/live/quiet.toml");
    let (_node, pid) = after_in(topology, 1_000);
    let directory = tempfile::tempdir().unwrap();
    let trace = directory.path().join("trace");
    // It reports to standard error.
    let mut strace = Command::new("sh");
    strace.args(["-c", "exec strace \"$@\" 2>&1", "sh", "-f", "-p", &pid, "-o"]).arg(&trace);
    let mut strace = Process::run(&mut strace);
    let attached = strace.line();
    if !attached.contains("attached") {
        println!("SKIPPED: strace cannot attach: {attached}");
        return;
    }
    for arguments in [
        vec!["ls", "--pid", &pid],
        vec!["top", "--once", "--interval", "10ms", "--pid", &pid],
        vec!["hz", "--for", "10ms", "--pid", &pid],
        vec!["counters", "--pid", &pid],
    ] {
        run(&arguments).expect_success();
    }
    kill(strace.pid(), Signal::INT);
    strace.ended();
    let text = std::fs::read_to_string(trace).expect("a trace");
    // The system calls with which the target's threads wait and set timers.
    let waits = ["epoll_", "futex", "restart_syscall", "recvfrom(", "timerfd_settime", "detached"];
    let is_wait = |line: &&str| waits.iter().any(|wait| line.contains(wait));
    let others: Vec<&str> = text.lines().filter(|line| !is_wait(line)).collect();
    assert!(others.is_empty(), "{others:#?}");
}

/// A region of another version, or a forged one, is not shown, and the rest is.
#[test]
fn counters_that_cannot_be_read_are_a_warning() {
    let (_node, pid) = after(1);
    let fake = rustix::fs::memfd_create("mycelium-counters", MemfdFlags::CLOEXEC);
    let _fake = fake.expect("memory");
    let ended = run(&["ls"]).expect(0);
    assert!(ended.out.contains(&pid), "{}", ended.out);
    let own = std::process::id().to_string();
    assert!(ended.err.contains("warning: ") && ended.err.contains(&own), "{}", ended.err);
    // If a node is not found, the warning is the reason, and its code comes last.
    let ended = run(&["ls", "--node", "nobody"]);
    assert!(ended.err.contains("; counters of process "), "{}", ended.err);
    assert!(ended.err.ends_with("]\n"), "{}", ended.err);
    assert_eq!(ended.err.matches("[M0").count(), 1, "{}", ended.err);
}

/// Otherwise an empty table would say that no node runs.
#[test]
fn a_user_without_nodes_learns_that_those_of_others_cannot_be_seen() {
    if !rustix::process::geteuid().is_root() {
        return skip(
            "a_user_without_nodes_learns_that",
            "only root can run another user's process",
        );
    }
    let (_node, _) = after(1);
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(&directory, Permissions::from_mode(0o755)).unwrap();
    // That user may not reach the directory that tests are built in.
    let copy = directory.path().join("mycelium");
    // By a process, so that none of another test inherits a descriptor that writes to the program.
    let copied = Command::new("cp").arg(tool(&[]).get_program()).arg(&copy).status();
    assert!(copied.unwrap().success());
    let output = Command::new(&copy).arg("ls").current_dir("/").uid(65_534).gid(65_534).output();
    let Ended { out, err, .. } = Ended::of(&output.unwrap()).expect(0);
    assert!(out.starts_with("NODE") && out.lines().count() == 1, "{out}");
    assert!(err.starts_with("warning: the counters of "), "{err}");
    assert!(err.contains(" processes of other users cannot be seen: "), "{err}");
}

/// The tests run as root or as another user.
#[test]
fn a_live_check_ignores_a_process_of_another_user_than_the_owner() {
    let world = World::new();
    let name = format!("owned-{}", std::process::id());
    let topology = |owner: u32| format!("[node.{name}]\nobservers = false\nowner = {owner}\n");
    let own = rustix::process::geteuid().as_raw();
    world.write(&topology(own));
    let file = world.file();
    let file = file.to_str().expect("UTF-8");
    let _node = Process::node(&[&name, file]);
    let limits = ["check", file, "--live", "--max-depth", "100", "--max-drops", "1000000"];
    until("its own user runs it", || run(&limits).code == Some(0));
    world.write(&topology(own + 1));
    let error = run(&limits).expect_failure(3);
    assert!(error.contains(&format!("no node `{name}` runs")), "{error}");
}

#[test]
fn a_live_check_that_cannot_read_all_counters_has_not_passed() {
    let _region = Region::shared(16).expect("memory");
    let fake = rustix::fs::memfd_create("mycelium-counters", MemfdFlags::CLOEXEC);
    let _fake = fake.expect("memory");
    let own = std::process::id().to_string();
    let ended = run(&["check", "--live", "--pid", &own]).expect(3);
    assert!(ended.err.contains("counters that cannot be read"), "{}", ended.err);
    assert!(ended.out.starts_with("TOPIC"), "the sums of the rest: {}", ended.out);
}

#[test]
fn what_cannot_be_examined_is_an_error_that_names_it() {
    let none = std::env::temp_dir().join(format!("mycelium-none-{}", std::process::id()));
    let none = none.to_str().expect("UTF-8");
    let (_node, pid) = after(1);
    let nobody = "no node `nobody` runs: expected one of one";
    let tick = "no node publishes topic `tick`: expected one of ticks, totals";
    let cases: [(&[&str], i32, &str); 5] = [
        (&["ls", "--pid", "4194305"], 3, "no process has the number 4194305 [M0360]\n"),
        (&["ls", "--node", "nobody", "--pid", &pid], 3, nobody),
        (&["ls", "--directory", none], 2, "No such file or directory"),
        (&["hz", "tick", "--pid", &pid], 3, tick),
        (&["check", "--live", "--node", "nobody", "--pid", &pid], 3, "no node `nobody` runs"),
    ];
    for (arguments, code, text) in cases {
        let error = run(arguments).expect_failure(code);
        assert!(error.contains(text), "{arguments:?}: {error}");
    }
}
