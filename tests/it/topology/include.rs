//! Files that include others.

use std::fs;
#[cfg(unix)]
use std::process::Command;

use mycelium::Topology;
use mycelium::error::Code;

use crate::running::Says;
use crate::topology::{Files, nodes, without_code};

/// Returns the error of a file, without the directory.
fn error_of(files: &Files, name: &str) -> String {
    files.text_of(files.load(name).expect_err(name))
}

#[test]
fn the_including_file_takes_precedence_key_by_key() {
    let common = "[node.a]\nshutdown = \"soon\"\nmemory = \"1 MiB\"\n[topic.t]\non_stall = \"block\"\n\
                  capacity = 3\n";
    let app = "include = [\"common.toml\"]\n[node.a]\nshutdown = \"1s\"\n[topic.t]\n\
               on_stall = { evict_after = \"1s\" }\n";
    let files = Files::new("wins", &[("common.toml", common), ("app.toml", app)]);
    error_of(&files, "app.toml")
        .says("common.toml:6:12: invalid capacity 3: expected a power of two from 2 to 1073741824");
    files.write("app.toml", format!("{app}capacity = 4\n"));
    files.load("app.toml").unwrap();
}

#[test]
fn two_files_that_do_not_include_each_other_must_not_set_the_same_key() {
    let files = Files::new(
        "both",
        &[
            ("app.toml", "include = [\"one.toml\", \"two.toml\"]\n"),
            ("one.toml", "[link.default]\nretry = \"1ms\"\nsilence = \"20s\"\n"),
            ("two.toml", "[link.default]\nsilence = \"30s\"\n"),
        ],
    );
    error_of(&files, "app.toml").says(
        "two.toml:2:1: `link.default.silence` is also set at one.toml:3:1, and neither of the two \
         files includes the other: set it in one of them, or in a file that includes both",
    );
    // The including file takes precedence over both included files.
    let text = "include = [\"one.toml\", \"two.toml\"]\nlink.default.silence = \"15s\"\n";
    files.write("app.toml", text);
    files.load("app.toml").unwrap();
    // If one of the two includes the other, it takes precedence, in any order.
    let text = "include = [\"one.toml\"]\n[link.default]\nsilence = \"30s\"\n";
    files.write("two.toml", text);
    for order in ["\"one.toml\", \"two.toml\"", "\"two.toml\", \"one.toml\""] {
        files.write("app.toml", format!("include = [{order}]\n"));
        files.load("app.toml").unwrap();
    }
}

#[test]
fn an_error_names_the_file_that_holds_the_mistake() {
    let files = Files::new(
        "place",
        &[
            ("app.toml", "# the root\ninclude = [\"sub/a.toml\"]\n[node.a]\nservices = [\"A\"]\n"),
            ("sub/a.toml", "[node.b]\nservices = [\"B\",\n \"A\"]\n"),
            ("key.toml", "include = [\"sub/key.toml\"]\n"),
            ("sub/key.toml", "nodes.b = 1\n"),
            ("toml.toml", "include = [\"sub/toml.toml\"]\n"),
            ("sub/toml.toml", "[node.b]\nservices = \n"),
            ("variable.toml", "include = [\"sub/variable.toml\"]\n"),
            ("sub/variable.toml", "[node.b]\nport = \"${NONE}\"\n"),
        ],
    );
    let error = files.load("app.toml").unwrap_err();
    assert_eq!(error.code(), Code::PLACED_TWICE);
    assert_eq!((error.file(), error.line()), (&*files.path("sub/a.toml"), 3));
    error_of(&files, "app.toml").says(
        "sub/a.toml:3:2: service `A` is placed twice: first in node `a`; expected one place for \
         each service",
    );
    error_of(&files, "key.toml").says(
        "sub/key.toml:1:1: unknown key `nodes`: did you mean `node`? (expected one of: host, tls, \
         telemetry, bundle, node, service, supervisor, topic, subscription, link, engine, recorder, legacy)",
    );
    error_of(&files, "toml.toml").begins("sub/toml.toml:2:");
    error_of(&files, "variable.toml").begins("sub/variable.toml:2:8: the environment has");
}

#[test]
fn files_that_cannot_be_included_are_errors_with_the_place_of_the_include() {
    let deep = |number: usize| format!("include = [\"{}.toml\"]\n", number + 1);
    let deep: Vec<_> = (0..10).map(|number| (format!("{number}.toml"), deep(number))).collect();
    let mut all: Vec<_> = deep.iter().map(|(name, text)| (&**name, &**text)).collect();
    let large = format!("#{}\n", "x".repeat(16 << 20));
    all.extend([
        ("missing.toml", "include = [\n  \"sub/none.toml\",\n]\n"),
        ("sub/self.toml", "include = [\"self.toml\"]\n"),
        ("circle.toml", "include = [\"sub/back.toml\"]\n"),
        ("sub/back.toml", "\ninclude = [\"../circle.toml\"]\n"),
        ("to-large.toml", "include = [\"large.toml\"]\n"),
        ("large.toml", &large),
        ("text.toml", "include = \"common.toml\"\n"),
        ("empty.toml", "include = [\"\"]\n"),
        ("section.toml", "[node.a]\ninclude = [\"common.toml\"]\n"),
    ]);
    let files = Files::new("refused", &all);
    let too_large =
        "a topology and the files that it includes may have 16 MiB, and these have more";
    let invalid = "invalid include: expected a list of files, such as [\"common.toml\"]";
    for (name, expected) in [
        ("missing.toml", "missing.toml:2:3: cannot include `sub/none.toml`: No such file or directory (os error 2)".to_owned()),
        ("sub/self.toml", "sub/self.toml:1:12: cannot include `self.toml`: files include each other: sub/self.toml -> sub/self.toml".to_owned()),
        ("circle.toml", "sub/back.toml:2:12: cannot include `../circle.toml`: files include each other: circle.toml -> sub/back.toml -> sub/../circle.toml".to_owned()),
        ("0.toml", "8.toml:1:12: cannot include `9.toml`: expected at most 8 files that include the next one".to_owned()),
        ("to-large.toml", format!("to-large.toml:1:12: cannot include `large.toml`: {too_large}")),
        ("large.toml", format!("large.toml: cannot read the topology: {too_large}")),
        ("text.toml", format!("text.toml:1:11: {invalid}")),
        ("empty.toml", format!("empty.toml:1:12: {invalid}")),
        ("section.toml", "section.toml:2:1: unknown key `include`: ".to_owned()),
    ] {
        error_of(&files, name).begins(&expected);
    }
}

/// Opening such a file once waited for ever for a process that writes.
#[cfg(unix)]
#[test]
fn a_pipe_is_not_included_and_may_be_the_topology() {
    let files = Files::new("pipe", &[("app.toml", "# the root\ninclude = [\"pipe\"]\n")]);
    let pipe = files.path("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    error_of(&files, "app.toml").says("app.toml:2:12: cannot include `pipe`: it is not a file");
    // Another process writes the text, as with `<(..)` in a shell.
    let writer = std::thread::spawn(move || fs::write(pipe, "[node.a]\nservices = [\"A\"]\n"));
    assert_eq!(nodes(files.load("pipe")), ["a"]);
    writer.join().unwrap().unwrap();
}

#[test]
fn a_text_includes_no_file() {
    let error = Topology::parse("t.toml", "include = [\"common.toml\"]").unwrap_err();
    without_code(error).says(
        "t.toml:1:12: cannot include `common.toml`: a topology that is parsed from a text \
         includes no files: read it by `Topology::load`",
    );
    assert!(Topology::parse("t.toml", "include = []").is_ok());
}

#[test]
fn a_file_that_is_not_text_is_named() {
    let files = Files::new("bytes", &[]);
    files.write("app.toml", [b'#', 0xff]);
    error_of(&files, "app.toml").says("app.toml: cannot read the topology: its text is not UTF-8");
    assert_eq!(files.load("app.toml").unwrap_err().file(), files.path("app.toml"));
}
