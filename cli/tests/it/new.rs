//! `mycelium new`: what it writes, and what it refuses. `.ci/jobs/packages` builds and tests the
//! projects.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use crate::common::{Ended, tool};

fn new(directory: &Path, arguments: &[&str]) -> Ended {
    let mut command = tool(&["new"]);
    Ended::of(&command.args(arguments).current_dir(directory).output().unwrap())
}

#[test]
fn each_project_has_its_name_and_executor() {
    let directory = tempfile::tempdir().unwrap();
    for executor in ["tokio", "smol", "glommio"] {
        for template in ["pipeline", "actors", "bundle"] {
            let name = format!("my-{template}-{executor}");
            let arguments = [&name, "--executor", executor, "--template", template];
            let output = new(directory.path(), &arguments).expect_success();
            assert!(output.contains(&format!("cd {name}\n")), "{output}");
            let project = directory.path().join(&name);
            let manifest = fs::read_to_string(project.join("Cargo.toml")).unwrap();
            let has = |text: &str| manifest.contains(text);
            assert!(has(&format!("name = \"{name}\"")) && has("mycelium-bus = { version = \"0."));
            assert_eq!(has(&format!("\"{executor}\"")), executor != "tokio", "{manifest}");
            assert_eq!(has("mycelium-bus-bundle = "), template == "bundle", "{manifest}");
            for file in ["src/main.rs", "src/lib.rs", "tests/it.rs", "README.md", ".gitignore"] {
                let text = fs::read_to_string(project.join(file)).unwrap();
                assert!(!text.contains("__"), "{file}: {text}");
            }
        }
    }
}

#[test]
fn a_project_may_use_a_checkout() {
    let directory = tempfile::tempdir().unwrap();
    // A name that TOML escapes.
    let root = directory.path().join("a \"checkout\"\u{1b}");
    fs::create_dir(&root).unwrap();
    fs::write(root.join("Cargo.toml"), "[package]\nname = \"mycelium-bus\"\n").unwrap();
    let arguments = ["mine", "--template", "bundle", "--path", root.to_str().unwrap()];
    new(directory.path(), &arguments).expect_success();
    let manifest = fs::read_to_string(directory.path().join("mine/Cargo.toml")).unwrap();
    let path = r#"/a \"checkout\"\u001b/bundle" }"#;
    assert!(manifest.contains(path), "{manifest}");
}

/// A project below a workspace is a workspace of its own, unless it is a member.
#[test]
fn cargo_accepts_a_project_below_a_workspace() {
    for (members, is_member) in [("", false), ("members = [\"*\"]\n", true)] {
        for text in ["[workspace]\n", "[workspace.package]\nedition = \"2024\"\n[workspace]\n"] {
            let directory = tempfile::tempdir().unwrap();
            let manifest = directory.path().join("Cargo.toml");
            fs::write(&manifest, format!("{text}{members}")).unwrap();
            new(directory.path(), &["mine"]).expect_success();
            let mut cargo = Command::new(env!("CARGO"));
            cargo.args(["locate-project", "--workspace", "--message-format", "plain"]);
            let output = cargo.current_dir(directory.path().join("mine")).output().unwrap();
            let root = String::from_utf8(output.stdout).unwrap();
            assert_eq!(root.trim() == manifest.to_str().unwrap(), is_member, "{root}");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
    }
}

/// A directory with the name that the unfinished project would have is not touched.
#[test]
fn other_directories_are_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    // A shell with the number of the process that it becomes.
    let script = r#"mkdir ".mine.$$" && touch ".mine.$$/data" && exec "$0" new mine"#;
    let mut shell = Command::new("sh");
    shell.args(["-c", script, env!("CARGO_BIN_EXE_mycelium")]).current_dir(directory.path());
    let error = Ended::of(&shell.output().unwrap()).expect_failure(2);
    assert!(error.contains(": .mine.") && error.contains(": it exists already"), "{error}");
    let left = fs::read_dir(directory.path()).unwrap().next().unwrap().unwrap().path();
    assert!(left.join("data").exists(), "{left:?}");
}

#[test]
fn what_is_refused_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    fs::create_dir(here.join("empty")).unwrap();
    symlink("nowhere", here.join("dangling")).unwrap();
    let long = "x".repeat(65);
    for (arguments, expected) in [
        (&["empty"][..], "empty: it exists already"),
        (&["dangling"], "dangling: it exists already"),
        (&[""], "invalid name ``: expected a lower-case letter"),
        (&["../up"], "invalid name `../up`: expected a lower-case letter"),
        (&["Mine"], "invalid name `Mine`"),
        (&["1st"], "invalid name `1st`"),
        (&["a\u{1b}[2J"], "invalid name `a\\u{1b}[2J`"),
        (&[&long], "at most 64"),
        (&["match"], "the name `match` is taken"),
        (&["mycelium"], "the name `mycelium` is taken"),
        (&["proc-macro"], "the name `proc-macro` is taken"),
        (&["env"], "the name `env` is taken"),
        (&["mycelium-bundle"], "the name `mycelium-bundle` is taken"),
        (&["mine", "--path", "empty"], "empty is not a checkout of Mycelium"),
        (&["mine", "--executor", "rayon"], "possible values: tokio, smol, glommio"),
        (&["mine", "--template", "web"], "possible values: pipeline, actors, bundle"),
    ] {
        let error = new(here, arguments).expect_failure(2);
        assert!(error.contains(expected), "{arguments:?}: {error}");
    }
    let mut left: Vec<_> =
        fs::read_dir(here).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["dangling", "empty"]);
}
