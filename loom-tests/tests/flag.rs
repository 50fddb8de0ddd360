//! Says how to run the models, if they were built without `--cfg loom` and so are not there.
//!
//! Fails if cargo was asked for this package by its name. `cargo test --workspace` includes it too, and only gets
//! the notice.
#![allow(clippy::print_stderr)]

/// The error, and the command to type.
const NOTICE: &str = "mycelium-loom-tests: no model was run, expected `--cfg loom`: \
    run `cargo loom`, or RUSTFLAGS=\"--cfg loom\" cargo test --release -p mycelium-loom-tests \
    --target-dir target/loom";

fn main() {
    if cfg!(loom) {
        return;
    }
    eprintln!("{NOTICE}");
    if asked_by_name() {
        std::process::exit(1);
    }
}

/// Whether the command line of cargo, which runs this, names the package.
fn asked_by_name() -> bool {
    #[cfg(target_os = "linux")]
    let command = std::fs::read(format!("/proc/{}/cmdline", std::os::unix::process::parent_id()));
    #[cfg(not(target_os = "linux"))]
    let command = std::io::Result::Ok(Vec::new());
    command.is_ok_and(|words| String::from_utf8_lossy(&words).contains("mycelium-loom-tests"))
}
