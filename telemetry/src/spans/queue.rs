//! The queue between the tasks of services and the exporter.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};

use mycelium_core::ring::PopError;
use mycelium_core::ring::mpmc::{Boxed, Mpmc};
use mycelium_transports::local::{Span, SpanSink};

use crate::otlp::bell::Bell;

/// Takes the spans of a node, for an [`Exporter`](super::Exporter). A span that finds no room is
/// dropped and counted: no task waits, and nothing is allocated.
#[derive(Clone)]
pub struct SpanQueue(Arc<State>);

struct State {
    ring: Boxed<Span>,
    /// The number of spans that found no room.
    dropped: AtomicU64,
    /// Whether the exporter was woken for a full batch, and has not looked yet.
    is_awake: AtomicBool,
    /// The number of spans that wakes the exporter.
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
    /// Creates an empty queue. `places`, the most spans in it, is a power of two from 2 on.
    pub(super) fn new(places: usize, batch: usize) -> SpanQueue {
        let ring = Boxed::with_capacity(places).expect("the settings were checked");
        let (dropped, is_awake) = (AtomicU64::new(0), AtomicBool::new(false));
        SpanQueue(Arc::new(State { ring, dropped, is_awake, batch, bell: Arc::default() }))
    }

    /// Returns the bell that wakes the exporter.
    pub(super) fn bell(&self) -> Arc<Bell> {
        self.0.bell.clone()
    }

    /// Takes spans until there are `most` of them. If the queue has fewer, it takes none, unless
    /// `is_time`. Returns whether the queue was closed and has none left.
    pub(super) fn take(&self, spans: &mut Vec<Span>, most: usize, is_time: bool) -> bool {
        self.0.is_awake.store(false, Ordering::SeqCst);
        // Either this look sees the span that completes a batch, or the task of that span sees that
        // the exporter sleeps. A part of a batch is not taken before, because it would not count in
        // the task's look.
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

    /// Closes the queue: no further span gets in.
    pub(super) fn close(&self) {
        self.0.ring.close();
    }

    /// The number of spans that were dropped until now.
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
