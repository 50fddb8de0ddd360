//! A task that records a span allocates nothing, and does not wait, whether the queue has room or
//! not, and whether an exporter runs or not.

use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use mycelium_core::TraceContext;
use mycelium_telemetry::otlp::Resource;
use mycelium_telemetry::spans::{Exporter, OtlpTraces};
use mycelium_transports::counters::Region;
use mycelium_transports::local::{Span, SpanKind, SpanSink};

use crate::counting::allocations;

#[test]
fn recording_allocates_nothing() {
    // It accepts no connection, so the exporter is at its first batch for the whole test.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let settings = OtlpTraces::new(&format!("http://{}", listener.local_addr().unwrap()));
    let exporter = Exporter::new(settings.flush(Duration::ZERO)).unwrap();
    let (queue, region) = (exporter.queue(), Region::new(1));
    let context = TraceContext { trace_id: [1; 16], span_id: [2; 8], flags: 1 };
    let span = Span::new(context, SpanKind::Handle, "Sum", "ticks");
    let record = |spans: usize| {
        let before = allocations();
        (0..spans).for_each(|_| queue.record(span.clone()));
        allocations() - before
    };
    assert_eq!(record(1000), 0, "before an exporter runs");
    let line = region.line("exporter=traces");
    let (stopper, run) = exporter.open(Resource::of_node("main", 7), line, 7, |_| {}).unwrap();
    let running = thread::spawn(run);
    assert_eq!(record(100_000), 0, "while it runs, into a queue that becomes full");
    stopper.stop();
    assert_eq!(record(1000), 0, "after its end");
    running.join().unwrap();
    let [reading] = region.read().try_into().unwrap();
    assert!(reading.value("dropped_full") > 90_000);
}
