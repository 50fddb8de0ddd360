//! The signals that end a bundle.

use std::io;
use std::sync::mpsc::Sender;
use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::handle::Wake;

/// Forwards the signals that end a bundle to its thread.
pub(crate) struct Signals(signal_hook::iterator::Handle);

impl Signals {
    /// Forwards SIGINT and SIGTERM. Also forwards SIGHUP if `hangup` is set and this process does
    /// not ignore it.
    pub(crate) fn forward(wakes: Sender<Wake>, hangup: bool) -> io::Result<Signals> {
        let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM])?;
        if hangup && !ignores_hangup() {
            signals.add_signal(SIGHUP)?;
        }
        let handle = Signals(signals.handle());
        thread::Builder::new().name("signals".into()).spawn(move || {
            for _ in signals.forever() {
                // Ignores an error: without a receiver the run has ended.
                let _ = wakes.send(Wake::Interrupted);
            }
        })?;
        Ok(handle)
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Returns whether this process ignores SIGHUP, as under `nohup`, which a handler would undo.
/// Returns `false` without `/proc`, from which it reads this.
#[must_use]
pub fn ignores_hangup() -> bool {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else { return false };
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & (1 << (SIGHUP - 1)) != 0)
}
