//! The spans at a collector, joined to traces.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::trace::v1::Span;

use super::collector::{Request, texts};
use super::services::TRACES;

/// A span with the attributes of its resource.
pub(crate) struct Found {
    pub(crate) span: Span,
    pub(crate) resource: BTreeMap<String, String>,
}

pub(crate) fn found(requests: &[Request]) -> Vec<Found> {
    let resources = requests.iter().flat_map(|request| request.spans().resource_spans);
    let spans = resources.flat_map(|of_resource| {
        let resource = texts(&of_resource.resource.unwrap().attributes);
        let spans = of_resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
        spans.map(move |span| Found { span, resource: resource.clone() })
    });
    spans.collect()
}

/// Checks the traces of the pipeline in the node `main`: each goes through all services, and the
/// parent of each span is the span that sent its message.
pub(crate) fn check(found: &[Found]) {
    let mut traces = BTreeMap::<&[u8], Vec<&Found>>::new();
    for span in found {
        traces.entry(&span.span.trace_id).or_default().push(span);
    }
    assert_eq!(traces.len(), TRACES, "each message of `Feed` begins one");
    let mut sequences = Vec::new();
    for spans in traces.values() {
        let mut parent: &[u8] = &[];
        let mut before = 0;
        for (service, name, topic) in [
            ("Feed", "send ticks", "ticks"),
            ("Work", "process ticks", "ticks"),
            ("Store", "process sums", "sums"),
            ("Audit", "process records", "records"),
        ] {
            let mut of_parent =
                spans.iter().filter(|found| found.span.parent_span_id.as_slice() == parent);
            let found = of_parent.next().unwrap_or_else(|| panic!("no span of {service}"));
            assert!(of_parent.next().is_none(), "one span of {service}");
            let found_service = &*found.resource["service.name"];
            assert_eq!((found_service, found.span.name.as_str()), (service, name));
            let attributes = texts(&found.span.attributes);
            assert_eq!(attributes["messaging.destination.name"], topic);
            if service == "Work" {
                assert_eq!(attributes["mycelium.publisher"], "Feed");
                sequences.push(attributes["mycelium.sequence"].clone());
            }
            let Span { start_time_unix_nano: start, end_time_unix_nano: end, .. } = found.span;
            assert!(start >= before && end >= start, "{service} begins before its cause");
            assert!(found.span.status.is_none() && found.span.flags & 1 == 1);
            (parent, before) = (&found.span.span_id, start);
            assert_eq!(found.resource["mycelium.node"], "main");
        }
        assert_eq!(spans.len(), 4, "no span is left");
    }
    sequences.sort();
    assert_eq!(sequences, ["0", "1", "2"], "each message has one trace");
}
