//! Programs that the file's commands start, and programs that do not describe themselves.

use std::fs;
use std::path::Path;

use super::{check, check_text, directory, program, write};
use crate::roles::source;

/// Waits until no process with this id runs: a killed process ends only when it is scheduled, and
/// may be reaped later.
fn wait_for_the_end(pid: &str) {
    let status = Path::new("/proc").join(pid).join("status");
    while fs::read_to_string(&status).is_ok_and(|status| !status.contains("State:\tZ")) {
        std::thread::yield_now();
    }
}

#[test]
fn commands_of_the_file_run_once_each_in_its_directory() {
    let directory = directory();
    let commands = "echo \"$PWD $*\" >> runs\necho a line of a log\ncat description.json";
    program(directory.path(), "app", commands);
    let text = "[bundle]\ncommand = [\"./app\", \"all\"]\n[node.collector]\nservices = \
                [\"PolygonAdapter\"]\n[node.detector]\nservices = [\"MetadataService\", \
                \"ArbitrageDetector\"]\n[node.writer]\nservices = [\"SignalWriter\"]\ncommand = \
                [\"./app\", \"{node}\", \"{topology}\"]\n";
    fs::create_dir(directory.path().join("inner")).unwrap();
    write(directory.path(), "t.toml", text);
    let path = directory.path().join("t.toml");
    check(&directory.path().join("inner"), &["../t.toml"]).expect_success();
    let root = directory.path().canonicalize().unwrap();
    let runs = fs::read_to_string(directory.path().join("runs")).unwrap();
    let runs: Vec<&str> = runs.lines().collect();
    assert_eq!(runs.len(), 2, "{runs:?}");
    assert_eq!(runs[0], format!("{} all --describe", root.display()));
    assert!(runs[1].contains("app writer ") || runs[1].contains(" writer "), "{runs:?}");
    assert!(runs[1].ends_with("t.toml --describe"), "{runs:?} {}", path.display());
}

#[test]
fn arenas_are_listed_and_checked() {
    let directory = directory();
    write(directory.path(), "feed.json", &source::describe());
    let checked = |arena: &str| {
        let text = format!(
            "[node.feed]\nservices = [\"Source\", \"Store\"]\ndescription = \
             \"feed.json\"\n{arena}"
        );
        check_text(directory.path(), &text, &[])
    };
    for (arena, bytes) in [("", 4 << 20), ("[topic.any-shape]\narena = \"8 MiB\"", 8 << 20)] {
        let out = checked(arena).expect_success();
        assert!(out.contains("any-shape: AnyShape (id 3, at most 1048576 bytes)"), "{out}");
        assert!(out.contains(&format!("rings feed 1 x 1024 x 64 + {bytes} bytes")), "{out}");
    }
    let errors = checked("[topic.any-shape]\narena = \"1 MiB\"").expect_failure(1);
    assert!(errors.contains("t.toml:5:9: topic `any-shape` carries `AnyShape`"), "{errors}");
    assert!(errors.contains("at least 2097152 bytes, found 1048576 [M0123]"), "{errors}");
}

#[test]
fn a_node_of_another_program_needs_its_description_alone() {
    let directory = directory();
    let text = "[node.collector]\nservices = [\"PolygonAdapter\"]\ncommand = [\"./bandit\"]\n\
                [node.detector]\nservices = [\"MetadataService\", \"ArbitrageDetector\"]\n\
                description = \"description.json\"\n[node.writer]\nservices = [\"SignalWriter\"]\n\
                description = \"description.json\"\n";
    let out = check_text(directory.path(), text, &[]).expect_success();
    assert!(out.contains("3 nodes, 4 services, 3 topics, 2 links; no mistake found"), "{out}");
    assert!(out.contains("node collector: ./bandit"), "{out}");
    assert!(out.contains("node writer: (described)"), "{out}");
}

#[test]
fn programs_that_do_not_describe_themselves() {
    let directory = directory();
    let at = directory.path();
    let newer = "echo '{\"mycelium_description\":7}'";
    let damaged = "head -c 700 description.json";
    let nothing = "it printed nothing: expected a description in one line of JSON; call \
                   `Builder::describe_on_request` before the program does anything else";
    let other = "it printed `Listening at :80`: expected a description in one line of JSON";
    let says = "it exited with 3: expected code 0 and a description; it says:\n  no such file\n";
    let version = "the description has version 7, and this program reads versions up to 1: \
                   expected a program with the same version of `mycelium`, or an older one [M0135]";
    let late = "it did not end within 1s: expected a description in one line of JSON, as \
                `Builder::describe_on_request` prints it (`--timeout` sets the limit)";
    for (commands, expected) in [
        ("exit 0", nothing),
        ("echo; echo 'Listening at :80'", other),
        ("printf '\\033[2J'; echo hello", "it printed `\\u{1b}[2Jhello`: expected"),
        ("echo 'no such file' >&2; exit 3", says),
        ("cat description.json; exit 1", "it exited with 1: expected code 0 and a description"),
        ("kill -9 $$", "signal 9 ended it: expected code 0 and a description"),
        (newer, version),
        (damaged, "the description is damaged at 1:700: EOF while parsing"),
        ("yes", "it printed more than 16777216 bytes: expected a description in one line of JSON"),
        ("yes >&2", "it did not end within 1s: expected a description in one line of JSON"),
        ("exec sleep 1000", late),
    ] {
        program(at, "app", commands);
        let limit = if expected.starts_with("it did not end") { "1s" } else { "60s" };
        let arguments = ["bandit.toml", "--timeout", limit, "--", "./app", "run it", "{node}"];
        let error = check(at, &arguments).expect_failure(3);
        let start = "error: node `main` runs `./app 'run it' main --describe`: ";
        let error = error.strip_prefix(start).unwrap_or_else(|| panic!("{error}"));
        assert!(error.starts_with(expected), "{commands}\n{error}\n{expected}");
    }
    write(at, "text", "no program");
    for (program, expected) in [
        ("./none", "it cannot be started: No such file or directory"),
        ("./text", "it cannot be started: Permission denied"),
        ("mycelium-has-no-such-program", "it cannot be started: No such file or directory"),
    ] {
        let error = check(at, &["bandit.toml", "--", program]).expect_failure(3);
        assert!(error.contains(expected), "{error}");
    }
    // The error has the place of the command in the file.
    let error = check_text(at, "[node.main]\ncommand = [\"./none\"]\n", &[]).expect_failure(3);
    assert!(error.starts_with("error: "), "{error}");
    assert!(error.contains("t.toml:2:12: node `main` runs `./none --describe`: "), "{error}");
}

/// A program that hangs has started another program, which ignores all signals that it can.
#[test]
fn nothing_of_a_program_is_left() {
    let directory = directory();
    let other = "(trap '' TERM INT HUP PIPE; echo $$ >> pids; exec sleep 1000) &";
    for end in ["sleep 1000", "cat description.json"] {
        let commands = format!("{other}\necho $! > child\necho $$ > pids\n{end}");
        program(directory.path(), "app", &commands);
        let output = check(directory.path(), &["bandit.toml", "--timeout", "3s", "--", "./app"]);
        let expected = if end == "sleep 1000" { 3 } else { 0 };
        assert_eq!(output.code, Some(expected), "{output:?}");
        for file in ["pids", "child"] {
            let pids = fs::read_to_string(directory.path().join(file)).unwrap();
            assert!(!pids.is_empty());
            pids.split_whitespace().for_each(wait_for_the_end);
        }
    }
}
