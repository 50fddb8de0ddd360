//! Detects that no thread makes progress: a lost wake, a livelock, a deadlock.

use std::process::exit;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

static STEPS: AtomicU64 = AtomicU64::new(0);

/// Records progress of the calling thread.
pub(crate) fn step() {
    STEPS.fetch_add(1, Relaxed);
}

/// Ends the process with the message `what()` if no thread makes progress for this long.
pub(crate) fn start(timeout: Duration, what: impl Fn() -> String + Send + 'static) {
    thread::spawn(move || {
        let (mut seen, mut since) = (STEPS.load(Relaxed), Instant::now());
        loop {
            thread::sleep(Duration::from_millis(100));
            let steps = STEPS.load(Relaxed);
            if steps != seen {
                (seen, since) = (steps, Instant::now());
            } else if since.elapsed() > timeout {
                eprintln!("error: {}: stands still for {timeout:?}", what());
                exit(1);
            }
        }
    });
}
