//! SIGINT and SIGTERM as a future, for executors that do not handle signals themselves.

use std::io;
use std::sync::{Mutex, PoisonError};

use event_listener::Event;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::thread::Thread;

static RECEIVED: Event = Event::new();

/// Waits for the next SIGINT or SIGTERM after the first poll: the default
/// [`Executor::interrupted`](crate::Executor::interrupted). From the first poll on, neither signal
/// ends the process by itself. The first poll starts a thread that waits for signals.
///
/// # Errors
/// If the system starts no thread or refuses a signal handler.
pub async fn interrupted() -> io::Result<()> {
    let received = RECEIVED.listen();
    start_watching()?;
    received.await;
    Ok(())
}

fn start_watching() -> io::Result<()> {
    static WATCHING: Mutex<bool> = Mutex::new(false);
    let mut watching = WATCHING.lock().unwrap_or_else(PoisonError::into_inner);
    if *watching {
        return Ok(());
    }
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let thread = Thread { name: "signals".to_owned(), ..Thread::default() };
    let wait = move || {
        for _ in signals.forever() {
            RECEIVED.notify(usize::MAX);
        }
    };
    thread.start(|| Ok(wait)).map_err(io::Error::other)?;
    *watching = true;
    Ok(())
}
