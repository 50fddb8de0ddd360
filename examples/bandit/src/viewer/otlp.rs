//! Requests of OTLP: the part of their definitions that the viewer shows. The numbers of the fields
//! are those of `opentelemetry/proto/trace/v1/trace.proto`; a test compares them with the official
//! definitions. Other fields are skipped.

use prost::Message;

use super::{
    store::Traces,
    trace::{Span, TraceId, label},
};

/// `STATUS_CODE_ERROR`.
const ERROR: i32 = 2;

/// A request that is not OTLP.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum OtlpError {
    /// Its bytes are something else.
    #[error("expected an ExportTraceServiceRequest of OTLP: {0}")]
    Encoding(#[from] prost::DecodeError),
    /// A span has no valid ids.
    #[error("a span has an invalid {0}: expected {1} bytes, and one that is not 0")]
    Id(&'static str, usize),
}

#[derive(Clone, PartialEq, Message)]
struct Request {
    #[prost(message, repeated, tag = "1")]
    resource_spans: Vec<ResourceSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceSpans {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scope_spans: Vec<ScopeSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct Resource {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct KeyValue {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<AnyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct AnyValue {
    #[prost(oneof = "Value", tags = "1, 3")]
    value: Option<Value>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Value {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(int64, tag = "3")]
    Number(i64),
}

#[derive(Clone, PartialEq, Message)]
struct ScopeSpans {
    #[prost(message, repeated, tag = "2")]
    spans: Vec<SpanMessage>,
}

#[derive(Clone, PartialEq, Message)]
struct SpanMessage {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    span_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    parent_span_id: Vec<u8>,
    #[prost(string, tag = "5")]
    name: String,
    #[prost(fixed64, tag = "7")]
    start_time_unix_nano: u64,
    #[prost(fixed64, tag = "8")]
    end_time_unix_nano: u64,
    #[prost(message, optional, tag = "15")]
    status: Option<Status>,
}

#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(int32, tag = "3")]
    code: i32,
}

/// Adds the spans of a request to the traces. One with a mistake adds none.
///
/// # Errors
/// If the bytes are not those of a request, or a span has no valid ids.
pub fn receive(body: &[u8], traces: &mut Traces) -> Result<(), OtlpError> {
    let mut spans = Vec::new();
    for ResourceSpans { resource, scope_spans } in Request::decode(body)?.resource_spans {
        let resource = resource.unwrap_or_default();
        let [service, node] =
            ["service.name", "mycelium.node"].map(|key| match resource.value(key) {
                Some(Value::Text(text)) => label(text),
                Some(Value::Number(_)) | None => "unknown".to_owned(),
            });
        let process = match resource.value("process.pid") {
            Some(Value::Number(process)) => u64::try_from(*process).ok(),
            Some(Value::Text(_)) | None => None,
        };
        for message in scope_spans.into_iter().flat_map(|scope| scope.spans) {
            let id = TraceId(valid(&message.trace_id, "trace id")?);
            spans.push((id, message.span(&service, &node, process)?));
        }
    }
    spans.into_iter().for_each(|(id, span)| traces.add(id, span));
    Ok(())
}

impl Resource {
    fn value(&self, key: &str) -> Option<&Value> {
        let pair = self.attributes.iter().find(|pair| pair.key == key)?;
        pair.value.as_ref()?.value.as_ref()
    }
}

impl SpanMessage {
    fn span(&self, service: &str, node: &str, process: Option<u64>) -> Result<Span, OtlpError> {
        let parent = match &*self.parent_span_id {
            [] => None,
            bytes => Some(valid(bytes, "id of its parent")?),
        };
        Ok(Span {
            id: valid(&self.span_id, "id")?,
            parent,
            name: label(&self.name),
            service: service.to_owned(),
            node: node.to_owned(),
            process,
            start: self.start_time_unix_nano,
            // A clock may have been set back.
            end: self.end_time_unix_nano.max(self.start_time_unix_nano),
            has_failed: self.status.as_ref().is_some_and(|status| status.code == ERROR),
        })
    }
}

fn valid<const N: usize>(bytes: &[u8], what: &'static str) -> Result<[u8; N], OtlpError> {
    let id = bytes.try_into().ok().filter(|id| *id != [0; N]);
    id.ok_or(OtlpError::Id(what, N))
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::{
        collector::trace::v1::ExportTraceServiceRequest,
        common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue, any_value::Value},
        resource::v1::Resource,
        trace::v1::{ResourceSpans, ScopeSpans, Span, Status, status::StatusCode},
    };
    use prost::Message;

    use super::*;

    fn pair(key: &str, value: Value) -> KeyValue {
        KeyValue {
            key: key.to_owned(),
            value: Some(AnyValue { value: Some(value) }),
            ..KeyValue::default()
        }
    }

    fn official() -> ExportTraceServiceRequest {
        let span = Span {
            trace_id: vec![1; 16],
            span_id: vec![2; 8],
            parent_span_id: vec![3; 8],
            trace_state: "a=b".to_owned(),
            name: "process swaps".to_owned(),
            kind: 5,
            start_time_unix_nano: 1_700_000_000_000_000_000,
            end_time_unix_nano: 1_700_000_000_000_001_234,
            attributes: vec![pair("messaging.system", Value::StringValue("mycelium".to_owned()))],
            status: Some(Status { message: String::new(), code: StatusCode::Error.into() }),
            flags: 1,
            ..Span::default()
        };
        let text = |text: &str| Value::StringValue(text.to_owned());
        let resource = Resource {
            attributes: vec![
                pair("list", Value::ArrayValue(ArrayValue { values: Vec::new() })),
                pair("service.name", text("MetadataService")),
                pair("mycelium.node", text("detector")),
                pair("process.pid", Value::IntValue(77)),
            ],
            ..Resource::default()
        };
        let scope = Some(InstrumentationScope::default());
        let scope_spans = ScopeSpans { scope, spans: vec![span], schema_url: String::new() };
        ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans {
                resource: Some(resource),
                scope_spans: vec![scope_spans],
                schema_url: String::new(),
            }],
        }
    }

    fn span(request: &mut ExportTraceServiceRequest) -> &mut Span {
        &mut request.resource_spans[0].scope_spans[0].spans[0]
    }

    #[test]
    fn the_official_definitions_are_understood() {
        let mut traces = Traces::default();
        let mut request = official();
        span(&mut request).parent_span_id.clear();
        receive(&request.encode_to_vec(), &mut traces).unwrap();
        let rows = traces.get(TraceId([1; 16])).unwrap().rows();
        let expected = super::Span {
            id: [2; 8],
            parent: None,
            name: "process swaps".to_owned(),
            service: "MetadataService".to_owned(),
            node: "detector".to_owned(),
            process: Some(77),
            start: 1_700_000_000_000_000_000,
            end: 1_700_000_000_000_001_234,
            has_failed: true,
        };
        assert_eq!(rows[0].span, &expected);
    }

    #[test]
    fn a_request_with_a_mistake_adds_nothing() {
        let mut traces = Traces::default();
        let mut refused = |change: fn(&mut Span)| {
            let mut request = official();
            let good = span(&mut request).clone();
            change(span(&mut request));
            request.resource_spans[0].scope_spans[0].spans.insert(0, good);
            let error = receive(&request.encode_to_vec(), &mut traces).unwrap_err();
            assert!(traces.is_empty());
            error
        };
        assert_eq!(refused(|span| span.trace_id.truncate(15)), OtlpError::Id("trace id", 16));
        assert_eq!(refused(|span| span.trace_id.fill(0)), OtlpError::Id("trace id", 16));
        assert_eq!(refused(|span| span.span_id.push(1)), OtlpError::Id("id", 8));
        assert_eq!(
            refused(|span| span.parent_span_id.fill(0)),
            OtlpError::Id("id of its parent", 8)
        );
        let bytes = official().encode_to_vec();
        for end in 1..bytes.len() {
            // Some are complete, as a part of a message may be one.
            let _ = receive(&bytes[..end], &mut Traces::default());
        }
        assert!(matches!(receive(b"\xff\xff", &mut traces), Err(OtlpError::Encoding(_))));
        assert!(matches!(
            receive(b"{\"resourceSpans\":[]}", &mut traces),
            Err(OtlpError::Encoding(_))
        ));
    }

    #[test]
    fn an_end_before_the_start_and_missing_names_are_shown_as_they_can_be() {
        let mut traces = Traces::default();
        let mut request = official();
        request.resource_spans[0].resource = None;
        let of_request = span(&mut request);
        of_request.parent_span_id.clear();
        of_request.name = "a\x1b[0m".to_owned();
        of_request.end_time_unix_nano = 0;
        receive(&request.encode_to_vec(), &mut traces).unwrap();
        let rows = traces.get(TraceId([1; 16])).unwrap().rows();
        let span = rows[0].span;
        assert_eq!((&*span.service, &*span.name, span.duration()), ("unknown", "a\u{fffd}[0m", 0));
    }
}
