//! The threads that export a node's metrics and traces.

use std::sync::Arc;

use mycelium_executor::{Thread, ThreadError};

use crate::error::StartError;
use crate::shared::Threads;

/// Starts a thread of the node that ends with the node.
pub(super) fn start(
    node: &str,
    threads: &Arc<Threads>,
    purpose: &str,
    run: impl FnOnce() + Send + 'static,
) -> Result<(), StartError> {
    let name = format!("{purpose}-{node}").replace(char::is_control, "_");
    let thread = Thread { name, ..Thread::default() };
    let thread_guard = threads.start(&thread.name);
    let started = thread.start(move || {
        thread_guard.of_this_thread();
        Ok(run)
    });
    started.map(drop).map_err(|error| refused(purpose, error))
}

/// Returns the error of a thread that the system refuses, or of a resource that the thread needs.
pub(super) fn refused(purpose: &str, error: ThreadError) -> StartError {
    let service = format!("(the thread of {purpose})");
    StartError::Thread { service, place: None, error }
}
