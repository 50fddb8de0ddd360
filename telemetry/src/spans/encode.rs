//! A batch of spans as an `ExportTraceServiceRequest` of OTLP 1, whose fields are numbered by
//! `opentelemetry/proto/trace/v1/trace.proto`. A test decodes it by the official definitions.

use std::time::{SystemTime, UNIX_EPOCH};

use mycelium_transports::local::{Span, SpanKind};

use super::Resource;
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
                write_resource(message, resource, namespace, service);
            });
            resource_spans.message(2, |scope_spans| {
                scope_spans.message(1, |scope| {
                    scope.bytes(1, b"mycelium");
                    scope.bytes(2, env!("CARGO_PKG_VERSION").as_bytes());
                });
                for span in of_service {
                    scope_spans.message(2, |message| write_span(message, span));
                }
            });
        });
    }
}

fn write_resource(
    message: &mut Message,
    resource: &Resource,
    namespace: Option<&str>,
    service: &str,
) {
    let Resource { node, host, instance: _, process } = resource;
    let mut text = |key, value: &str| attribute(message, 1, key, Attribute::Text(value));
    text("service.name", service);
    namespace.into_iter().for_each(|namespace| text("service.namespace", namespace));
    text("service.instance.id", &resource.instance_id());
    text("mycelium.node", node);
    host.iter().for_each(|host| text("host.name", host));
    text("telemetry.sdk.name", "mycelium");
    text("telemetry.sdk.language", "rust");
    text("telemetry.sdk.version", env!("CARGO_PKG_VERSION"));
    attribute(message, 1, "process.pid", Attribute::Number((*process).into()));
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

#[derive(Clone, Copy)]
enum Attribute<'a> {
    Text(&'a str),
    /// An `int64` there: no number of a message reaches its end.
    Number(u64),
}

fn attribute(message: &mut Message, field: u32, key: &str, value: Attribute<'_>) {
    message.message(field, |pair| {
        pair.bytes(1, key.as_bytes());
        pair.message(2, |any| match value {
            Attribute::Text(text) => any.bytes(1, text.as_bytes()),
            Attribute::Number(number) => any.number(3, number),
        });
    });
}

/// The nanoseconds of Unix time, as far as OTLP can say it: from 1970 to 2554.
fn nanoseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_nanos().try_into().unwrap_or(u64::MAX)
}
