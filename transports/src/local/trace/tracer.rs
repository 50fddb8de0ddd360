//! Spans, and the tracer that begins traces and says when a span has ended.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use mycelium_core::TraceContext;
use mycelium_executor::Executor;

use super::random_share::RandomShare;

/// A part of a trace that has ended: the sending of the message that began the trace, or the
/// handling of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Span {
    /// The trace, and this span in it.
    pub context: TraceContext,
    /// The span that sent the message; `None` if this one has begun the trace.
    pub parent: Option<[u8; 8]>,
    /// What happened.
    pub kind: SpanKind,
    /// The publisher that sent the message; or the service, or the type of the actor, that handled
    /// it.
    pub service: Arc<str>,
    /// The topic of the message; for an actor's message without a reply, its type.
    pub topic: Arc<str>,
    /// The publisher of the message; for a message that an actor handled, the name of the actor.
    pub publisher: Arc<str>,
    /// The message's number among those of this start of the publisher, or among those that the
    /// actor has handled.
    pub sequence: u64,
    /// When the span began.
    pub start: SystemTime,
    /// When it ended, not before its start.
    pub end: SystemTime,
    /// The handling of the message failed, by an error or a panic.
    pub has_failed: bool,
}

impl Span {
    /// Creates a span for tests of a [`SpanSink`]: the first message of the service as a publisher,
    /// at the start of Unix time, without a parent. Its fields can be set.
    ///
    /// ```
    /// use mycelium_transports::local::{Span, SpanKind};
    ///
    /// let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse()?;
    /// let mut span = Span::new(trace, SpanKind::Handle, "Sum", "numbers");
    /// span.parent = Some([7; 8]);
    /// # Ok::<(), mycelium_core::TraceParseError>(())
    /// ```
    #[must_use]
    pub fn new(context: TraceContext, kind: SpanKind, service: &str, topic: &str) -> Span {
        let service: Arc<str> = service.into();
        Span {
            context,
            parent: None,
            kind,
            publisher: service.clone(),
            service,
            topic: topic.into(),
            sequence: 0,
            start: SystemTime::UNIX_EPOCH,
            end: SystemTime::UNIX_EPOCH,
            has_failed: false,
        }
    }
}

/// What a [`Span`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpanKind {
    /// A message was sent that no other message has caused.
    Root,
    /// A message was handled: from its delivery to the next receive, or by a handler of an actor.
    Handle,
}

/// Takes spans that have ended.
pub trait SpanSink: fmt::Debug + Send + Sync {
    /// Takes a span. It must not block: tasks of services call it.
    fn record(&self, span: Span);
}

/// Begins the traces of a node's messages, and hands over the spans that have ended.
pub struct Tracer {
    /// The executor, whose clock times the spans.
    executor: OnceLock<Arc<dyn Executor>>,
    /// The share of the traces that is in the sample.
    share: f64,
    sink: Arc<dyn SpanSink>,
}

/// A message of a traced topic, or a request.
#[derive(Clone, Copy, Debug)]
pub struct TracedMessage<'a> {
    /// Its topic.
    pub topic: &'a Arc<str>,
    /// Its publisher, or its requester.
    pub publisher: &'a Arc<str>,
    /// The message's number among those of this sender.
    pub sequence: u64,
}

/// A span that has not ended.
#[derive(Debug)]
pub(super) struct OpenSpan {
    context: TraceContext,
    /// The parent; `None` if this span has begun the trace.
    parent: Option<[u8; 8]>,
    topic: Arc<str>,
    publisher: Arc<str>,
    sequence: u64,
    start: SystemTime,
}

impl OpenSpan {
    /// Returns the trace of the messages that are sent while the span is open.
    pub(super) fn context(&self) -> TraceContext {
        self.context
    }
}

impl fmt::Debug for Tracer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracer").field("share", &self.share).field("sink", &self.sink).finish()
    }
}

impl Tracer {
    /// Creates a tracer that samples this share, from 0 to 1, of the traces that begin here, at
    /// random. No trace begins, and no span is recorded, before there is an
    /// [executor](Tracer::set_executor).
    #[must_use]
    pub fn new(share: f64, sink: Arc<dyn SpanSink>) -> Arc<Tracer> {
        Arc::new(Tracer { executor: OnceLock::new(), share, sink })
    }

    /// Sets the executor that gives spans their time and random numbers. Only the first one counts.
    pub fn set_executor(&self, executor: Arc<dyn Executor>) {
        let _ = self.executor.set(executor);
    }

    /// Creates a generator of random numbers for one publisher, or one task.
    pub(super) fn random(&self) -> Option<fastrand::Rng> {
        Some(fastrand::Rng::with_seed(self.executor.get()?.entropy()))
    }

    /// Creates what chooses the traces of one sender that are in the sample.
    pub(super) fn random_share(&self) -> RandomShare {
        RandomShare::new(self.share)
    }

    /// Begins the trace of a message that is being sent, and is in the sample.
    pub(super) fn begin(
        &self,
        random: &mut fastrand::Rng,
        message: TracedMessage<'_>,
    ) -> Option<TraceContext> {
        let now = self.executor.get()?.wall_clock();
        let context = new_trace(random);
        let TracedMessage { topic, publisher, sequence } = message;
        self.sink.record(Span {
            context,
            parent: None,
            kind: SpanKind::Root,
            service: publisher.clone(),
            topic: topic.clone(),
            publisher: publisher.clone(),
            sequence,
            start: now,
            end: now,
            has_failed: false,
        });
        Some(context)
    }

    /// Opens the span of a message that was delivered. If the message has no trace, it begins one,
    /// which is in the sample.
    pub(super) fn open(
        &self,
        random: &mut fastrand::Rng,
        message: TracedMessage<'_>,
        trace: Option<TraceContext>,
    ) -> Option<OpenSpan> {
        let TracedMessage { topic, publisher, sequence } = message;
        let start = self.executor.get()?.wall_clock();
        let context = match trace {
            Some(trace) => trace.with_span(span_id(random)),
            None => new_trace(random),
        };
        let parent = trace.map(|trace| trace.span_id);
        let (topic, publisher) = (topic.clone(), publisher.clone());
        Some(OpenSpan { context, parent, topic, publisher, sequence, start })
    }

    /// Ends a span, and hands it over.
    pub(super) fn close(&self, open: OpenSpan, service: &Arc<str>, has_failed: bool) {
        let Some(executor) = self.executor.get() else { return };
        let OpenSpan { context, parent, topic, publisher, sequence, start } = open;
        self.sink.record(Span {
            context,
            parent,
            kind: SpanKind::Handle,
            service: service.clone(),
            topic,
            publisher,
            sequence,
            start,
            // The end is never before the start, although the clock may have been set back.
            end: executor.wall_clock().max(start),
            has_failed,
        });
    }
}

/// Creates a trace that begins with this span.
fn new_trace(random: &mut fastrand::Rng) -> TraceContext {
    // The id is never zero.
    let trace_id = random.u128(1..).to_be_bytes();
    TraceContext { trace_id, span_id: span_id(random), flags: TraceContext::SAMPLED }
}

/// Creates a random id, which is never zero.
fn span_id(random: &mut fastrand::Rng) -> [u8; 8] {
    random.u64(1..).to_be_bytes()
}
