//! `--describe`: the program says what services it has, without a feed, a database, or a port.

use std::fs::File;

use bandit::app::{self, Options};
use mycelium::overview::Description;

use crate::program::command;

#[test]
fn each_command_describes_the_services() {
    let expected = app::describe(&Options::default()).unwrap();
    let services: Vec<&str> = expected.services().collect();
    let all =
        ["PolygonAdapter", "MetadataService", "ArbitrageDetector", "SignalWriter", "FillSimulator"];
    assert_eq!(services, all);
    let directory = tempfile::tempdir().unwrap();
    let none = directory.path().join("none");
    let path = none.to_str().unwrap();
    for (arguments, node) in [
        (&["--describe"][..], "main"),
        (&["bundled", "--describe"], "main"),
        (&["member", "writer", "--directory", path, "--state", path, "--describe"], "writer"),
        (&["--store", &format!("sqlite:{path}"), "--topology", path, "--describe"], "main"),
    ] {
        let output = command(arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(text.lines().count(), 1);
        let found = Description::from_json(text.trim()).unwrap();
        assert_eq!(found.services().collect::<Vec<_>>(), all);
        assert_eq!(found.node(), node);
        assert!(!none.exists(), "{arguments:?}");
    }
}

#[test]
fn lines_that_a_full_disk_refuses_are_an_error() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let output = command(&["--describe"]).stdout(full).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && text.contains("standard output: No space"), "{text}");
}
