//! An executor that runs nothing.

use std::time::Duration;

use mycelium_executor::{Executor, SendFuture, SpawnError};

/// An executor that runs nothing, and whose time is 0. In a
/// [`PausedTime`](mycelium_executor::PausedTime) it gives a clock to handles that a test polls
/// itself.
#[derive(Clone, Copy, Debug)]
pub struct NoTasks;

impl Executor for NoTasks {
    fn name(&self) -> String {
        "no tasks".to_owned()
    }

    fn spawn(&self, _: SendFuture<()>) -> Result<(), SpawnError> {
        Err(SpawnError::Ended)
    }

    fn now(&self) -> Duration {
        Duration::ZERO
    }

    fn sleep_until(&self, _: Duration) -> SendFuture<()> {
        Box::pin(std::future::pending())
    }
}
