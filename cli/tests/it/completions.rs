//! The shells can read the scripts of `completions`. Shells that are not installed are skipped.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::common::run;

/// Returns whether the shell reads a script without an error; `None` without the shell.
fn is_read(shell: &str, script: &[u8]) -> Option<bool> {
    let mut shell = Command::new(shell);
    let shell = shell.arg("-n").stdin(Stdio::piped()).stdout(Stdio::null());
    let mut shell = shell.spawn().ok()?;
    // A shell that finds an error may close its input early.
    let _ = shell.stdin.take().expect("a pipe").write_all(script);
    Some(shell.wait().expect("its end").success())
}

#[test]
fn shells_read_the_scripts() {
    for shell in ["bash", "zsh", "fish"] {
        let script = run(&["completions", shell]).expect_success();
        for verb in ["explain", "doctor", "completions"] {
            assert!(script.contains(verb), "the script of {shell} has {verb}");
        }
        assert_ne!(is_read(shell, script.as_bytes()), Some(false), "{shell}");
    }
    assert_eq!(is_read("bash", b"if then"), Some(false), "this test finds errors");
}
