//! Several threads that run one executor.

use std::io;
use std::thread::{Builder, scope};

use async_executor::Executor;
use async_io::block_on;
use event_listener::Event;

/// Runs `tasks` on `threads` threads, the calling one included, until `body` has ended.
pub(crate) fn run<T>(
    threads: usize,
    tasks: &Executor<'_>,
    body: impl Future<Output = T>,
) -> io::Result<T> {
    scope(|scope| {
        // Dropped before the scope joins the other threads, after a panic as well.
        let end = NotifyOnDrop(Event::new());
        for number in 1..threads {
            let ended = end.0.listen();
            let thread = Builder::new().name(format!("smol-{number}"));
            thread.spawn_scoped(scope, move || block_on(tasks.run(ended)))?;
        }
        Ok(block_on(tasks.run(body)))
    })
}

struct NotifyOnDrop(Event);

impl Drop for NotifyOnDrop {
    fn drop(&mut self) {
        self.0.notify(usize::MAX);
    }
}
