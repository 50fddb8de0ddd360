//! The traces that have begun in a law.

use std::sync::{Arc, Mutex, PoisonError};

use crate::local::{Span, SpanSink, Tracer};

/// The spans of traces that have begun.
#[derive(Debug, Default)]
pub(super) struct Begun(Mutex<Vec<Span>>);

impl SpanSink for Begun {
    fn record(&self, span: Span) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(span);
    }
}

impl Begun {
    /// The spans so far.
    pub(super) fn spans(&self) -> Vec<Span> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A tracer of half of all traces, and the spans.
    pub(super) fn half() -> (Arc<Tracer>, Arc<Begun>) {
        let begun = Arc::<Begun>::default();
        (Tracer::new(0.5, begun.clone()), begun)
    }
}
