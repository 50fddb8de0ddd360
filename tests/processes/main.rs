//! Tests that kill processes, measure the process in which they run, or collect its log lines.

#[cfg(all(target_os = "linux", feature = "metrics", feature = "signals", feature = "topology"))]
#[path = "../certificates/mod.rs"]
mod certificates;
#[cfg(all(target_os = "linux", feature = "otlp", feature = "signals", feature = "topology"))]
#[path = "../executors/mod.rs"]
mod executors;
#[cfg(feature = "tracing")]
#[allow(dead_code, reason = "the tests of one thread use all of it")]
#[path = "../it/lines.rs"]
mod lines;
#[cfg(all(target_os = "linux", feature = "metrics", feature = "signals", feature = "topology"))]
#[path = "../loopback/mod.rs"]
mod loopback;
#[cfg(all(target_os = "linux", feature = "topology"))]
#[allow(dead_code, reason = "other tests use all of it")]
#[path = "../it/support.rs"]
mod support;

mod bundle;
mod crashes;
mod killed;
mod otlp;
mod overload;

/// Runs the body of this test, which measures its process, alone in another process.
#[cfg(all(target_os = "linux", feature = "topology"))]
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "it passes on what the other prints")]
fn alone(test: &str, body: impl FnOnce()) {
    const ALONE: &str = "MYCELIUM_TEST_ALONE";

    if std::env::var_os(ALONE).is_some() {
        return body();
    }
    let mut other = support::in_role(test);
    let kept = ["RUST_BACKTRACE", "RUST_LOG"].map(|name| (name, std::env::var_os(name)));
    other.envs(kept.into_iter().filter_map(|(name, value)| Some((name, value?))));
    let output = other.env(ALONE, "").output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    print!("{printed}");
    eprint!("{}", String::from_utf8_lossy(&output.stderr));
    assert!(printed.contains("test result: ok. 1 passed"), "{test}: {}", output.status);
}
