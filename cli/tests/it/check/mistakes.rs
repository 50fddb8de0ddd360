//! Mistakes in topologies and on the command line, with their exact messages and exit codes.

use super::{check, directory, write};

/// A topology of bandit with one more section, and the message.
#[test]
fn mistakes_in_topologies() {
    let directory = directory();
    let nodes = "[node.main]\nservices = [\"PolygonAdapter\", \"MetadataService\", \
                 \"ArbitrageDetector\"]\n[node.writer]\nservices = [\"SignalWriter\"]\n";
    let mut wrong = Vec::new();
    for (text, expected) in [
        (
            "[topic.swap]\n",
            "t.toml:5:8: unknown topic `swap`: did you mean `swaps`? (expected one of: enriched-swaps, signals, swaps)",
        ),
        (
            "[service.SignalWrite]\n",
            "t.toml:5:10: unknown service `SignalWrite`: did you mean `SignalWriter`? (expected one of: ArbitrageDetector, MetadataService, PolygonAdapter, SignalWriter)",
        ),
        (
            "[topic.swaps]\ncapacity = 1000\n",
            "t.toml:6:12: invalid capacity 1000: expected a power of two from 2 to 1073741824",
        ),
        ("[topic.swaps]\ncapacity = 4194304\n", "t.toml:6:12: rings of node `main` take 4709"),
        (
            "[topic.signals]\nreaders = [\"main\"]\n",
            "t.toml:6:12: node `writer` reads topic `signals`, but is not on this list: add `writer` to `readers`",
        ),
        (
            "[subscription.\"SignalWriter.signals\"]\npolicy = \"latest\"\nkey = \"poool\"\n",
            "t.toml:7:7: unknown field `poool` of `Signal`",
        ),
        (
            "[topic.signals]\ntransport = \"tcp\"\n",
            "2 mistakes\nt.toml:6:13: topic `signals` has `transport = \"tcp\"`, but between `main` and `writer` the link does not go over TCP",
        ),
        (
            "[service.SignalWriter]\nexecutor = \"fast\"\n",
            "t.toml:6:12: service `SignalWriter` names executor `fast`, which the program does not add: there is none",
        ),
        (
            "[supervisor.all]\nchildren = [\"PolygonAdapter\", \"SignalWriter\"]\n",
            "t.toml:5:13: supervisor `all` has services of two nodes, `PolygonAdapter` of `main`",
        ),
        ("[node.other]\nservices = [\"Other\"]\n", "t.toml:6:13: unknown service `Other`"),
    ] {
        write(directory.path(), "t.toml", &format!("{nodes}{text}"));
        let (code, error) = check(directory.path(), &["t.toml", "--", "./bandit"]).expect_failure();
        assert_eq!(code, Some(1), "{error}");
        let error = error.strip_prefix("error: ").expect("the error of a program");
        if !error.starts_with(expected) {
            wrong.push(format!("{text}found:    {error}expected: {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn all_mistakes_are_listed() {
    let directory = directory();
    let text = "[node.a]\nservices = [\"PolygonAdapter\", \"MetadataService\", \
                \"ArbitrageDetector\"]\nmemory = \"1 KiB\"\n[node.b]\nservices = \
                [\"SignalWriter\"]\nmemory = \"1 KiB\"\n";
    write(directory.path(), "t.toml", text);
    let (code, error) = check(directory.path(), &["t.toml", "--", "./bandit"]).expect_failure();
    assert_eq!(code, Some(1));
    let lines: Vec<&str> = error.lines().collect();
    assert_eq!(lines[0], "error: 2 mistakes");
    assert!(lines[1].starts_with("t.toml:3:10: rings of node `a` take "), "{error}");
    assert!(lines[1].contains(" (node `a` of `./bandit`)"), "{error}");
    assert!(lines[2].starts_with("t.toml:6:10: rings of node `b` take "), "{error}");
}

#[test]
fn mistakes_on_the_command_line() {
    let directory = directory();
    write(directory.path(), "part.toml", "[node.a]\ncommand = [\"./bandit\"]\n[node.b]\n");
    let help = "add `command = [\"./app\", \"{node}\"]` to `[bundle]`, or call `mycelium check \
                FILE -- PROGRAM ARGUMENTS`";
    for (arguments, expected) in [
        (&["none.toml"][..], "none.toml: cannot read the topology: No such file or directory"),
        (
            &["part.toml"],
            "node `b` has no command, and other nodes have one: add `command` to its section, or to `[bundle]` for all nodes, or give it after `--`",
        ),
        (
            &["bandit.toml", "-o", "svg"],
            &format!("bandit.toml names no program, without which services are not known: {help}"),
        ),
        (
            &["bandit.toml", "--", "./bandit", "{host}"],
            "unknown placeholder `host`: expected one of: directory, node, topology",
        ),
        (&["bandit.toml", "-o", "table"], "invalid value 'table' for '--output <FORM>'"),
        (
            &["bandit.toml", "--timeout", "0s"],
            "invalid value '0s' for '--timeout <TIME>': expected a number and a unit",
        ),
        (&["bandit.toml", "bundled.toml"], "unexpected argument 'bundled.toml' found"),
        (&[], "the following required arguments were not provided:\n  <FILE>"),
    ] {
        let (code, error) = check(directory.path(), arguments).expect_failure();
        assert_eq!(code, Some(2), "{arguments:?}: {error}");
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
    write(directory.path(), "bad.toml", "[node.main]\ncolour = 7\n");
    let (code, error) = check(directory.path(), &["bad.toml"]).expect_failure();
    assert_eq!(code, Some(1));
    assert!(error.starts_with("error: bad.toml:2:1: unknown key `colour`"), "{error}");
}

/// Without a program only the executors that come with Mycelium are known: another name is not
/// refused, because a program may bring its own.
#[test]
fn a_file_alone_says_which_executors_do_not_come_with_mycelium() {
    let directory = directory();
    let text = "[node.main]\nexecutor = \"async-std\"\n[node.other]\nexecutor = \"tokio\"\n\
                [service.Feed]\nexecutor = \"toko\"\n[service.Sum]\nexecutor = \"glommio\"\n";
    write(directory.path(), "t.toml", text);
    let text = check(directory.path(), &["t.toml"]).expect_success();
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

/// The program says which executors its services can have, and not on which one it starts a node.
#[test]
fn a_node_whose_executor_does_not_come_with_mycelium_is_a_warning() {
    let directory = directory();
    write(directory.path(), "t.toml", "[node.main]\nexecutor = \"async-std\"\n");
    let text = check(directory.path(), &["t.toml", "--", "./bandit"]).expect_success();
    let expected = "\nwarnings\n  main: t.toml:2:12: executor `async-std` of node `main` does not";
    assert!(text.contains(expected), "{text}");
}
