//! An executor that several threads run.

use std::io;
use std::sync::Arc;
use std::thread::{Builder, scope};

use async_executor::Executor;
use async_io::block_on;
use event_listener::Event;

use crate::{Shape, Smol};

/// Runs `body` with an executor of its own on so many threads, of which the calling one is the first. They end when
/// `body` has ended, and so do all tasks.
///
/// # Errors
/// If the system has no more threads.
pub fn run<F: Future>(threads: usize, body: impl FnOnce(Smol) -> F) -> io::Result<F::Output> {
    let threads = threads.max(1);
    let tasks = Arc::new(Executor::new());
    scope(|scope| {
        // Dropped before the others are joined, after a panic as well.
        let end = End(Event::new());
        for number in 1..threads {
            let (tasks, ended) = (&tasks, end.0.listen());
            let thread = Builder::new().name(format!("smol-{number}"));
            thread.spawn_scoped(scope, move || block_on(tasks.run(ended)))?;
        }
        let executor = Smol::shaped(&tasks, Shape::Threads(threads));
        Ok(block_on(tasks.run(body(executor))))
    })
}

/// Tells the threads when it is dropped.
struct End(Event);

impl Drop for End {
    fn drop(&mut self) {
        self.0.notify(usize::MAX);
    }
}
