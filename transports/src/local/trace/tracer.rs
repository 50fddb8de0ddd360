//! Spans, and the tracer: it begins traces for a share of messages, and hands over ended spans.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use mycelium_core::TraceContext;
use mycelium_executor::Executor;

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
    /// The publisher that sent the message, or the service or type of actor that handled it.
    pub service: Arc<str>,
    /// The topic of the message; for an actor's message without a reply, the message type.
    pub topic: Arc<str>,
    /// The publisher of the message; for a message that an actor handled, the name of the actor.
    pub publisher: Arc<str>,
    /// The message's sequence at this start of the publisher, or its number among the messages that
    /// the actor has handled.
    pub sequence: u64,
    /// The time at which the span began.
    pub start: SystemTime,
    /// The time at which the span ended, not before `start`.
    pub end: SystemTime,
    /// Whether the handling of the message failed, by an error or a panic.
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

/// The kind of a [`Span`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpanKind {
    /// The sending of a message that no other message has caused.
    Root,
    /// The handling of a message: from its delivery to the next receive, or by a handler of an
    /// actor.
    Handle,
}

/// Gets spans that have ended.
pub trait SpanSink: fmt::Debug + Send + Sync {
    /// Records a span. It must not block, because tasks of services call it.
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
    /// The topic of the message.
    pub topic: &'a Arc<str>,
    /// The publisher of the message, or the requester.
    pub publisher: &'a Arc<str>,
    /// The message's number among the messages of this sender.
    pub sequence: u64,
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

    /// Creates the chooser of one sender's traces that are in the sample.
    pub(super) fn random_share(&self) -> RandomShare {
        RandomShare::new(self.share)
    }

    /// Begins the trace of a message that is being sent, and is in the sample.
    pub(super) fn begin(
        &self,
        random: &mut fastrand::Rng,
        message: TracedMessage<'_>,
    ) -> Option<TraceContext> {
        let span = self.open(random, SpanKind::Root, message.publisher, message, None)?;
        let context = span.context;
        self.sink.record(span);
        Some(context)
    }

    /// Opens the span of `service`, which sends or handles a message. A message without a trace
    /// begins one, which is in the sample.
    pub(super) fn open(
        &self,
        random: &mut fastrand::Rng,
        kind: SpanKind,
        service: &Arc<str>,
        message: TracedMessage<'_>,
        trace: Option<TraceContext>,
    ) -> Option<Span> {
        let now = self.executor.get()?.wall_clock();
        Some(Span {
            context: match trace {
                Some(trace) => trace.with_span(span_id(random)),
                None => new_trace(random),
            },
            parent: trace.map(|trace| trace.span_id),
            kind,
            service: service.clone(),
            topic: message.topic.clone(),
            publisher: message.publisher.clone(),
            sequence: message.sequence,
            start: now,
            end: now,
            has_failed: false,
        })
    }

    /// Ends a span, and hands it over.
    pub(super) fn close(&self, mut span: Span, has_failed: bool) {
        let Some(executor) = self.executor.get() else { return };
        // Keeps the end from being before the start, because the clock may have been set back.
        span.end = executor.wall_clock().max(span.start);
        span.has_failed = has_failed;
        self.sink.record(span);
    }
}

/// Creates a trace that begins with this span.
fn new_trace(random: &mut fastrand::Rng) -> TraceContext {
    // An id is never zero. A range without zero would cost more multiplications.
    let trace_id = random.u128(..).max(1).to_be_bytes();
    TraceContext { trace_id, span_id: span_id(random), flags: TraceContext::SAMPLED }
}

/// Creates a random id, which is never zero.
fn span_id(random: &mut fastrand::Rng) -> [u8; 8] {
    random.u64(..).max(1).to_be_bytes()
}

// Random shares: each message is chosen independently. A message that is not chosen costs a
// decrement.

/// Chooses a share of the messages of one sender.
#[derive(Debug)]
pub(crate) struct RandomShare {
    /// The share, from 0 to 1.
    share: f64,
    /// Created with the first choice.
    random: Option<fastrand::Rng>,
    /// The number of messages to leave out before the next chosen one.
    left_out: u64,
}

impl RandomShare {
    /// Creates the chooser of a new sender.
    pub(crate) fn new(share: f64) -> RandomShare {
        RandomShare { share, random: None, left_out: 0 }
    }

    /// Returns random numbers for the next message, which counts as passed; `None` if it is not
    /// chosen. `first` creates the generator; while it returns `None`, no message is chosen.
    #[inline]
    pub(crate) fn next(
        &mut self,
        first: impl FnOnce() -> Option<fastrand::Rng>,
    ) -> Option<&mut fastrand::Rng> {
        if self.left_out > 0 {
            self.left_out -= 1;
            return None;
        }
        self.choose(first)
    }

    #[inline(never)]
    fn choose(
        &mut self,
        first: impl FnOnce() -> Option<fastrand::Rng>,
    ) -> Option<&mut fastrand::Rng> {
        let RandomShare { share, random, left_out } = self;
        if random.is_none() {
            let first = random.insert(first()?);
            *left_out = gap(*share, first);
            if *left_out > 0 {
                *left_out -= 1;
                return None;
            }
        }
        let random = random.as_mut()?;
        *left_out = gap(*share, random);
        Some(random)
    }

    /// Returns the number of messages that are left out before the next chosen one.
    pub(crate) fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Counts this number of messages as passed, at most [`left_out`](RandomShare::left_out).
    pub(crate) fn leave_out(&mut self, messages: u64) {
        self.left_out -= messages;
    }
}

/// Returns the number of messages to leave out before the next chosen one, if each is chosen
/// independently. (The gaps between the successes of independent trials have a geometric
/// distribution.)
fn gap(share: f64, random: &mut fastrand::Rng) -> u64 {
    if share >= 1.0 {
        return 0;
    }
    // The random number is in (0, 1]. A conversion of floats saturates: with a share of 0, all
    // messages are left out.
    let gap = (1.0 - random.f64()).ln() / (-share).ln_1p();
    if gap.is_nan() { u64::MAX } else { gap as u64 }
}
