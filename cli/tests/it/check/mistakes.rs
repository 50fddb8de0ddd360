//! Mistakes in topologies and their commands, with the exit codes. `tests/it/describe.rs` and
//! `tests/it/topology` test the errors themselves.

use super::{check, check_text, directory, write};

#[test]
fn all_mistakes_are_listed() {
    let directory = directory();
    let text = "[node.a]\nservices = [\"PolygonAdapter\", \"MetadataService\", \
                \"ArbitrageDetector\"]\nmemory = \"1 KiB\"\n[node.b]\nservices = \
                [\"SignalWriter\"]\nmemory = \"1 KiB\"\n";
    let error = check_text(directory.path(), text, &["--", "./bandit"]).expect_failure(1);
    let lines: Vec<&str> = error.lines().collect();
    assert_eq!(lines[0], "error: 2 mistakes");
    assert!(lines[1].starts_with("t.toml:3:10: rings of node `a` take "), "{error}");
    assert!(lines[1].contains(" (node `a` of `./bandit`)"), "{error}");
    assert!(lines[2].starts_with("t.toml:6:10: rings of node `b` take "), "{error}");
    let text = text.replace("memory = \"1 KiB\"\n", "");
    let text = text + "[service.SignalWriter]\nexecutor = \"fast\"\n";
    let error = check_text(directory.path(), &text, &["--", "./bandit"]).expect_failure(1);
    let executor = "error: t.toml:6:12: service `SignalWriter` names executor `fast`, which the \
                    program does not add: there is none";
    assert!(error.starts_with(executor), "{error}");
}

#[test]
fn mistakes_on_the_command_line() {
    let directory = directory();
    write(directory.path(), "part.toml", "[node.a]\ncommand = [\"./bandit\"]\n[node.b]\n");
    let help = "add `command = [\"./app\", \"{node}\"]` to `[bundle]`, or call `mycelium check \
                FILE -- PROGRAM ARGUMENTS`";
    let partly = "node `b` has no command, and other nodes have one: add `command` to its section, \
                  or to `[bundle]` for all nodes, or give it after `--`";
    let none =
        format!("bandit.toml names no program, without which services are not known: {help}");
    let host = "unknown placeholder `host`: expected one of: directory, node, topology";
    for (arguments, expected) in [
        (&["part.toml"][..], partly),
        (&["bandit.toml", "-o", "svg"], &none),
        (&["bandit.toml", "--", "./bandit", "{host}"], host),
    ] {
        let error = check(directory.path(), arguments).expect_failure(2);
        assert!(error.contains(expected), "{arguments:?}\n{error}\n{expected}");
    }
}

#[test]
fn a_file_without_programs() {
    let directory = directory();
    let text = check(directory.path(), &["bundled.toml"]).expect_success();
    let expected = "bundled.toml: 3 nodes (`collector`, `detector`, `writer`); the file alone has \
                    no mistake\nIt names no program, so services, topics and links are not \
                    checked: ";
    assert!(text.starts_with(expected), "{text}");
    let error = check_text(directory.path(), "[node.main]\ncolour = 7\n", &[]).expect_failure(1);
    assert!(error.starts_with("error: t.toml:2:1: unknown key `colour`"), "{error}");
}

/// Without a program, only the executors that come with Mycelium are known. Another name is no
/// error, because a program may bring its own executor.
#[test]
fn a_file_alone_says_which_executors_do_not_come_with_mycelium() {
    let directory = directory();
    let text = "[node.main]\nexecutor = \"async-std\"\n[node.other]\nexecutor = \"tokio\"\n\
                [service.Feed]\nexecutor = \"toko\"\n[service.Sum]\nexecutor = \"glommio\"\n";
    let text = check_text(directory.path(), text, &[]).expect_success();
    let (head, warnings) = text.split_once("\nwarnings\n").expect(&text);
    assert!(head.starts_with("t.toml: 2 nodes (`main`, `other`); "), "{text}");
    assert_eq!(
        warnings,
        "  t.toml:2:12: executor `async-std` of node `main` does not come with Mycelium: expected \
         one of: glommio, smol, tokio; or the program brings its own\n  t.toml:6:12: executor \
         `toko` of service `Feed` does not come with Mycelium: did you mean `tokio`? (expected one \
         of: glommio, smol, tokio); or the program brings its own\n"
    );
}

/// The program describes which executors its services may have, but not the executor on which it
/// starts a node.
#[test]
fn a_node_whose_executor_does_not_come_with_mycelium_is_a_warning() {
    let directory = directory();
    let text = "[node.main]\nexecutor = \"async-std\"\n";
    let text = check_text(directory.path(), text, &["--", "./bandit"]).expect_success();
    let expected = "\nwarnings\n  main: t.toml:2:12: executor `async-std` of node `main` does not";
    assert!(text.contains(expected), "{text}");
}
