//! Several threads that run one executor.

use std::io;
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Waker};
use std::thread::{Builder, scope};
use std::time::Duration;

use async_io::{Timer, block_on};
use event_listener::Event;
use polling::Poller;

use crate::tasks::EndOnDrop;

/// Runs the tasks on `threads` threads, including the calling thread, until `body` has ended or
/// panicked. Then drops `ends`, and the threads end.
pub(crate) fn run<T>(
    threads: usize,
    ends: EndOnDrop<'_>,
    body: impl Future<Output = T>,
) -> io::Result<T> {
    make_reactor()?;
    let tasks = ends.tasks;
    scope(move |scope| {
        // Its drop ends the other threads. That happens before the scope joins them, even after a
        // panic; otherwise the join would wait forever.
        let end = NotifyOnDrop(Event::new());
        // Dropped before `end`, because a task may be on one of the other threads, and after
        // `body`, for which a task may wait.
        let _ends = ends;
        let body = body;
        for number in 1..threads {
            let ended = end.0.listen();
            let thread = Builder::new().name(format!("smol-{number}"));
            thread.spawn_scoped(scope, move || block_on(tasks.run(ended)))?;
        }
        Ok(block_on(tasks.run(body)))
    })
}

/// Creates the reactor of the process early. `async_io` creates it at the first wait, and panics if
/// the system refuses it, for example for lack of descriptors.
fn make_reactor() -> io::Result<()> {
    static IS_MADE: Mutex<bool> = Mutex::new(false);
    let mut is_made = IS_MADE.lock().unwrap_or_else(PoisonError::into_inner);
    if !*is_made {
        drop(Poller::new()?);
        let timer = pin!(Timer::after(Duration::from_secs(3600)));
        let _ = timer.poll(&mut Context::from_waker(Waker::noop()));
        *is_made = true;
    }
    Ok(())
}

struct NotifyOnDrop(Event);

impl Drop for NotifyOnDrop {
    fn drop(&mut self) {
        self.0.notify(usize::MAX);
    }
}
