//! Tells how to run the models if they were compiled out because `--cfg loom` is missing.

use std::io::Write;

/// The error, and the command to type.
const NOTICE: &str = "mycelium-loom-tests: no model was run, expected `--cfg loom`: \
    run `cargo loom`, or RUSTFLAGS=\"--cfg loom\" cargo test --release -p mycelium-loom-tests \
    --target-dir target/loom";

/// Fails if the command of cargo names this package. `cargo test --workspace` includes it too, and
/// gets the notice only.
#[test]
fn models_need_a_flag() {
    // Not by `eprintln`, whose output is shown for failed tests only.
    writeln!(std::io::stderr(), "{NOTICE}").unwrap();
    assert!(!is_named(), "{NOTICE}");
}

/// Whether the command line of cargo, which runs this, names the package.
fn is_named() -> bool {
    #[cfg(target_os = "linux")]
    let command = std::fs::read(format!("/proc/{}/cmdline", std::os::unix::process::parent_id()));
    #[cfg(not(target_os = "linux"))]
    let command = std::io::Result::Ok(Vec::new());
    command.is_ok_and(|words| String::from_utf8_lossy(&words).contains("mycelium-loom-tests"))
}
