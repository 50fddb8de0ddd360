//! Spans of `tracing`, as `tracing-opentelemetry` hands them to the SDK of OpenTelemetry, whose
//! batch processor exports them on a thread of its own.

use mycelium_core::Message;
use mycelium_transports::counters::Region;
use mycelium_transports::local::{Publisher, Schema, Subscription, TaskBudget, Topic};
use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};
use tracing::Dispatch;
use tracing::dispatcher::with_default;
use tracing_subscriber::layer::SubscriberExt;

use crate::ends::{CAPACITY, Ends, Push, Task};
use crate::ours::topic::{InTask, wrapped};
use crate::sample::Sample;

pub(crate) const IN_SPAN: &str = "emit in a span of tracing-opentelemetry";

/// Exports nothing.
#[derive(Debug)]
struct Nowhere;

impl SpanExporter for Nowhere {
    async fn export(&self, _: Vec<SpanData>) -> OTelSdkResult {
        Ok(())
    }
}

/// Emits each message in a span with the attributes that ours has.
pub(crate) struct InSpan {
    publisher: Publisher<Sample>,
    sequence: u64,
}

impl Push for InSpan {
    type Item = Sample;

    #[inline]
    fn push(&mut self, sample: &Sample) -> bool {
        let sequence = self.sequence;
        self.sequence += 1;
        let span = tracing::info_span!(
            "emit",
            service = "writer",
            topic = Sample::TOPIC,
            publisher = "writer",
            sequence
        );
        span.in_scope(|| self.publisher.try_emit(*sample).is_ok())
    }
}

/// Its polls have the subscriber of `tracing`.
pub(crate) struct Subscribed {
    task: InTask<InSpan>,
    dispatch: Dispatch,
    _provider: SdkTracerProvider,
}

impl Task for Subscribed {
    type End = InSpan;

    #[inline]
    fn poll<R>(&mut self, work: impl FnOnce(&mut InSpan) -> R) -> R {
        with_default(&self.dispatch, || self.task.poll(work))
    }
}

pub(crate) fn in_span() -> Ends<Subscribed, InTask<Subscription<Sample>>> {
    let schema = Schema::of::<Sample>();
    let topic = Topic::new(Sample::TOPIC, schema, CAPACITY, Region::new(16));
    let topic = topic.expect("the capacity is a power of two");
    let ends =
        wrapped(IN_SPAN, &topic, TaskBudget::new(), |publisher| InSpan { publisher, sequence: 0 });
    let provider = SdkTracerProvider::builder().with_batch_exporter(Nowhere).build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("mycelium-benches"));
    let dispatch = Dispatch::new(tracing_subscriber::registry().with(layer));
    let Ends { name, sender, receiver } = ends;
    Ends::new(name, (Subscribed { task: sender, dispatch, _provider: provider }, receiver))
}
