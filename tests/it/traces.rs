//! Traces through the services of a node, and through two nodes over each carrier: the span of a
//! service is the child of the message or request that it handles. `actors` tests traces of actors.
#![cfg(target_os = "linux")]
#![cfg(all(feature = "metrics", feature = "signals", feature = "topology"))]

mod actors;

use std::collections::BTreeMap;
use std::io;
use std::sync::mpsc::channel;

use futures_util::future::try_join;
use mycelium::trace::{Span, SpanKind, TraceContext};
use mycelium::{Context, Node, Result, Topology, message, service};
use mycelium_executor::Executor;
use mycelium_transports::conformance::Spans;

use crate::executors::on_each_executor;
use crate::node::services::{Number, Source, Square, Taker};
use crate::numbers::two_nodes;
use crate::running::{main_with, run};
use crate::support::Directory;

#[message(topic = "prices", id = 3, reply = Price)]
struct Ask {
    number: u64,
}

#[message(topic = "priced", id = 4)]
struct Price {
    value: u64,
}

/// How many numbers the feed emits.
const COUNT: u64 = 20;

fn feed() -> Source {
    Source::of(COUNT)
}

/// Requests a price before it emits.
struct Detector;

#[service(reads(Number), emits(Square), requests(Ask))]
impl Detector {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut numbers = ctx.subscribe::<Number>()?;
        while let Some(delivery) = numbers.recv().await {
            let Some(number) = delivery.message() else { continue };
            let price = ctx.request(Ask { number: number.value }).await?;
            ctx.emit(Square { value: price.value }).await?;
        }
        Ok(())
    }
}

struct Oracle;

#[service(answers(Ask))]
impl Oracle {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut requests = ctx.requests::<Ask>();
        while let Some(asked) = requests.recv().await {
            assert_eq!(asked.trace().is_some(), ctx.trace().is_some());
            asked.reply_with(|asked| Price { value: asked.number });
        }
        Ok(())
    }
}

/// Returns the service `Writer`, which only reads.
fn writer() -> Taker<Square, ()> {
    Taker(channel().0, |_| None)
}

/// Checks that each trace has the span of its number and, below it, the spans of all services that
/// handled a message or request that followed from it.
fn check_traces(spans: &[Span], traces: u64) {
    let mut by_trace = BTreeMap::<[u8; 16], Vec<&Span>>::new();
    for span in spans {
        by_trace.entry(span.context.trace_id).or_default().push(span);
    }
    assert_eq!(by_trace.len() as u64, traces);
    for spans in by_trace.values() {
        let of = |service: &str| {
            let mut found = spans.iter().filter(|span| &*span.service == service);
            let one = found.next().unwrap_or_else(|| panic!("no span of {service}: {spans:#?}"));
            assert!(found.next().is_none(), "two spans of {service}: {spans:#?}");
            *one
        };
        let (feed, detector) = (of("Feed"), of("Detector"));
        let (oracle, writer) = (of("Oracle"), of("Writer"));
        assert_eq!(spans.len(), 4, "{spans:#?}");
        assert_eq!((feed.kind, feed.parent), (SpanKind::Root, None));
        for (child, parent) in [(detector, feed), (oracle, detector), (writer, detector)] {
            assert_eq!(child.kind, SpanKind::Handle);
            assert_eq!(child.parent, Some(parent.context.span_id), "{spans:#?}");
            assert!(child.start >= parent.start && child.end >= child.start);
        }
        assert_eq!(&*oracle.topic, "prices");
        // Between nodes, the publisher is the service that carries requests.
        assert!(["Detector", "answers:prices@near"].contains(&&*oracle.publisher));
        assert_eq!((&*writer.topic, &*writer.publisher), ("squares", "Detector"));
        assert_eq!((feed.sequence, detector.sequence), (writer.sequence, writer.sequence));
    }
}

fn node(name: &str, topology: &Topology, share: f64, spans: &Spans) -> Node {
    let builder = Node::builder(name).topology(topology.clone()).traces(share, spans.clone());
    let builder = builder.named_service("Feed", feed).service(|| Detector);
    builder.service(|| Oracle).named_service("Writer", writer).build().unwrap()
}

/// Runs the feed and the oracle in one node, and the other services in a second node.
async fn between_nodes(executor: impl Executor + Clone, transport: &str, name: &str) {
    let directory = Directory::new(&format!("traces-{name}-{transport}"));
    // The node in which a trace begins decides whether both nodes record it.
    for (shares, traces) in [([1.0, 0.0], COUNT), ([0.0, 1.0], 0)] {
        let text = two_nodes(r#"["Feed", "Oracle"]"#, r#"["Detector", "Writer"]"#, transport);
        let topology = Topology::parse("traces.toml", &text).unwrap().in_directory(&directory.0);
        let spans = Spans::default();
        let far = node("far", &topology, shares[0], &spans);
        let near = node("near", &topology, shares[1], &spans);
        let far = far.start(executor.clone()).unwrap();
        let near = near.start(executor.clone()).unwrap();
        try_join(far.join(), near.join()).await.unwrap();
        check_traces(&spans.take(), traces);
    }
}

#[test]
fn a_trace_goes_over_each_carrier_on_each_executor() {
    on_each_executor(async |executor, name| {
        for transport in ["unix", "shm", "tcp"] {
            between_nodes(executor.clone(), transport, name).await;
        }
    });
}

/// Emits with a given trace, without one, or with one that is not recorded.
struct Gateway(Vec<Option<TraceContext>>);

#[service(emits(Square))]
impl Gateway {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        for (value, trace) in (0..).zip(&self.0) {
            ctx.emit_ref(&Square { value }).traced(*trace).await?;
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_message_may_have_a_trace_from_elsewhere() {
    let recorded: TraceContext =
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse().unwrap();
    let unrecorded = TraceContext { flags: 0, ..recorded };
    let invalid = TraceContext { trace_id: [0; 16], ..recorded };
    let traces = vec![Some(recorded), None, Some(unrecorded), Some(invalid)];
    let spans = Spans::default();
    let node = Node::builder("main")
        .service(move || Gateway(traces.clone()))
        .named_service("Writer", writer);
    run(node.traces(1.0, spans.clone())).await;
    let [span] = &*spans.take() else { panic!("one span") };
    assert_eq!((span.context.trace_id, span.parent), (recorded.trace_id, Some(recorded.span_id)));
    assert_eq!((&*span.service, span.sequence), ("Writer", 0));
}

/// Fails at each first delivery.
struct Fails(bool);

#[service(reads(Number))]
impl Fails {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut numbers = ctx.subscribe::<Number>()?;
        while numbers.recv().await.is_some() {
            self.0 = !self.0;
            if self.0 {
                return Err(io::Error::other("told to fail").into());
            }
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_second_delivery_is_a_second_span_of_the_same_trace() {
    let text = "[service.Fails]\nbackoff = \"1ms\"\nmax_backoff = \"1ms\"\nmax_restarts = 1000";
    let spans = Spans::default();
    let node = main_with(text).service(feed).service(|| Fails(false));
    run(node.traces(1.0, spans.clone())).await;
    let spans = spans.take();
    for number in 0..COUNT {
        let spans: Vec<_> = spans.iter().filter(|span| span.sequence == number).collect();
        let [root, first, second] = *spans else { panic!("three spans: {spans:#?}") };
        assert_eq!(root.kind, SpanKind::Root);
        assert_eq!((first.has_failed, second.has_failed), (true, false));
        for span in [first, second] {
            assert_eq!(span.parent, Some(root.context.span_id));
        }
    }
}
