//! The scripts of `completions` are ones that the shells read. A shell that is not installed is
//! left out.

use std::io::Write;
use std::process::{Command, Stdio};

fn script(shell: &str) -> Vec<u8> {
    let mut tool = Command::new(env!("CARGO_BIN_EXE_mycelium"));
    let output = tool.args(["completions", shell]).output().expect("the tool runs");
    assert!(output.status.success(), "{shell}");
    output.stdout
}

/// Whether the shell reads a script without an error; `None` without the shell.
fn is_read(shell: &str, script: &[u8]) -> Option<bool> {
    let mut shell = Command::new(shell);
    let shell = shell.arg("-n").stdin(Stdio::piped()).stdout(Stdio::null());
    let mut shell = shell.spawn().ok()?;
    // A shell that finds an error may close its input.
    let _ = shell.stdin.take().expect("a pipe").write_all(script);
    Some(shell.wait().expect("its end").success())
}

#[test]
fn shells_read_the_scripts() {
    for shell in ["bash", "zsh", "fish"] {
        let script = script(shell);
        for verb in ["explain", "doctor", "completions"] {
            let text = String::from_utf8_lossy(&script);
            assert!(text.contains(verb), "the script of {shell} has {verb}");
        }
        assert_ne!(is_read(shell, &script), Some(false), "{shell}");
    }
    assert_eq!(is_read("bash", b"if then"), Some(false), "this test finds errors");
}

#[test]
fn an_unknown_shell_is_refused() {
    let mut tool = Command::new(env!("CARGO_BIN_EXE_mycelium"));
    let output = tool.args(["completions", "tcsh"]).output().expect("the tool runs");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("[possible values: bash, "));
}
