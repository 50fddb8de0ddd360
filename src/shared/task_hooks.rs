//! The hooks around each poll of a service's task: the watchdog's mark, the budget, the deferred
//! wakes, and the abort.

use std::future::{Pending, pending};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_util::future::{AbortRegistration, Abortable};
use mycelium_executor::Executor;
use mycelium_transports::local::{DeferredWakes, TaskBudget, poll_with};

use super::PollMark;

/// Hooks that run before and after each poll of a service.
pub(crate) struct PollHooks {
    pub(crate) budget: Arc<TaskBudget>,
    pub(crate) deferred_wakes: Vec<DeferredWakes>,
    /// The watchdog's mark; `None` without a watchdog.
    pub(crate) mark: Option<Arc<PollMark>>,
}

/// The place and the hooks of a service's task, from which the task is created.
pub(crate) struct Placed {
    pub(crate) executor: Arc<dyn Executor>,
    pub(crate) hooks: TaskHooks,
}

/// The hooks of a service's task, and its abort.
pub(crate) struct TaskHooks {
    poll_hooks: PollHooks,
    abort: Abortable<Pending<()>>,
    /// The registered waker, by which an abort wakes the task.
    waker: Option<Waker>,
}

impl TaskHooks {
    pub(crate) fn new(poll_hooks: PollHooks, abort: AbortRegistration) -> TaskHooks {
        TaskHooks { poll_hooks, abort: Abortable::new(pending(), abort), waker: None }
    }

    /// Polls the task with the hooks, and then sends the wakes that the poll deferred. Ready if the
    /// task has ended, or was aborted; the caller then drops it.
    // Inlined, so that the hooks and the task are one function: a poll of a small service consists
    // for a large part of the functions around it.
    #[inline(always)]
    pub(crate) fn poll(
        &mut self,
        context: &mut Context<'_>,
        task: Pin<&mut impl Future<Output = ()>>,
    ) -> Poll<()> {
        if self.is_aborted(context) {
            return Poll::Ready(());
        }
        let PollHooks { budget, deferred_wakes, mark } = &mut self.poll_hooks;
        let _guard = mark.as_deref().map(PollMark::begin);
        poll_with(budget, deferred_wakes, || task.poll(context))
    }

    /// Returns whether the task was aborted. If not, an abort will wake it. There is only one
    /// abort, so a registered waker stays registered: a poll with the same waker costs one load.
    #[inline]
    fn is_aborted(&mut self, context: &mut Context<'_>) -> bool {
        match &self.waker {
            Some(waker) if waker.will_wake(context.waker()) => self.abort.is_aborted(),
            _ => self.register(context),
        }
    }

    #[cold]
    fn register(&mut self, context: &mut Context<'_>) -> bool {
        self.waker = Some(context.waker().clone());
        Pin::new(&mut self.abort).poll(context).is_ready()
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::atomic::Ordering;

    use futures_util::future::AbortHandle;
    use mycelium_executor::conformance::WakeCounter;

    use super::*;

    #[test]
    fn an_abort_wakes_the_task_by_its_last_waker_and_ends_it() {
        let hooks = PollHooks { budget: TaskBudget::new(), deferred_wakes: Vec::new(), mark: None };
        let (abort, registration) = AbortHandle::new_pair();
        let mut hooks = TaskHooks::new(hooks, registration);
        let counts = [(); 2].map(|()| Arc::<WakeCounter>::default());
        let mut poll = |count: &Arc<WakeCounter>| {
            let waker = Waker::from(count.clone());
            hooks.poll(&mut Context::from_waker(&waker), pin!(pending()))
        };
        assert!(poll(&counts[0]).is_pending());
        assert!(poll(&counts[1]).is_pending());
        assert!(poll(&counts[1]).is_pending());
        abort.abort();
        assert_eq!(counts.each_ref().map(|count| count.0.load(Ordering::Relaxed)), [0, 1]);
        assert!(poll(&counts[1]).is_ready());
    }
}
