//! The traces of requests: a requester gives each request a trace, and a service that takes a
//! request handles it until it takes the next one.

use std::sync::Arc;

use mycelium_core::TraceContext;
use mycelium_transports::local::{TaskBudget, TraceSource, TracedMessage, Tracer};

/// The traces of the requests of one requester.
pub(super) struct RequestTraces {
    topic: Arc<str>,
    source: TraceSource,
    /// The number of requests that the requester has made.
    requests: u64,
}

impl RequestTraces {
    pub(super) fn new(topic: &Arc<str>, tracer: Arc<Tracer>) -> RequestTraces {
        let source = TraceSource::new(tracer);
        RequestTraces { topic: topic.clone(), source, requests: 0 }
    }

    /// Returns the trace of the next request.
    pub(super) fn next(&mut self, requester: &Arc<str>) -> Option<TraceContext> {
        let RequestTraces { topic, source, requests } = self;
        let message = TracedMessage { topic, publisher: requester, sequence: *requests };
        *requests += 1;
        let task = TaskBudget::traced();
        source.next(task.as_ref().and_then(|task| task.trace()), message)
    }
}

/// The request that a service is handling.
#[derive(Clone)]
pub(super) struct TakenTraces {
    topic: Arc<str>,
    task: Arc<TaskBudget>,
    /// The number of requests that were taken.
    taken: u64,
    /// Whether a request is the current delivery of the service's task.
    is_handling: bool,
}

impl TakenTraces {
    pub(super) fn new(topic: &Arc<str>, task: Arc<TaskBudget>) -> TakenTraces {
        TakenTraces { topic: topic.clone(), task, taken: 0, is_handling: false }
    }

    /// Makes a request with this trace the current delivery of the task.
    pub(super) fn take(&mut self, requester: &Arc<str>, trace: Option<TraceContext>) {
        let TakenTraces { topic, task, taken, is_handling } = self;
        let message = TracedMessage { topic, publisher: requester, sequence: *taken };
        *taken += 1;
        if let Some(task) = task.current_trace() {
            task.take(message, trace);
            *is_handling = true;
        }
    }

    /// Ends the current delivery, if it is a request.
    pub(super) fn end_handling(&mut self) {
        if std::mem::take(&mut self.is_handling)
            && let Some(task) = self.task.trace()
        {
            task.end_handling(false);
        }
    }
}
