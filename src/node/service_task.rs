//! The task of a service, and what surrounds each of its polls: the watchdog's mark, the budget,
//! the deferred wakes.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use mycelium_transports::local::{DeferredWakes, TaskBudget, poll_with};

use crate::shared::PollMark;

/// Hooks that run before and after each poll of a service.
pub(super) struct PollHooks {
    pub(super) budget: Arc<TaskBudget>,
    pub(super) deferred_wakes: Vec<DeferredWakes>,
    /// Without a watchdog it is `None`.
    pub(super) mark: Option<Arc<PollMark>>,
}

/// The task of a service. After each poll it sends the wakes that the poll deferred.
pub(super) struct ServiceTask<F> {
    pub(super) task: F,
    pub(super) poll_hooks: PollHooks,
}

impl<F: Future<Output = ()> + Unpin> Future for ServiceTask<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let ServiceTask { task, poll_hooks: PollHooks { budget, deferred_wakes, mark } } =
            self.get_mut();
        let _guard = mark.as_deref().map(PollMark::begin);
        poll_with(budget, deferred_wakes, || Pin::new(task).poll(context))
    }
}
