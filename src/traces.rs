//! The traces of a node, as its program or its topology sets them.

use std::sync::Arc;

use mycelium_transports::local::{SpanSink, Tracer};

use crate::error::BuildError;

/// Which traces are recorded, and where their spans go.
#[derive(Debug)]
pub(crate) struct Traces {
    share: f64,
    sink: Arc<dyn SpanSink>,
}

impl Traces {
    pub(crate) fn new(share: f64, sink: Arc<dyn SpanSink>) -> Traces {
        Traces { share, sink }
    }

    /// The tracer of the node's topics.
    pub(crate) fn tracer(self) -> Result<Arc<Tracer>, BuildError> {
        let Traces { share, sink } = self;
        if !(0.0..=1.0).contains(&share) {
            return Err(BuildError::TraceShare { share });
        }
        Ok(Tracer::new(share, sink))
    }
}
