//! `mycelium record`, `info` and `verify` as processes, with nodes in processes that are killed.

use std::fs::{self, OpenOptions};
use std::io::Read;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use portable_pty::CommandBuilder;
use rustix::process::{Signal, kill_process};
use serde_json::Value;

use crate::common::{Ended, Process, kill, ticks};
use crate::tap::process::feed;
use crate::top::terminal::Terminal;
use crate::world::{PATIENCE, World, now};

/// A node that others may read, whose display misses some.
const TICKS: &str = "[node.one]\nservices = [\"Feed\", \"Keeper\", \"Display\"]\nobservers = true\n\
                     [subscription.\"Display.ticks\"]\npolicy = \"drop-oldest\"\n";
/// A publisher that no other service reads.
const ALONE: &str = "[node.feed]\nservices = [\"Source\"]\nobservers = true\n";

/// What `info` says of a file.
struct Info {
    ended: Ended,
    rows: Vec<Value>,
}

impl Info {
    /// Returns the rows of a topic.
    fn of(&self, topic: &str) -> Vec<&Value> {
        self.rows.iter().filter(|row| row["topic"] == topic).collect()
    }

    #[track_caller]
    fn adds_up(&self) {
        for row in &self.rows {
            let sum = number(row, "first") + number(row, "recorded") + number(row, "missed");
            assert_eq!(sum, number(row, "next"), "{row}");
        }
    }
}

fn number(row: &Value, name: &str) -> u64 {
    row[name].as_u64().unwrap_or_else(|| panic!("{name}: {row}"))
}

impl World {
    fn path(&self, name: &str) -> PathBuf {
        self.file().with_file_name(name)
    }

    /// Starts the node of `examples/ticks`.
    fn ticks(&self, args: &[&str]) -> Process {
        let mut command = Command::new(ticks());
        command.args([&["one", "app.toml"], args].concat()).current_dir(self.path("."));
        command.env("XDG_RUNTIME_DIR", self.runtime()).stdin(Stdio::null()).stderr(Stdio::null());
        let node = Process::run(&mut command);
        let socket = self.sockets().join("one.sock");
        until("the node listens", || socket.exists());
        node
    }

    fn record(&self, args: &[&str]) -> Process {
        self.start(&[&["record"], args].concat())
    }

    #[track_caller]
    fn info(&self, file: &str) -> Info {
        let ended = self.run(&["info", file, "-o", "json"]);
        let rows = serde_json::from_str(&ended.out).unwrap_or_default();
        let info = Info { ended, rows };
        info.adds_up();
        info
    }

    /// Returns what `info` says of a whole file.
    #[track_caller]
    fn whole(&self, file: &str) -> Info {
        let info = self.info(file);
        assert_eq!((info.ended.code, &*info.ended.err), (Some(0), ""));
        info
    }

    /// Waits until what the file has so far is as expected.
    #[track_caller]
    fn until_recorded(&self, file: &str, is_so: impl Fn(&Info) -> bool) {
        until("the recording", || self.path(file).exists() && is_so(&self.info(file)));
    }
}

#[track_caller]
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = now();
    while !holds() {
        assert!(begin.elapsed() < PATIENCE, "never: {what}");
        // Leaves the processors to the tests that measure.
        assert!(Command::new("sleep").arg("0.02").status().unwrap().success());
    }
}

/// Returns the last line of a recording that has ended in order.
#[track_caller]
fn ended(record: Process) -> String {
    let Ended { code, out, err } = record.ended();
    assert_eq!((code, &*out), (Some(0), ""), "{err}");
    err
}

#[test]
fn all_topics_of_a_node_are_recorded_and_add_up() {
    let world = World::new();
    world.write(TICKS);
    let node = world.ticks(&[]);
    let record = world.record(&["-o", "day.mcap", "--until-end"]);
    world.until_recorded("day.mcap", |info| {
        info.of("totals").iter().any(|row| number(row, "recorded") > 1)
    });
    kill(node.pid(), Signal::TERM);
    let line = ended(record);
    let info = world.whole("day.mcap");
    let (ticks, totals) = (info.of("ticks"), info.of("totals"));
    assert_eq!((ticks.len(), totals.len(), info.rows.len()), (1, 1, 2), "{:?}", info.rows);
    for row in &info.rows {
        assert_eq!((&row["end"], &row["node"]), (&"ended".into(), &"one".into()), "{row}");
        assert!(row["first_at"].as_str() <= row["last_at"].as_str());
    }
    assert_eq!(number(ticks[0], "bytes"), 24 * number(ticks[0], "recorded"));
    let messages = number(ticks[0], "recorded") + number(totals[0], "recorded");
    let sums = format!("{messages} messages of 2 topics, 0 gaps, 0 missed");
    assert!(line.starts_with(&sums) && line.ends_with(" MiB in day.mcap\n"), "{line}");
    let text = world.run(&["info", "day.mcap"]).expect_success();
    assert!(text.contains(&format!("day.mcap: whole, and all counts add up: {sums}\n")), "{text}");
}

#[test]
fn a_signal_ends_the_file_in_order() {
    let (world, mut node) = feed(ALONE);
    for (signal, file) in [(Signal::INT, "int.mcap"), (Signal::TERM, "term.mcap")] {
        let record = world.record(&["swaps", "-o", file]);
        world.until_recorded(file, |info| info.rows.len() == 1);
        node.emit(1000);
        world.until_recorded(file, |info| number(&info.rows[0], "recorded") == 1000);
        kill(record.pid(), signal);
        let expected = "1000 messages of 1 topic, 0 gaps, 0 missed, 0.1 MiB in ";
        assert_eq!(ended(record), format!("{expected}{file}\n"));
        assert_eq!(world.whole(file).rows[0]["end"], "open");
    }
}

#[test]
fn a_signal_at_any_moment_of_the_start_ends_the_tool() {
    let (world, _node) = feed(ALONE);
    for start in 0..120 {
        let record = world.record(&["swaps", "-o", "day.mcap", "--force"]);
        // The tool needs some milliseconds until it handles signals.
        let begin = now();
        while begin.elapsed() < Duration::from_micros(100 * start) {}
        kill(record.pid(), Signal::TERM);
        let Ended { code, err, .. } = record.ended();
        assert!(matches!(code, Some(0) | None), "{start}: {err}");
    }
}

#[test]
fn a_terminal_shows_the_progress() {
    let (world, mut node) = feed(ALONE);
    let tool = world.tool(&["record", "swaps", "-o", "day.mcap"]);
    let mut command = CommandBuilder::new(tool.get_program());
    command.args(tool.get_args());
    command.cwd(world.path("."));
    command.env("XDG_RUNTIME_DIR", world.runtime());
    let mut terminal = Terminal::run(command, (24, 100));
    terminal.until(|text| text.starts_with("0 messages of 1 topic, 0 gaps, 0 missed, "));
    node.emit(7);
    terminal.until(|text| text.trim_end() == "7 messages of 1 topic, 0 gaps, 0 missed, 0.0 MiB");
    kill_process(terminal.pid(), Signal::INT).unwrap();
    let expected = "7 messages of 1 topic, 0 gaps, 0 missed, 0.0 MiB in day.mcap";
    assert!(terminal.wait().success());
    terminal.until(|text| text.trim_end() == expected);
}

#[test]
fn a_recorder_that_is_killed_leaves_a_file_up_to_its_last_chunk() {
    let (world, mut node) = feed(ALONE);
    for round in 0..10_u64 {
        let mut record = world.record(&["swaps", "-o", "day.mcap", "--force"]);
        // At some moment of the writes of a chunk.
        let length = 1 + round * 234_567;
        let size = || fs::metadata(world.path("day.mcap")).map_or(0, |file| file.len());
        until("it has written", || {
            node.emit(2000);
            size() > length
        });
        record.kill();
        let info = world.info("day.mcap");
        assert_eq!(info.ended.code, Some(1));
        let error = &info.ended.err;
        assert!(error.starts_with("error: day.mcap: cut off: "), "{error}");
        let whole = error.split(' ').nth(4).unwrap().parse::<u64>().unwrap();
        assert!(whole <= size() && size() - whole < 8 << 20, "{error}");
        assert!(round < 8 || !info.of("swaps").is_empty(), "{error}");
    }
}

/// What a recorder says that is waited for.
const KEPT: &str = "publishers keep what is not in the file, and wait for the next `record`\n";

/// Returns the files of a recorder and its next processes.
fn parts(world: &World) -> Vec<String> {
    let name = |part| if part == 0 { "day.mcap".to_owned() } else { format!("day.{part}.mcap") };
    (0..).map(name).take_while(|name| world.path(name).exists()).collect()
}

#[test]
fn the_recorder_of_a_topology_misses_nothing_though_it_is_killed_or_its_disk_is_full() {
    let world = World::new();
    world.write(
        "[node.one]\nservices = [\"Feed\"]\n[node.recorder]\nservices = [\"Recorder\"]\n\
         [topic.ticks]\ncapacity = 64\n[recorder]\ntopics = [\"ticks\", \"totals\"]\n",
    );
    // The recorder is there first, and waits for the node.
    let args = ["-o", "day.mcap", "--topology", "app.toml", "--until-end"];
    let mut record = world.record(&args);
    let kills = std::env::var("RECORDER_KILLS").map_or(10, |kills| kills.parse().unwrap());
    let count = &*(kills * 30_000).to_string();
    let mut node = world.ticks(&["--count", count]);
    for round in 0..kills {
        let last = parts(&world).pop().unwrap_or_else(|| "day.mcap".to_owned());
        let size = || fs::metadata(world.path(&last)).map_or(0, |file| file.len());
        until("it has written", || size() > 1_000 + round % 10 * 33_333);
        match round % 4 {
            0 | 2 => record.kill(),
            1 => {
                let signal = [Signal::TERM, Signal::INT][round as usize / 4 % 2];
                kill(record.pid(), signal);
                let Ended { code, out, err } = record.ended();
                assert_eq!((code, &*out, err.ends_with(KEPT)), (None, "", true), "{err}");
            }
            _ => assert!(record.ended().expect(3).err.contains(KEPT)),
        }
        record = match round % 4 {
            2 => {
                let mut limited = world.limited("-f 1024", &[&["record"], &args[..]].concat());
                Process::run(limited.stderr(Stdio::piped()))
            }
            _ => world.record(&args),
        };
        until("its next process has a file", || {
            !parts(&world).contains(&last) || parts(&world).last() != Some(&last)
        });
    }
    assert_eq!(node.until("sent"), format!("sent {count}"));
    kill(node.pid(), Signal::TERM);
    assert_eq!(node.ended().code, Some(0));
    let line = ended(record);
    assert!(line.contains(" 0 gaps, 0 missed, "), "{line}");
    // Each file goes on where the last one ended, or before.
    let mut next = 0;
    let parts = parts(&world);
    assert!(parts.len() as u64 > kills, "{parts:?}");
    for part in &parts {
        let info = world.info(part);
        for row in info.of("ticks") {
            assert!(number(row, "first") <= next, "{part}: {row}, after {next}");
            assert_eq!((number(row, "missed"), number(row, "gaps")), (0, 0), "{part}: {row}");
            next = next.max(number(row, "next"));
        }
    }
    assert_eq!(next.to_string(), count);
    let last = world.whole(parts.last().unwrap());
    assert_eq!(last.of("ticks").last().unwrap()["end"], "ended");
    // The package of others reads the same.
    if let Ok(python) = std::env::var("MCAP_PYTHON") {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/recorded.py");
        let files = parts.iter().map(|part| world.path(part));
        let read = Command::new(python).arg(script).args(files).output().unwrap();
        let read = Ended::of(&read);
        assert_eq!((read.out.trim(), &*read.err), (count, ""));
    }
}

#[test]
fn a_node_that_is_killed_and_started_again_is_two_epochs() {
    let world = World::new();
    world.write(TICKS);
    let mut node = world.ticks(&[]);
    let record = world.record(&["ticks", "-o", "day.mcap"]);
    world.until_recorded("day.mcap", |info| info.of("ticks").len() == 1);
    node.kill();
    let _node = world.ticks(&[]);
    world.until_recorded("day.mcap", |info| {
        info.of("ticks").get(1).is_some_and(|row| number(row, "recorded") > 10)
    });
    kill(record.pid(), Signal::TERM);
    let line = ended(record);
    let info = world.whole("day.mcap");
    let rows = info.of("ticks");
    assert_eq!(rows.len(), 2);
    assert_ne!(rows[0]["epoch"], rows[1]["epoch"]);
    assert_eq!((&rows[0]["end"], &rows[1]["end"]), (&"lost".into(), &"open".into()));
    assert!(line.contains(", 1 publisher lost with an unknown number of messages, "), "{line}");
}

#[test]
fn a_full_disk_is_an_error_that_names_the_file() {
    let (world, mut node) = feed(ALONE);
    let full = world.record(&["swaps", "-o", "/dev/full", "--force"]);
    let errors = full.ended().expect(3).err;
    assert!(errors.contains("error: /dev/full: No space left on device"), "{errors}");

    // A limit on the size of files.
    let args = ["record", "swaps", "-o", "day.mcap"];
    let mut limited = world.limited("-f 4096", &args);
    let record = Process::run(limited.stderr(Stdio::piped()));
    world.until_recorded("day.mcap", |info| info.rows.len() == 1);
    node.emit(1_000_000);
    let errors = record.ended().expect(3).err;
    let expected = "error: day.mcap: File too large (os error 27); the file is readable up to its \
                    last whole chunk: `mycelium info` shows it\n";
    assert!(errors.ends_with(expected), "{errors}");
    let info = world.info("day.mcap");
    assert!(info.ended.err.contains("day.mcap: cut off: "), "{}", info.ended.err);
    assert!(number(&info.rows[0], "recorded") > 1000, "{:?}", info.rows);
}

#[test]
fn a_slow_disk_makes_gaps_and_holds_up_nobody() {
    const COUNT: u64 = 2_000_000;
    let (world, mut node) = feed(ALONE);
    let pipe = world.gate("pipe.mcap");
    let record = world.record(&["swaps", "-o", "pipe.mcap", "--force", "--until-end"]);
    let mut reader = OpenOptions::new().read(true).open(&pipe).unwrap();
    let mut file = vec![0; 1000];
    // The recorder has begun to write.
    reader.read_exact(&mut file[..1]).unwrap();
    until("it reads", || {
        node.emit(1);
        reader.read_exact(&mut file[1..500]).is_ok()
    });
    file.truncate(500);
    node.emit(COUNT);
    assert_eq!(node.waited(), 0);
    let resident = || {
        let status = fs::read_to_string(format!("/proc/{}/status", record.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap().trim();
        line.trim_end_matches(" kB").parse::<u64>().unwrap()
    };
    assert!(resident() < 100 << 10, "{} KiB", resident());
    let rest = thread::spawn(move || {
        let mut rest = Vec::new();
        reader.read_to_end(&mut rest).unwrap();
        rest
    });
    node.end();
    let line = ended(record);
    file.extend(rest.join().unwrap());
    fs::write(world.path("day.mcap"), file).unwrap();
    let info = world.whole("day.mcap");
    let row = &info.rows[0];
    assert!(number(row, "missed") > 0, "{row} {line}");
    // The node does not wait long for a reader at its end.
    assert!(row["end"] != "ended" || number(row, "next") > COUNT, "{row}");
}

#[test]
fn a_recording_is_split_into_files_that_continue_each_other() {
    let (world, mut node) = feed(ALONE);
    let record = world.record(&["swaps", "-o", "day.mcap", "--split", "64KiB", "--json"]);
    world.until_recorded("day.mcap", |info| info.rows.len() == 1);
    // Less than a part at once.
    for count in 1..=20 {
        node.emit(500);
        let parts = |file: &PathBuf| file.file_name().unwrap().to_string_lossy().starts_with("day");
        until("it is written", || {
            let files = fs::read_dir(world.path(".")).unwrap().flatten().map(|file| file.path());
            let files: Vec<_> = files.filter(parts).collect();
            let recorded = files.iter().map(|file| {
                let info = world.info(file.to_str().unwrap());
                info.rows.first().map_or(0, |row| number(row, "recorded"))
            });
            recorded.sum::<u64>() == 500 * count
        });
    }
    kill(record.pid(), Signal::TERM);
    let line = ended(record);
    let (mut next, mut parts) = (0, 0);
    loop {
        let name = if parts == 0 { "day.mcap".to_owned() } else { format!("day.{parts}.mcap") };
        if !world.path(&name).exists() {
            break;
        }
        let info = world.whole(&name);
        let row = &info.rows[0];
        assert_eq!((info.rows.len(), number(row, "first")), (1, next), "{row}");
        next = number(row, "next");
        parts += 1;
    }
    assert_eq!(next, 10_000);
    assert!(parts > 5, "{parts}");
    let expected = format!(" MiB in day.mcap and {} more files\n", parts - 1);
    assert!(line.starts_with("10000 messages of 1 topic, 0 gaps, 0 missed"), "{line}");
    assert!(line.ends_with(&expected), "{line}");
    let bytes = fs::read(world.path("day.mcap")).unwrap();
    let has = |text: &[u8]| bytes.windows(text.len()).any(|part| part == text);
    assert!(has(b"swaps (fields)") && has(br#"{"number":7,"size":70}"#));
    let refused = world.run(&["record", "-o", "day.mcap", "--split", "1MiB"]).expect_failure(2);
    assert_eq!(refused, "error: day.mcap exists: use `--force` to replace it\n");
    let refused = world.run(&["record", "-o", "."]).expect_failure(2);
    assert_eq!(refused, "error: . is a directory: expected the path of a file\n");
}

/// Records the topics of a node that gets these commands.
fn recorded(name: &str, commands: &[&str]) -> (World, PathBuf) {
    let (world, mut node) = feed(ALONE);
    let record = world.record(&["swaps", "any-shape", "-o", name, "--until-end"]);
    world.until_recorded(name, |info| info.rows.len() == 2);
    for command in commands {
        node.send(command);
        node.until("emitted ");
    }
    node.end();
    ended(record);
    let path = world.path(name);
    (world, path)
}

#[test]
fn verify_names_the_first_message_that_differs() {
    let (world, first) = recorded("first.mcap", &["emit 100", "any 5", "any 7", "emit 100"]);
    let (_other, second) = recorded("second.mcap", &["any 5", "any 7", "emit 200"]);
    let (_more, third) = recorded("third.mcap", &["emit 200", "any 5", "any 8", "any 7"]);
    let verify = |second: &PathBuf| {
        let paths = [first.to_str().unwrap(), second.to_str().unwrap()];
        world.run(&[&["verify"], &paths[..]].concat())
    };
    let equal = verify(&second).expect_success();
    assert_eq!(equal, "equal: 202 messages of 2 topics, 0 gaps, 0 missed\n");
    let found = verify(&third).expect_failure(1);
    let text = |length: usize| format!("{:?}", "\"".repeat(length));
    let expected = format!(
        " differ: topic `any-shape`, publisher `Source`, message 1: `text` is {} in the first, {} \
         in the second\n",
        text(7),
        text(8)
    );
    assert!(found.starts_with("error: ") && found.ends_with(&expected), "{found}");
}

#[test]
fn damaged_and_other_files_are_errors() {
    let (world, path) = recorded("day.mcap", &["emit 1000", "any 5"]);
    let file = fs::read(&path).unwrap();
    for place in (20..file.len()).step_by(997) {
        let mut damaged = file.clone();
        damaged[place] ^= 1;
        fs::write(world.path("damaged.mcap"), damaged).unwrap();
        let info = world.info("damaged.mcap");
        assert!(matches!(info.ended.code, Some(1 | 2)), "{place}: {}", info.ended.err);
        assert!(info.ended.err.starts_with("error: damaged.mcap: "), "{}", info.ended.err);
        let verified = world.run(&["verify", "day.mcap", "damaged.mcap"]);
        assert!(matches!(verified.code, Some(1 | 2)), "{place}: {}", verified.err);
    }
    fs::write(world.path("cut.mcap"), &file[..file.len() - 100]).unwrap();
    let cut = world.info("cut.mcap");
    assert_eq!((cut.ended.code, cut.rows.len()), (Some(1), 2));
    let verified = world.run(&["verify", "day.mcap", "cut.mcap"]).expect_failure(1);
    assert!(verified.contains(" differ: the second is cut off at byte "), "{verified}");

    fs::write(world.path("text.mcap"), "no recording").unwrap();
    let expected = "error: text.mcap: expected an MCAP file, found other bytes at its beginning\n";
    assert_eq!(world.run(&["info", "text.mcap"]).expect_failure(2), expected);
    assert_eq!(world.run(&["verify", "text.mcap", "day.mcap"]).expect_failure(2), expected);
    let missing = world.run(&["info", "no.mcap"]).expect_failure(2);
    assert_eq!(missing, "error: no.mcap: No such file or directory (os error 2)\n");
}

#[test]
fn mistakes_of_the_command_line_create_no_file() {
    let (world, _node) = feed(
        "[node.feed]\nservices = [\"Source\", \"Store\"]\nobservers = true\n\
         [node.viewer]\nservices = []\n",
    );
    let record = |args: &[&str]| world.run(&[&["record", "-o", "day.mcap"], args].concat());
    let errors = record(&["swap"]).expect_failure(3);
    assert!(errors.contains("no topic `swap`: did you mean `swaps`?"), "{errors}");
    let errors = record(&["swaps", "--node", "far"]).expect_failure(3);
    assert!(errors.contains("no socket of node `far`"), "{errors}");
    let errors = record(&["--split", "1KiB"]).expect_failure(2);
    assert!(errors.contains("expected at least 64 KiB, such as `512MiB` or `2GB`"), "{errors}");
    let own = ["--topology", "app.toml", "--node", "feed", "--as", "viewer"];
    assert!(!world.path("day.mcap").exists());
    let both = ["swaps", "any-shape", "--for", "100ms"];
    let line = record(&[&both[..], &own[..]].concat()).expect(0).err;
    assert!(line.ends_with(" in day.mcap\n"), "{line}");
    let errors = record(&["swaps"]).expect_failure(2);
    assert_eq!(errors, "error: day.mcap exists: use `--force` to replace it\n");
}
