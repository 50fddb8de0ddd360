//! The traces of a node, as its program or its topology requests them.

use std::sync::Arc;

use mycelium_core::Code;
use mycelium_transports::local::{Span, SpanSink, Tracer};

use crate::error::BuildError;

/// Which traces are recorded, and where their spans go.
#[derive(Debug, Default)]
pub(crate) struct Traces {
    share: Option<f64>,
    sink: Option<Arc<dyn SpanSink>>,
}

impl Traces {
    /// Sets the program's own sink, which gets each span in addition to the exporter.
    pub(crate) fn set_sink(&mut self, sink: Arc<dyn SpanSink>) {
        self.sink = Some(sink);
    }

    /// Sets the share of traces that are recorded. The last call counts.
    pub(crate) fn set_share(&mut self, share: f64) {
        self.share = Some(share);
    }

    /// Returns the share that the program sets.
    #[cfg(feature = "describe")]
    pub(crate) fn share(&self) -> Option<f64> {
        self.share
    }

    /// Returns whether the program has a sink for the spans.
    #[cfg(feature = "describe")]
    pub(crate) fn have_sink(&self) -> bool {
        self.sink.is_some()
    }

    /// Creates the tracer of the node's topics, if there is a consumer of spans: the program's sink
    /// or the exporter's queue. By default it records all traces.
    pub(crate) fn tracer(
        self,
        exporter: Option<Arc<dyn SpanSink>>,
    ) -> Result<Option<Arc<Tracer>>, BuildError> {
        let share = self.share.unwrap_or(1.0);
        if !(0.0..=1.0).contains(&share) {
            let problem = format!(
                "invalid share {share} of the traces to record: expected a number from 0 to 1"
            );
            return Err(BuildError::new(Code::TRACE_SHARE, problem));
        }
        let sink = match (self.sink, exporter) {
            (Some(own), Some(exporter)) => Arc::new(Both(own, exporter)),
            (Some(sink), None) | (None, Some(sink)) => sink,
            (None, None) => return Ok(None),
        };
        Ok(Some(Tracer::new(share, sink)))
    }
}

/// Passes each span to two sinks.
#[derive(Debug)]
struct Both(Arc<dyn SpanSink>, Arc<dyn SpanSink>);

impl SpanSink for Both {
    fn record(&self, span: Span) {
        self.0.record(span.clone());
        self.1.record(span);
    }
}
