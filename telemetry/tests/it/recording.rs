//! A task that records a span allocates nothing, and does not wait, whether the queue has room or
//! not, and whether an exporter runs or not.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use mycelium_core::TraceContext;
use mycelium_telemetry::otlp::Resource;
use mycelium_telemetry::spans::{Exporter, OtlpTraces};
use mycelium_transports::counters::Region;
use mycelium_transports::local::{Span, SpanKind, SpanSink};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, with a count for each thread.
struct Counting;

// SAFETY: every call is passed unchanged to the system's allocator; counting touches a `Cell` of
// this thread, which needs no allocation and no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps the contract of `alloc`, which is the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`; `pointer` came from `System.alloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

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
        let before = ALLOCATIONS.get();
        (0..spans).for_each(|_| queue.record(span.clone()));
        ALLOCATIONS.get() - before
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
