//! Mistakes on the command line of all verbs that need neither a file nor a node.

use crate::common::run;

#[test]
fn each_mistake_has_a_message() {
    let needed = "error: the following required arguments were not provided:\n  ";
    let time = "expected more than 0 and less than 30 years, such as `250ms` or `5s`";
    let name = "expected 1 to 32 letters, digits, `-` and `_`";
    let foreground = "'--foreground' cannot be used with";
    let size = "expected a width and a height from 1 to 500, as in `100x30`";
    let mistakes: [(&[&str], &str); 21] = [
        (&["check"], needed),
        (&["tap"], needed),
        (&["up"], needed),
        (&["tap", "swaps", "--as", "viewer"], needed),
        (&["check", "a.toml", "b.toml"], "error: unexpected argument 'b.toml' found"),
        (&["check", "none.toml"], "error: none.toml: cannot read the topology: No such file"),
        (&["doctor", "none.toml"], "error: none.toml: cannot read the topology: No such file"),
        (&["check", "a.toml", "-o", "table"], "invalid value 'table' for '--output <FORM>'"),
        (&["top", "-o", "xml"], "[possible values: table, json, csv, svg]"),
        (&["completions", "tcsh"], "[possible values: bash, "),
        (&["check", "--max-drops", "3"], "--live"),
        (&["check", "--live", "-o", "svg"], "`mycelium top -o svg` makes one"),
        (&["up", "a.toml", "--foreground", "--no-wait"], foreground),
        (&["up", "a.toml", "--foreground", "--timeout", "1s"], foreground),
        (&["ls", "--pid", "1x"], "invalid value '1x' for '--pid <PID>'"),
        (&["tap", "swaps", "--count", "0"], "0 is not in 1..18446744073709551615"),
        (&["tap", "swaps", "--for", "soon"], time),
        (&["hz", "--interval", "0s"], time),
        (&["top", "--size", "10"], size),
        (&["up", "a.toml", "--name", "../up"], name),
        (&["status", "--name", ""], name),
    ];
    for (arguments, expected) in mistakes {
        let error = run(arguments).expect_failure(2);
        assert!(error.starts_with("error: ") && error.contains(expected), "{arguments:?}: {error}");
    }
}
