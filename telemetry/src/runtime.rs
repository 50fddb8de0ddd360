//! The runtime of a sink.

use std::io;
use std::ops::Deref;

use tokio::runtime::{self, Builder};

/// A runtime that may be dropped in a task of another runtime, for example when a node fails to
/// start.
#[derive(Debug)]
pub(crate) struct Runtime(Option<runtime::Runtime>);

impl Runtime {
    pub(crate) fn new() -> io::Result<Runtime> {
        let runtime = Builder::new_current_thread().enable_io().enable_time().build()?;
        Ok(Runtime(Some(runtime)))
    }
}

impl Deref for Runtime {
    type Target = runtime::Runtime;

    fn deref(&self) -> &runtime::Runtime {
        self.0.as_ref().expect("it is there until it is dropped")
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        // The default drop waits for blocking threads, which is forbidden in a task.
        // `shutdown_background` does not wait, and this runtime starts no such threads.
        self.0.take().into_iter().for_each(runtime::Runtime::shutdown_background);
    }
}
