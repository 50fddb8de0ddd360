//! The queue between the tasks of services and the exporter.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};

use mycelium_core::ring::PopError;
use mycelium_core::ring::mpmc::{Boxed, Mpmc};
use mycelium_transports::local::{Span, SpanSink};

use crate::otlp::bell::Bell;

/// Takes the spans of a node, for an [`Exporter`](super::Exporter). If it is full, a span is
/// dropped and counted: no task waits, and nothing is allocated.
#[derive(Clone)]
pub struct SpanQueue(Arc<State>);

struct State {
    ring: Boxed<Span>,
    /// The number of spans that were dropped because the queue was full.
    dropped: AtomicU64,
    /// Whether the exporter was woken for a full batch and has not checked the queue since.
    is_awake: AtomicBool,
    /// The number of queued spans at which the exporter is woken.
    batch: usize,
    /// Wakes the exporter.
    bell: Arc<Bell>,
}

impl SpanSink for SpanQueue {
    fn record(&self, span: Span) {
        let State { ring, dropped, is_awake, batch, bell } = &*self.0;
        if Mpmc::producer(ring).try_push(span).is_err() {
            dropped.fetch_add(1, Ordering::Relaxed);
        }
        // Wakes the exporter once for a batch.
        if ring.len() >= *batch && !is_awake.swap(true, Ordering::SeqCst) {
            bell.ring();
        }
    }
}

impl SpanQueue {
    /// Creates an empty queue with `places`, a power of two and at least 2.
    pub(super) fn new(places: usize, batch: usize) -> SpanQueue {
        let ring = Boxed::with_capacity(places).expect("the settings were checked");
        let (dropped, is_awake) = (AtomicU64::new(0), AtomicBool::new(false));
        SpanQueue(Arc::new(State { ring, dropped, is_awake, batch, bell: Arc::default() }))
    }

    /// Returns the bell that wakes the exporter.
    pub(super) fn bell(&self) -> Arc<Bell> {
        self.0.bell.clone()
    }

    /// Moves spans out of the queue until `spans` has `most`. With fewer in the queue it takes
    /// none, unless `is_time`. Returns whether the queue was closed and is empty.
    pub(super) fn take(&self, spans: &mut Vec<Span>, most: usize, is_time: bool) -> bool {
        self.0.is_awake.store(false, Ordering::SeqCst);
        // Either this check sees the span that completes a batch, or the task of that span sees
        // that the exporter sleeps. A partial batch stays in the queue, because the task counts the
        // spans there.
        fence(Ordering::SeqCst);
        if !is_time && self.0.ring.len() < most {
            return false;
        }
        let mut reader = Mpmc::consumer(&self.0.ring);
        while spans.len() < most {
            match reader.try_pop() {
                Ok(span) => spans.push(span),
                Err(error) => return error == PopError::Closed,
            }
        }
        false
    }

    /// Closes the queue: further spans are refused.
    pub(super) fn close(&self) {
        self.0.ring.close();
    }

    /// Returns the number of spans dropped so far because the queue was full.
    pub(super) fn dropped(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for SpanQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (spans, dropped) = (self.0.ring.len(), self.dropped());
        f.debug_struct("SpanQueue").field("spans", &spans).field("dropped", &dropped).finish()
    }
}
