//! Records the spans of a test.

use std::sync::{Arc, Mutex};

use crate::local::{Span, SpanSink, Tracer};
use crate::sync::lock;

/// A recorder of spans. Clones share the recorded spans.
#[derive(Clone, Debug, Default)]
pub struct Spans(Arc<Mutex<Vec<Span>>>);

impl SpanSink for Spans {
    fn record(&self, span: Span) {
        lock(&self.0).push(span);
    }
}

impl Spans {
    /// Returns the spans that were recorded since the last call.
    pub fn take(&self) -> Vec<Span> {
        std::mem::take(&mut *lock(&self.0))
    }

    /// Creates a tracer that samples half of all traces, and the record of its spans.
    pub(super) fn half() -> (Arc<Tracer>, Spans) {
        let spans = Spans::default();
        (Tracer::new(0.5, Arc::new(spans.clone())), spans)
    }
}
