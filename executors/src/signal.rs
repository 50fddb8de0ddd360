//! What asks a process to end, for executors that do not watch signals themselves.

use std::io;
use std::sync::{Mutex, PoisonError};

use event_listener::Event;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::thread::Thread;

static CAME: Event = Event::new();

/// Ready at the next SIGINT or SIGTERM after the first poll, from which on neither ends the process by itself: what
/// [`Executor::interrupted`](crate::Executor::interrupted) promises. The first call starts a thread that waits for them.
///
/// # Errors
/// If the system has no thread, or does not let signals be handled.
pub async fn interrupted() -> io::Result<()> {
    let came = CAME.listen();
    watch()?;
    came.await;
    Ok(())
}

fn watch() -> io::Result<()> {
    static WATCHED: Mutex<bool> = Mutex::new(false);
    let mut watched = WATCHED.lock().unwrap_or_else(PoisonError::into_inner);
    if *watched {
        return Ok(());
    }
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let thread = Thread { name: "signals".to_owned(), ..Thread::default() };
    let waits = move || {
        for _ in signals.forever() {
            CAME.notify(usize::MAX);
        }
    };
    thread.start(|| Ok(waits)).map_err(io::Error::other)?;
    *watched = true;
    Ok(())
}
