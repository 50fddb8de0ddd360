//! The trace of the current delivery of the reader's task.
//!
//! A delivery is the current one until the next find: messages of a traced topic are never found by
//! the fast path, because their slots are longer than a message. Of a batch, the first message
//! counts.

use mycelium_core::TraceContext;
use zerocopy::IntoBytes;

use super::{Header, Reader};
use crate::local::trace::{TracedMessage, trace_in};

impl Reader {
    /// The task takes a message that was found: it is its current delivery.
    #[inline(never)]
    pub(super) fn begin_handling(&mut self, header: Header) {
        let trace = self.trace_of(header);
        let Reader { edges, budget, membership, traces: Some(current), .. } = self else { return };
        (current.is_handling, current.trace) = (true, trace);
        if let Some(task) = budget.trace() {
            current.is_told = true;
            let publisher = &edges[header.edge].publisher;
            let (topic, publisher) = (&publisher.topic, &publisher.name);
            task.take(TracedMessage { topic, publisher, sequence: header.sequence }, trace);
        }
        if current.has_untraced {
            // The fast path must not find the next message.
            membership.forget_version();
        }
    }

    /// That message is no longer the current delivery.
    #[inline]
    pub(in crate::local) fn end_handling(&mut self, has_failed: bool) {
        let Some(current) = self.traces.as_mut().filter(|current| current.is_handling) else {
            return;
        };
        (current.is_handling, current.trace) = (false, None);
        // The task may be over by now.
        let task = self.budget.any_trace().filter(|_| std::mem::take(&mut current.is_told));
        task.into_iter().for_each(|task| task.end_handling(has_failed));
    }

    /// The trace of the current delivery.
    pub(in crate::local) fn trace(&self) -> Option<TraceContext> {
        self.traces.as_ref()?.trace
    }

    /// An observer's copy is of this edge: removes the trace of an earlier one.
    pub(super) fn clear_stale_trace(&mut self, edge: usize) {
        if self.traces.is_some() && !self.edges[edge].publisher.area.is_present() {
            let message = self.membership.topic.schema().size.div_ceil(size_of::<usize>());
            self.words.get_mut(message..).into_iter().for_each(|area| area.fill(0));
        }
    }

    /// The trace of a message that was found.
    fn trace_of(&mut self, header: Header) -> Option<TraceContext> {
        let edge = &mut self.edges[header.edge];
        if !edge.publisher.area.is_present() {
            return None;
        }
        if self.membership.state.policy.keeps() && edge.lends() {
            let messages = edge.consumer.read(1)?;
            trace_in(messages.get(0)?)
        } else {
            trace_in(self.words.as_bytes())
        }
    }
}
