//! An emit with a trace of its own: [`EmitWith`].

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use mycelium_core::{Message, TraceContext};
use mycelium_transports::local::{EmitError, Replaced, TaskBudget};

use super::Emit;

/// The options of one emit: [`Context::emit_with`](crate::Context::emit_with).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct EmitOptions {
    /// `None` stands for the trace of the current delivery.
    trace: Option<Option<TraceContext>>,
}

impl EmitOptions {
    /// Creates the options of [`emit`](crate::Context::emit): the message gets the trace of the
    /// current delivery.
    pub fn new() -> EmitOptions {
        EmitOptions::default()
    }

    /// Sets the trace of the message. With `None`, or a trace with invalid ids, the message has
    /// none, and also if the node does not trace the topic.
    pub fn trace(mut self, trace: Option<TraceContext>) -> EmitOptions {
        self.trace = Some(trace.filter(TraceContext::is_valid));
        self
    }
}

/// The future of [`Context::emit_with`](crate::Context::emit_with). If it is dropped before it is
/// ready, the message was not sent.
#[must_use = "a message is sent only when this is awaited: `ctx.emit_with(message, options).await?`"]
pub struct EmitWith<'c, M: Message> {
    emit: Emit<'c, M>,
    budget: Arc<TaskBudget>,
    options: EmitOptions,
}

impl<'c, M: Message> EmitWith<'c, M> {
    pub(crate) fn new(
        emit: Emit<'c, M>,
        budget: Arc<TaskBudget>,
        options: EmitOptions,
    ) -> EmitWith<'c, M> {
        EmitWith { emit, budget, options }
    }
}

/// Sets the trace of the messages that a task sends, until this is dropped.
pub(crate) struct Passing(Arc<TaskBudget>, Option<Replaced>);

impl Passing {
    pub(crate) fn new(budget: &Arc<TaskBudget>, trace: Option<TraceContext>) -> Passing {
        let replaced = budget.trace().map(|task| task.replace(trace));
        Passing(budget.clone(), replaced)
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        if let Some((task, replaced)) = self.0.trace().zip(self.1.take()) {
            task.restore(replaced);
        }
    }
}

/// Nothing in the future is pinned.
impl<M: Message> Unpin for EmitWith<'_, M> {}

impl<M: Message> Future for EmitWith<'_, M> {
    type Output = Result<(), EmitError<M>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let EmitWith { emit, budget, options } = self.get_mut();
        let _passing = options.trace.map(|trace| Passing::new(budget, trace));
        Pin::new(emit).poll(context)
    }
}

impl<M: Message> fmt::Debug for EmitWith<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let EmitWith { emit, options, .. } = self;
        f.debug_struct("EmitWith").field("emit", emit).field("options", options).finish()
    }
}
