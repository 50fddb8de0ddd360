//! The task of a service with the hooks around each poll: the watchdog's mark, the budget, the
//! deferred wakes. The task can be aborted.

use std::future::{Pending, pending};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_util::future::{AbortRegistration, Abortable};
use mycelium_transports::local::{DeferredWakes, TaskBudget, poll_with};

use crate::shared::PollMark;

/// Hooks that run before and after each poll of a service.
pub(super) struct PollHooks {
    pub(super) budget: Arc<TaskBudget>,
    pub(super) deferred_wakes: Vec<DeferredWakes>,
    /// The watchdog's mark; `None` without a watchdog.
    pub(super) mark: Option<Arc<PollMark>>,
}

/// The task of a service. After each poll it sends the wakes that the poll deferred. An abort ends
/// it, which drops the service.
pub(super) struct ServiceTask<F> {
    task: F,
    poll_hooks: PollHooks,
    abort: Abortable<Pending<()>>,
    /// The registered waker, by which an abort wakes the task.
    waker: Option<Waker>,
}

impl<F> ServiceTask<F> {
    pub(super) fn new(task: F, poll_hooks: PollHooks, abort: AbortRegistration) -> ServiceTask<F> {
        ServiceTask { task, poll_hooks, abort: Abortable::new(pending(), abort), waker: None }
    }

    /// Returns whether the task was aborted. If not, an abort will wake it. There is only one
    /// abort, so a registered waker stays registered: a poll with the same waker costs one load.
    #[inline]
    fn is_aborted(&mut self, context: &mut Context<'_>) -> bool {
        match &self.waker {
            Some(waker) if waker.will_wake(context.waker()) => self.abort.is_aborted(),
            _ => {
                self.waker = Some(context.waker().clone());
                Pin::new(&mut self.abort).poll(context).is_ready()
            }
        }
    }
}

impl<F: Future<Output = ()> + Unpin> Future for ServiceTask<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        if this.is_aborted(context) {
            return Poll::Ready(());
        }
        let ServiceTask { task, poll_hooks, .. } = this;
        let PollHooks { budget, deferred_wakes, mark } = poll_hooks;
        let _guard = mark.as_deref().map(PollMark::begin);
        poll_with(budget, deferred_wakes, || Pin::new(task).poll(context))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use futures_util::future::AbortHandle;
    use mycelium_executor::conformance::WakeCounter;

    use super::*;

    #[test]
    fn an_abort_wakes_the_task_by_its_last_waker_and_ends_it() {
        let hooks = PollHooks { budget: TaskBudget::new(), deferred_wakes: Vec::new(), mark: None };
        let (abort, registration) = AbortHandle::new_pair();
        let mut task = ServiceTask::new(pending(), hooks, registration);
        let counts = [(); 2].map(|()| Arc::<WakeCounter>::default());
        let mut poll = |count: &Arc<WakeCounter>| {
            let waker = Waker::from(count.clone());
            Pin::new(&mut task).poll(&mut Context::from_waker(&waker))
        };
        assert!(poll(&counts[0]).is_pending());
        assert!(poll(&counts[1]).is_pending());
        assert!(poll(&counts[1]).is_pending());
        abort.abort();
        assert_eq!(counts.each_ref().map(|count| count.0.load(Ordering::Relaxed)), [0, 1]);
        assert!(poll(&counts[1]).is_ready());
    }
}
