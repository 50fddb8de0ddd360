//! How a reader uses the metadata of messages: the trace of a message becomes that of the task's
//! current delivery, and the time at which the message was sent gives its latency.
//!
//! A delivery is the current one until the next find. The usual fast path finds no messages of a
//! topic whose slots have areas, because such slots are longer than a message: these topics have a
//! fast path of their own. The first message of a batch gives the trace. Each message of a batch is
//! measured once.

use mycelium_core::TraceContext;
use zerocopy::IntoBytes;

use super::{Header, Reader};
use crate::local::trace::{TraceArea, TracedMessage, sent_at_in, trace_in};

impl Reader {
    /// Whether the reader uses areas.
    #[inline(always)]
    pub(in crate::local) fn has_metadata(&self) -> bool {
        self.metadata.is_some()
    }

    /// As [`peek_fast`](Reader::peek_fast), for a topic whose slots have areas and a reader that
    /// borrows its slots.
    #[inline(always)]
    pub(in crate::local) fn peek_fast_with_area(
        &mut self,
        words: &mut [usize],
        length: usize,
    ) -> Option<Header> {
        let keeps = self.membership.state.policy.keeps();
        let is_fast = self.has_metadata() && keeps && self.is_fast();
        let index = self.turn;
        let edge = self.edges.get_mut(index).filter(|edge| is_fast && edge.lends())?;
        // The words have room for the message only; its area is read in the slot.
        let content = TraceArea::Present.content_bytes(length);
        let place = edge.consumer.peek_exact(words, content)?;
        if edge.may_miss() {
            return None;
        }
        Some(Header { edge: index, sequence: edge.sequence(place), redelivered: false })
    }

    /// Takes the message of [`peek_fast_with_area`](Reader::peek_fast_with_area).
    #[inline(always)]
    pub(in crate::local) fn take_fast_with_area(&mut self, header: Header) {
        self.begin_handling(header);
        self.take_fast();
    }

    /// Makes a message that was found, and that the task takes, its current delivery.
    #[inline(never)]
    pub(super) fn begin_handling(&mut self, header: Header) {
        if self.budget.trace().is_none() {
            // This is not the task that knows of the previous delivery, so that one ends here.
            self.end_handling(false);
        }
        if !header.redelivered && self.measures() {
            self.measure(header);
        }
        if self.metadata.as_ref().is_none_or(|metadata| metadata.current.is_none()) {
            return;
        }
        let trace = self.read_area(header, trace_in);
        let Reader { edges, budget, membership, metadata: Some(metadata), .. } = self else {
            return;
        };
        let Some(current) = &mut metadata.current else { return };
        (current.is_handling, current.trace) = (true, trace);
        if let Some(task) = budget.trace() {
            current.is_told = true;
            let publisher = &edges[header.edge].publisher;
            let (topic, publisher) = (&publisher.topic, &publisher.name);
            task.take(TracedMessage { topic, publisher, sequence: header.sequence }, trace);
        }
        if current.has_untraced {
            // Forgets the version, so that the fast path does not find the next message.
            membership.forget_version();
        }
    }

    /// Measures a message that was found.
    fn measure(&mut self, header: Header) {
        let sent_at = self.read_area(header, sent_at_in);
        if let Some(meter) = self.metadata.as_ref().and_then(|it| it.meter.as_ref()) {
            meter.receive(sent_at, self.membership.topic.executor());
        }
    }

    /// Reads the area of a message that was found, if it has one.
    #[inline(always)]
    fn read_area<R>(&mut self, header: Header, read: impl FnOnce(&[u8]) -> Option<R>) -> Option<R> {
        let edge = &mut self.edges[header.edge];
        if !edge.publisher.area.is_present() {
            return None;
        }
        if self.membership.state.policy.keeps() && edge.lends() {
            read(edge.consumer.read(1)?.get(0)?)
        } else {
            read(self.words.as_bytes())
        }
    }

    /// Ends the current delivery.
    #[inline]
    pub(in crate::local) fn end_handling(&mut self, has_failed: bool) {
        let Some(metadata) = &mut self.metadata else { return };
        let Some(current) = metadata.current.as_mut().filter(|current| current.is_handling) else {
            return;
        };
        (current.is_handling, current.trace) = (false, None);
        // Tells the task nothing if it has ended by now.
        let task = self.budget.any_trace().filter(|_| std::mem::take(&mut current.is_told));
        task.into_iter().for_each(|task| task.end_handling(has_failed));
    }

    /// Returns the trace of the current delivery.
    pub(in crate::local) fn trace(&self) -> Option<TraceContext> {
        self.metadata.as_ref()?.current.as_ref()?.trace
    }

    /// Whether the reader measures the latency of messages.
    pub(super) fn measures(&self) -> bool {
        self.metadata.as_ref().is_some_and(|metadata| metadata.meter.is_some())
    }

    /// Removes the area of an earlier message before an observer copies a message of this edge.
    pub(super) fn clear_stale_area(&mut self, edge: usize) {
        if self.has_metadata() && !self.edges[edge].publisher.area.is_present() {
            let message = self.membership.topic.schema().size.div_ceil(size_of::<usize>());
            self.words.get_mut(message..).into_iter().for_each(|area| area.fill(0));
        }
    }
}
