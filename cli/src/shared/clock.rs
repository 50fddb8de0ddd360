//! Times on the command line, and waits that end at a signal.
#![allow(clippy::disallowed_methods, reason = "the tool is a program, and no service")]

use std::io;
use std::mem;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use mycelium_executor::Clock;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

use crate::shared::exit::Failure;

/// Reads a time such as `250ms` or `5s`, more than 0 and less than 30 years.
///
/// # Errors
/// If the text is not such a time.
pub fn duration(text: &str) -> Result<Duration, String> {
    let times = Duration::from_nanos(1)..Duration::from_secs(1 << 30);
    let time = humantime::parse_duration(text).ok().filter(|time| times.contains(time));
    time.ok_or_else(|| {
        "expected more than 0 and less than 30 years, such as `250ms` or `5s`".to_owned()
    })
}

/// Waits for this time.
pub fn pause(time: Duration) {
    thread::sleep(time);
}

/// Waits for a time or for values of other threads. SIGINT, SIGTERM or SIGHUP ends a wait.
#[derive(Debug)]
pub struct Waits<T> {
    /// When the tool started.
    pub clock: Clock,
    sender: Sender<Option<T>>,
    wakes: Receiver<Option<T>>,
}

/// Why a wait ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Wake<T> {
    /// The time has come.
    Due,
    /// Another thread has sent this value.
    Sent(T),
    /// A signal has requested the end of the tool.
    Interrupted,
}

impl<T: Send + 'static> Waits<T> {
    /// Creates the waits. From now on, the first signal ends the waits instead of the process. A
    /// second SIGINT or SIGTERM ends the process, in case it is blocked by something else, such as
    /// its output.
    ///
    /// # Errors
    /// If the system has no thread or handler for it.
    pub fn new() -> Result<Waits<T>, Failure> {
        let (sender, wakes) = channel();
        let waits = Waits { clock: Clock::start(), sender, wakes };
        let interrupted = waits.sender.clone();
        let failed = |error: io::Error| Failure::Unavailable(format!("signals: {error}"));
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).map_err(failed)?;
        let forward = move || {
            let mut is_first = true;
            for signal in &mut signals {
                // Ignores an error: a tool that no longer waits ends by itself.
                let _ = interrupted.send(None);
                // A second SIGHUP does not count, because a closing terminal sends several.
                if signal != SIGHUP && !mem::take(&mut is_first) {
                    // Cannot fail, because the system refuses none of these signals.
                    let _ = emulate_default_handler(signal);
                }
            }
        };
        thread::Builder::new().name("signals".into()).spawn(forward).map_err(failed)?;
        Ok(waits)
    }

    /// Returns a sender, by which another thread ends a wait.
    pub fn sender(&self) -> Sender<Option<T>> {
        self.sender.clone()
    }

    /// Waits until `until`.
    pub fn until(&self, until: Duration) -> Wake<T> {
        match self.wakes.recv_timeout(until.saturating_sub(self.clock.now())) {
            Ok(Some(sent)) => Wake::Sent(sent),
            // The channel is never disconnected, because `self` has a sender.
            Ok(None) | Err(RecvTimeoutError::Disconnected) => Wake::Interrupted,
            Err(RecvTimeoutError::Timeout) => Wake::Due,
        }
    }
}
