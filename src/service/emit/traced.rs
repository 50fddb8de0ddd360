//! An emit with its own trace: [`EmitTraced`].

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use mycelium_core::{Message, TraceContext};
use mycelium_transports::local::{EmitError, Replaced, TaskBudget};

use super::emitter::{Emit, Given};

/// The future of [`Emit::traced`]. If it is dropped before it is ready, the message was not sent.
#[must_use = "a message is sent only when this is awaited: `ctx.emit(message).traced(trace).await?`"]
pub struct EmitTraced<'c, M: Message, Held: Given<M> = M> {
    emit: Emit<'c, M, Held>,
    trace: Option<TraceContext>,
}

impl<'c, M: Message, Held: Given<M>> Emit<'c, M, Held> {
    /// Gives the message an external trace, for example from the header of an HTTP request, instead
    /// of the trace of the current delivery. The message has no trace if `trace` is `None` or has
    /// invalid ids, or the node does not trace the topic.
    ///
    /// ```
    /// # use mycelium::{Context, Result, message, service};
    /// # #[message(topic = "orders", id = 1)]
    /// # struct Order { id: u64 }
    /// # struct Gateway;
    /// #[service(emits(Order))]
    /// impl Gateway {
    ///     async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
    ///         let header = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    ///         Ok(ctx.emit(Order { id: 1 }).traced(header.parse().ok()).await?)
    ///     }
    /// }
    /// ```
    pub fn traced(self, trace: Option<TraceContext>) -> EmitTraced<'c, M, Held> {
        EmitTraced { emit: self, trace: trace.filter(TraceContext::is_valid) }
    }
}

/// Restores, when dropped, the trace of the messages that a task sends. Until then they have
/// another trace, which `new` sets.
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
impl<M: Message, Held: Given<M>> Unpin for EmitTraced<'_, M, Held> {}

impl<M: Message, Held: Given<M>> Future for EmitTraced<'_, M, Held> {
    type Output = Result<(), EmitError<Held::Returned>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let EmitTraced { emit, trace } = self.get_mut();
        let _passing = Passing::new(&emit.emitter.waits.budget, *trace);
        Pin::new(emit).poll(context)
    }
}

impl<M: Message, Held: Given<M>> fmt::Debug for EmitTraced<'_, M, Held> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let EmitTraced { emit, trace } = self;
        f.debug_struct("EmitTraced").field("emit", emit).field("trace", trace).finish()
    }
}
