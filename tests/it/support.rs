//! Directories and processes that are removed at the end of a test, and services that do nothing.

use std::io::{BufRead, BufReader};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

/// The carriers between processes of a host.
pub(crate) const TRANSPORTS: &[&str] =
    if cfg!(target_pointer_width = "64") { &["unix", "shm"] } else { &["unix"] };

/// Returns the seeds of a test: the one in `SEED`, or as many as `variable` says, or `count`.
pub(crate) fn seeds(variable: &str, count: u64) -> Range<u64> {
    match number("SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number(variable).unwrap_or(count),
    }
}

/// Returns the number in a variable.
pub(crate) fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is not a number: {text}")))
}

/// The path of a test's directory, which the test creates if it needs it. Removed on drop.
pub(crate) struct Directory(pub(crate) PathBuf);

impl Directory {
    /// Returns a path for this name, which no other test may use.
    pub(crate) fn new(name: &str) -> Directory {
        let name = format!("mycelium-{name}-{}", std::process::id());
        Directory(std::env::temp_dir().join(name))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Returns the files with this extension in a directory and below it.
#[allow(dead_code, reason = "tests of some features use it")]
pub(crate) fn files_below(directory: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files_below(&path, extension));
        } else if path.extension().is_some_and(|it| it == extension) {
            found.push(path);
        }
    }
    found
}

/// Repeats a call until it succeeds.
#[allow(dead_code, reason = "tests of some features use it")]
pub(crate) fn retried<T, E>(mut call: impl FnMut() -> Result<T, E>) -> T {
    loop {
        match call() {
            Ok(value) => return value,
            Err(_) => std::thread::yield_now(),
        }
    }
}

/// Returns a command that runs this test binary as a child process, with only this test, in a role.
pub(crate) fn in_role(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture", "--include-ignored"]);
    command.env_remove("RUST_LOG").env_remove("RUST_BACKTRACE");
    command
}

/// Waits until a child prints a line that contains these words.
pub(crate) fn until_said(child: &mut Child, words: &str) {
    let mut lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains(words)), "it has ended");
}

/// A child that is killed on drop.
pub(crate) struct Process(pub(crate) Child);

impl Drop for Process {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

/// Makes services with these ports that only wait for the shutdown.
#[allow(unused_macros, reason = "not every program of the tests has such services")]
macro_rules! idle_services {
    ($($name:ident($($ports:tt)*);)*) => {$(
        pub(crate) struct $name;

        #[service($($ports)*)]
        impl $name {
            async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
                ctx.shutdown_requested().await;
                Ok(())
            }
        }
    )*};
}

#[allow(unused_imports, reason = "not every program of the tests has such services")]
pub(crate) use idle_services;
