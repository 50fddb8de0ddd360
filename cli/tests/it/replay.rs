//! `mycelium replay` as a process, into a topology whose recorder shows what it sends.

use std::fs;
use std::path::PathBuf;

use mycelium_record::{Entry, Reader, Recorded, Recording};
use rustix::process::Signal;

use crate::common::{Ended, Process, kill, ticks};
use crate::world::World;

/// The feed alone, and the recorder of its ticks.
const FEED: &str = "[node.one]\nservices = [\"Feed\"]\n[node.recorder]\nservices = [\"Recorder\"]\n\
                    [recorder]\ntopics = [\"ticks\"]\n";

fn path(world: &World, name: &str) -> PathBuf {
    world.file().with_file_name(name)
}

/// Records so many ticks.
fn recorded(count: &str) -> World {
    let world = World::new();
    world.write(FEED);
    let record = recorder(&world, "day.mcap");
    let mut command = std::process::Command::new(ticks());
    command.args(["one", "app.toml", "--count", count]).current_dir(path(&world, "."));
    command.env("XDG_RUNTIME_DIR", world.runtime()).stderr(std::process::Stdio::null());
    let mut node = Process::run(&mut command);
    node.until("sent");
    kill(node.pid(), Signal::TERM);
    assert_eq!(node.ended().code, Some(0));
    assert_eq!(record.ended().code, Some(0));
    world
}

fn recorder(world: &World, file: &str) -> Process {
    world.start(&["record", "-o", file, "--topology", "app.toml", "--until-end"])
}

fn replay(world: &World, arguments: &[&str]) -> Ended {
    let program = ticks();
    let fixed = ["replay", "day.mcap", "--into", "app.toml"];
    let program = ["--", program.to_str().unwrap(), "{node}"];
    world.run(&[&fixed[..], arguments, &program].concat())
}

#[test]
fn a_replay_sends_the_recorded_messages_and_no_others() {
    let world = recorded("20000");
    for speed in ["max", "1000"] {
        let again = recorder(&world, "again.mcap");
        let ended = replay(&world, &["--speed", speed]);
        assert_eq!(ended.code, Some(0), "{}", ended.err);
        assert!(ended.err.ends_with("20000 messages sent as node `one`\n"), "{}", ended.err);
        assert_eq!(again.ended().code, Some(0));
        let equal = world.run(&["verify", "day.mcap", "again.mcap"]).expect_success();
        assert!(equal.starts_with("equal: 20000 messages of 1 topic"), "{equal}");
        fs::remove_file(path(&world, "again.mcap")).unwrap();
    }
    let again = recorder(&world, "again.mcap");
    // Everything was received before that.
    let ended = replay(&world, &["--speed", "max", "--from", "100000s"]);
    assert!(ended.err.ends_with("\n0 messages sent as node `one`\n"), "{}", ended.err);
    assert_eq!(again.ended().code, Some(0));
}

/// Writes `day.mcap` again with other times of receipt, and with more bytes at the end of messages.
fn changed(world: &World, time: impl Fn(u64) -> u64, more: impl Fn(u64) -> usize) {
    let file = path(world, "day.mcap");
    let bytes = fs::read(&file).unwrap();
    let mut reader = Reader::new(&bytes[..]).unwrap();
    let mut recording = Recording::new();
    while let Some(entry) = reader.next().unwrap() {
        match entry {
            Entry::Began { stream, first, .. } => {
                recording.begin((**stream).clone(), first, 1).unwrap();
            }
            Entry::Message { id, message, .. } => {
                let received_at = time(message.sequence);
                let sent_at = None;
                let bytes = [message.bytes, &vec![0; more(message.sequence)]].concat();
                let message = Recorded { received_at, sent_at, bytes: &bytes, ..message };
                recording.message(id, &message).unwrap();
            }
            _ => {}
        }
    }
    fs::write(file, recording.finish().0).unwrap();
}

#[test]
fn a_clock_that_was_set_holds_up_no_replay() {
    const DAY: u64 = 86_400_000_000_000;
    let world = recorded("2000");
    let sent = |arguments: &[&str]| {
        let again = recorder(&world, "again.mcap");
        let ended = replay(&world, arguments);
        assert_eq!((ended.code, again.ended().code), (Some(0), Some(0)), "{}", ended.err);
        fs::remove_file(path(&world, "again.mcap")).unwrap();
        let line = ended.err.lines().last().unwrap();
        line.strip_suffix(" messages sent as node `one`").unwrap().parse::<u64>().unwrap()
    };
    changed(&world, |number| if number < 500 { 2 * DAY } else { DAY }, |_| 0);
    assert_eq!(sent(&["--speed", "1"]), 2000);
    assert_eq!(sent(&["--speed", "1", "--from", "1ns"]), 0);
    assert_eq!(sent(&["--speed", "max", "--until", "1s"]), 2000);
    changed(&world, |number| if number < 500 { 5 } else { u64::MAX }, |_| 0);
    assert_eq!(sent(&["--speed", "max"]), 2000);
    assert_eq!(sent(&["--speed", "1", "--until", "1h"]), 500);
    assert_eq!(sent(&["--speed", "max", "--from", "1h"]), 1500);
}

#[test]
fn what_does_not_fit_is_named_before_anything_is_sent() {
    let world = recorded("2000");
    let error = |arguments: &[&str], code| replay(&world, arguments).expect_failure(code);
    let text = error(&["--node", "two"], 2);
    assert_eq!(text, "error: day.mcap has no messages of node `two`, only of `one`\n");
    let text = error(&["--topics", "totals,ticks"], 2);
    let expected = "day.mcap has no topic `totals` of node `one`: expected one of `ticks`";
    assert!(text.contains(expected), "{text}");
    let text = error(&["--speed", "0"], 2);
    assert!(text.contains("expected 0.001 to 1000000, or `max`"), "{text}");
    let fixed = ["replay", "day.mcap", "--into", "app.toml"];
    let text = world.run(&fixed).expect_failure(2);
    assert!(text.contains("app.toml: no program is given"), "{text}");
    let text = world.run(&[&fixed[..], &["--", "./none", "{node}"]].concat()).expect_failure(3);
    assert!(text.contains("node `one` runs `./none"), "{text}");

    world.write("[node.other]\nservices = [\"Feed\"]\n");
    let text = error(&[], 2);
    assert!(
        text.contains("app.toml has none of the nodes of which day.mcap has messages: `one`"),
        "{text}"
    );
    world.write("[node.one]\nservices = [\"Keeper\"]\n[node.other]\nservices = [\"Feed\"]\n");
    let text = error(&["--speed", "max"], 1);
    assert!(text.contains("from service `Feed`, which node `one` does not have"), "{text}");

    world.write(FEED);
    changed(&world, |_| 1, |number| if number == 1999 { 100 } else { 0 });
    let text = error(&["--speed", "max"], 1);
    let expected = "error: day.mcap: topic `ticks`, message 1999: expected 24 bytes, found 124\n";
    assert_eq!(text, expected);
    let bytes = fs::read(path(&world, "day.mcap")).unwrap();
    let mut damaged = bytes.clone();
    damaged[bytes.len() / 2] ^= 1;
    fs::write(path(&world, "day.mcap"), damaged).unwrap();
    let text = error(&[], 1);
    assert!(text.starts_with("error: day.mcap: "), "{text}");
    fs::write(path(&world, "day.mcap"), "none").unwrap();
    let text = error(&[], 2);
    assert!(text.starts_with("error: day.mcap: expected an MCAP file"), "{text}");
}
