//! `mycelium check` as a process. Its programs are scripts that print the description of bandit, or
//! something else. `UPDATE_CHECK=1 cargo test -p mycelium-bus-cli --test it check` writes the
//! golden files of bandit's topologies, and the picture in the documents.

mod golden;
mod mistakes;
mod programs;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use bandit::app::{self, Options};
use tempfile::TempDir;

use crate::common::{Ended, tool};

/// Returns a directory with bandit's topologies, and a program `bandit` that describes itself.
fn directory() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let description = app::describe(&Options::default()).unwrap().to_json();
    write(directory.path(), "description.json", &description);
    program(directory.path(), "bandit", "cat description.json");
    for name in golden::TOPOLOGIES {
        let file = format!("{}/../examples/bandit/{name}.toml", env!("CARGO_MANIFEST_DIR"));
        fs::copy(file, directory.path().join(format!("{name}.toml"))).unwrap();
    }
    directory
}

fn write(directory: &Path, name: &str, text: &str) {
    fs::write(directory.join(name), text).unwrap();
}

/// Writes a program that is a shell script with these commands.
fn program(directory: &Path, name: &str, commands: &str) {
    write(directory, name, &format!("#!/bin/sh\n{commands}\n"));
    let path = directory.join(name);
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Writes the topology `t.toml` to a directory, and runs `mycelium check` for it.
fn check_text(directory: &Path, text: &str, arguments: &[&str]) -> Ended {
    write(directory, "t.toml", text);
    check(directory, &[&["t.toml"], arguments].concat())
}

/// Runs `mycelium check` in a directory.
fn check(directory: &Path, arguments: &[&str]) -> Ended {
    let mut command = tool(&["check"]);
    command.args(arguments).current_dir(directory);
    for name in ["OTLP", "COLLECTOR_METRICS", "DETECTOR_METRICS", "WRITER_METRICS"] {
        command.env_remove(name);
    }
    Ended::of(&command.output().unwrap())
}
