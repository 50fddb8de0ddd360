//! Records the traces that begin in a law.

use std::sync::{Arc, Mutex};

use crate::local::{Span, SpanSink, Tracer};
use crate::sync::lock;

/// The spans with which traces began.
#[derive(Debug, Default)]
pub(super) struct Begun(Mutex<Vec<Span>>);

impl SpanSink for Begun {
    fn record(&self, span: Span) {
        lock(&self.0).push(span);
    }
}

impl Begun {
    /// The spans so far.
    pub(super) fn spans(&self) -> Vec<Span> {
        lock(&self.0).clone()
    }

    /// Creates a tracer that samples half of all traces, and the record of its spans.
    pub(super) fn half() -> (Arc<Tracer>, Arc<Begun>) {
        let begun = Arc::<Begun>::default();
        (Tracer::new(0.5, begun.clone()), begun)
    }
}
