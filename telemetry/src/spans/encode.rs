//! A batch of spans as an `ExportTraceServiceRequest` of OTLP 1, whose fields are numbered by
//! `opentelemetry/proto/trace/v1/trace.proto`. A test decodes it by the official definitions.

use mycelium_transports::local::{Span, SpanKind};

use crate::otlp::Resource;
use crate::otlp::common::{Attribute, attribute, nanoseconds, scope};
use crate::otlp::protobuf::Message;

/// The value of `messaging.system`.
const SYSTEM: &str = "mycelium";
/// `STATUS_CODE_ERROR`.
const ERROR: u64 = 2;

/// Writes a batch. It sorts the spans by service, as each service is a resource.
pub(super) fn encode(
    request: &mut Message,
    resource: &Resource,
    namespace: Option<&str>,
    spans: &mut [Span],
) {
    spans.sort_by(|a, b| a.service.cmp(&b.service));
    for of_service in spans.chunk_by(|a, b| a.service == b.service) {
        request.message(1, |resource_spans| {
            let service = &of_service[0].service;
            resource_spans.message(1, |message| {
                resource.write(message, service, namespace);
            });
            resource_spans.message(2, |scope_spans| {
                scope_spans.message(1, scope);
                for span in of_service {
                    scope_spans.message(2, |message| write_span(message, span));
                }
            });
        });
    }
}

fn write_span(message: &mut Message, span: &Span) {
    // The numbers of `SpanKind`: producer, consumer, internal.
    let (operation, kind) = match span.kind {
        SpanKind::Root => ("send", 4),
        SpanKind::Handle => ("process", 5),
        // A kind that is newer than this package.
        _ => ("handle", 1),
    };
    message.bytes(1, &span.context.trace_id);
    message.bytes(2, &span.context.span_id);
    if let Some(parent) = span.parent {
        message.bytes(4, &parent);
    }
    message.bytes(5, format!("{operation} {}", span.topic).as_bytes());
    message.number(6, kind);
    message.fixed64(7, nanoseconds(span.start));
    message.fixed64(8, nanoseconds(span.end));
    let mut with = |key, value| attribute(message, 9, key, value);
    with("messaging.system", Attribute::Text(SYSTEM));
    with("messaging.operation.name", Attribute::Text(operation));
    if kind != 1 {
        with("messaging.operation.type", Attribute::Text(operation));
    }
    with("messaging.destination.name", Attribute::Text(&span.topic));
    with("mycelium.publisher", Attribute::Text(&span.publisher));
    with("mycelium.sequence", Attribute::Number(span.sequence));
    if span.has_failed {
        message.message(15, |status| status.number(3, ERROR));
    }
    message.fixed32(16, span.context.flags.into());
}
