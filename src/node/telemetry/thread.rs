//! The threads that pass a node's metrics and traces on.

use std::sync::Arc;

use mycelium_executor::Thread;

use crate::error::StartError;
use crate::shared::{Shared, Threads};

/// Starts a thread of the node that ends with it.
pub(super) fn start(
    shared: &Arc<Shared>,
    threads: &Arc<Threads>,
    purpose: &str,
    run: impl FnOnce() + Send + 'static,
) -> Result<(), StartError> {
    let name = format!("{purpose}-{}", shared.plan.node).replace(char::is_control, "_");
    let thread = Thread { name, ..Thread::default() };
    let thread_guard = threads.start(&thread.name);
    let started = thread.start(move || {
        thread_guard.of_this_thread();
        Ok(run)
    });
    started.map(drop).map_err(|error| {
        let service = format!("(the thread of {purpose})");
        StartError::Thread { service, place: None, error }
    })
}
