//! The end of a node does not wait for observers that take nothing.

use std::task::Context;
use std::time::Duration;

use mycelium_executor::{Executor, SendFuture};

/// How long an observer may take nothing while the node ends.
const GRACE: Duration = Duration::from_secs(1);

/// Since when the observers on a link take nothing.
#[derive(Default)]
pub(super) struct ObserverGrace(Option<SendFuture<()>>);

impl ObserverGrace {
    /// Whether they have taken nothing for too long. If not, the task is woken when it may be so.
    pub(super) fn is_over(
        &mut self,
        has_taken: bool,
        executor: &dyn Executor,
        context: &mut Context<'_>,
    ) -> bool {
        if has_taken {
            self.0 = None;
        }
        let timer = || executor.sleep_until(executor.now().saturating_add(GRACE));
        self.0.get_or_insert_with(timer).as_mut().poll(context).is_ready()
    }
}
