//! Encodes a batch of spans as an `ExportTraceServiceRequest` of OTLP 1.

use hyper::body::Bytes;
use mycelium_transports::local::{Span, SpanKind};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind as Kind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span as OtlpSpan, Status};
use prost::Message;

use crate::otlp::Resource;
use crate::otlp::common::{nanoseconds, number, scope, text};

/// Encodes a batch. Sorts the spans by service, because each service is a resource.
pub(super) fn encode(resource: &Resource, namespace: Option<&str>, spans: &mut [Span]) -> Bytes {
    spans.sort_by(|a, b| a.service.cmp(&b.service));
    let of_services = spans.chunk_by(|a, b| a.service == b.service).map(|spans| {
        let resource = Some(resource.message(&spans[0].service, namespace));
        let (scope, spans) = (Some(scope()), spans.iter().map(message).collect());
        let scope_spans = vec![ScopeSpans { scope, spans, ..ScopeSpans::default() }];
        ResourceSpans { resource, scope_spans, ..ResourceSpans::default() }
    });
    let request = ExportTraceServiceRequest { resource_spans: of_services.collect() };
    request.encode_to_vec().into()
}

fn message(span: &Span) -> OtlpSpan {
    let (operation, kind) = match span.kind {
        SpanKind::Root => ("send", Kind::Producer),
        SpanKind::Handle => ("process", Kind::Consumer),
        // A kind unknown to this version of the package.
        _ => ("handle", Kind::Internal),
    };
    let mut attributes = vec![
        text("messaging.system", "mycelium"),
        text("messaging.operation.name", operation),
        text("messaging.destination.name", &span.topic),
        text("mycelium.publisher", &span.publisher),
        number("mycelium.sequence", span.sequence),
    ];
    if kind != Kind::Internal {
        attributes.push(text("messaging.operation.type", operation));
    }
    let failed = || Status { code: StatusCode::Error.into(), ..Status::default() };
    OtlpSpan {
        trace_id: span.context.trace_id.to_vec(),
        span_id: span.context.span_id.to_vec(),
        parent_span_id: span.parent.map(Vec::from).unwrap_or_default(),
        name: format!("{operation} {}", span.topic),
        kind: kind.into(),
        start_time_unix_nano: nanoseconds(span.start),
        end_time_unix_nano: nanoseconds(span.end),
        attributes,
        status: span.has_failed.then(failed),
        flags: span.context.flags.into(),
        ..OtlpSpan::default()
    }
}
