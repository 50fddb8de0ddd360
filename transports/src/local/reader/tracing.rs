//! The trace of the current delivery of the reader's task.
//!
//! A delivery is the current one until the next find. Messages of a traced topic are not found by
//! the fast path of others, because their slots are longer than a message: they have one of their
//! own. Of a batch, the first message counts.

use mycelium_core::TraceContext;
use zerocopy::IntoBytes;

use super::{Header, Reader};
use crate::local::trace::{TraceArea, TracedMessage, trace_in};

impl Reader {
    #[inline(always)]
    pub(in crate::local) fn is_traced(&self) -> bool {
        self.traces.is_some()
    }

    /// As [`peek_fast`](Reader::peek_fast), of a traced topic, for readers that borrow its slots.
    #[inline(always)]
    pub(in crate::local) fn peek_fast_traced(
        &mut self,
        words: &mut [usize],
        length: usize,
    ) -> Option<Header> {
        let keeps = self.membership.state.policy.keeps();
        let is_fast = self.is_traced() && keeps && self.is_fast();
        let index = self.turn;
        let edge = self.edges.get_mut(index).filter(|edge| is_fast && edge.lends())?;
        // The words have room for the message alone: its trace is read in the slot.
        let content = TraceArea::Present.content_bytes(length);
        let place = edge.consumer.peek_exact(words, content)?;
        if edge.may_miss() {
            return None;
        }
        Some(Header { edge: index, sequence: edge.sequence(place), redelivered: false })
    }

    /// Takes the message of [`peek_fast_traced`](Reader::peek_fast_traced).
    #[inline(always)]
    pub(in crate::local) fn take_fast_traced(&mut self, header: Header) {
        self.begin_handling(header);
        self.take_fast();
    }

    /// The task takes a message that was found: it is its current delivery.
    #[inline(never)]
    pub(super) fn begin_handling(&mut self, header: Header) {
        if self.budget.trace().is_none() {
            // The task that knows of the delivery before does not take this one.
            self.end_handling(false);
        }
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
        if self.is_traced() && !self.edges[edge].publisher.area.is_present() {
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
