//! What a collector gets, read by the official definitions.

use std::time::{Duration, UNIX_EPOCH};

use mycelium_core::TraceContext;
use mycelium_telemetry::spans::OtlpTraces;
use mycelium_transports::local::{Span, SpanKind, SpanSink};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind as Kind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;

use super::faults::Running;
use crate::attributes;
use crate::collector::{Collector, texts};

/// A message that was sent by `Feed`, and its handling by `Sum`, which failed.
fn spans() -> [Span; 2] {
    let trace: TraceContext =
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse().unwrap();
    let mut sent = Span::new(trace, SpanKind::Root, "Feed", "ticks");
    sent.start = UNIX_EPOCH + Duration::new(1_700_000_000, 5);
    sent.end = sent.start;
    let mut handled = Span::new(trace.with_span([7; 8]), SpanKind::Handle, "Sum", "ticks");
    handled.parent = Some(trace.span_id);
    handled.publisher = "Feed".into();
    handled.sequence = 300;
    handled.start = sent.start + Duration::from_micros(20);
    handled.end = sent.start + Duration::from_micros(50);
    handled.has_failed = true;
    [sent, handled]
}

#[test]
fn spans_have_the_ids_times_and_attributes_that_opentelemetry_defines() {
    let collector = Collector::new([]);
    let settings = OtlpTraces::new(&format!("{}/otlp/", collector.url()));
    let settings = settings.namespace("bandit").header("authorization", "Bearer abc");
    let running = Running::start(settings);
    spans().into_iter().for_each(|span| running.queue.record(span));
    running.end();
    let request = collector.request();
    assert_eq!(request.line, "POST /otlp/v1/traces HTTP/1.1");
    assert_eq!(request.header("content-type"), "application/x-protobuf");
    assert_eq!(request.header("authorization"), "Bearer abc");
    let [feed, sum] = request.spans().resource_spans.try_into().unwrap();
    for (service, resource) in [("Feed", &feed), ("Sum", &sum)] {
        let attributes = texts(&resource.resource.as_ref().unwrap().attributes);
        assert_eq!(attributes["service.name"], service);
        assert_eq!(attributes["service.namespace"], "bandit");
        assert_eq!(attributes["service.instance.id"], "00000000-0000-4000-8000-000000000007");
        assert_eq!(attributes["mycelium.node"], "main");
        assert_eq!(attributes["process.pid"], std::process::id().to_string());
        assert_eq!(attributes["telemetry.sdk.language"], "rust");
        assert!(!attributes["host.name"].is_empty());
        assert_eq!(resource.scope_spans[0].scope.as_ref().unwrap().name, "mycelium");
    }
    let [sent, handled] = [&feed, &sum].map(|resource| &resource.scope_spans[0].spans[0]);
    assert_eq!(sent.trace_id, 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736_u128.to_be_bytes());
    assert_eq!(sent.trace_id, handled.trace_id);
    assert_eq!((&*sent.parent_span_id, &sent.span_id), (&[][..], &handled.parent_span_id));
    assert_eq!((handled.span_id.as_slice(), sent.flags, handled.flags), (&[7; 8][..], 1, 1));
    assert_eq!((sent.name.as_str(), handled.name.as_str()), ("send ticks", "process ticks"));
    assert_eq!((sent.kind(), handled.kind()), (Kind::Producer, Kind::Consumer));
    let start = 1_700_000_000_000_000_005;
    assert_eq!((sent.start_time_unix_nano, sent.end_time_unix_nano), (start, start));
    let times = (handled.start_time_unix_nano, handled.end_time_unix_nano);
    assert_eq!(times, (start + 20_000, start + 50_000));
    assert_eq!(sent.status, None);
    assert_eq!(handled.status.as_ref().unwrap().code(), StatusCode::Error);
    for (span, operation, sequence) in [(sent, "send", "0"), (handled, "process", "300")] {
        let expected = attributes([
            ("messaging.destination.name", "ticks"),
            ("messaging.operation.name", operation),
            ("messaging.operation.type", operation),
            ("messaging.system", "mycelium"),
            ("mycelium.publisher", "Feed"),
            ("mycelium.sequence", sequence),
        ]);
        assert_eq!(texts(&span.attributes), expected);
    }
}

#[test]
fn spans_before_1970_have_the_time_zero() {
    let collector = Collector::new([]);
    let running = Running::start(OtlpTraces::new(&collector.url()));
    let [mut span, _] = spans();
    span.start = UNIX_EPOCH - Duration::from_secs(1);
    running.queue.record(span);
    running.end();
    let request = collector.request().spans();
    assert_eq!(request.resource_spans[0].scope_spans[0].spans[0].start_time_unix_nano, 0);
}
