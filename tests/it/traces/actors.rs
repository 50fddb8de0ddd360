//! Traces through actors: handling a message begins a trace, handling a request continues the trace
//! of the requester.

use std::io;

use mycelium::actors::{ActorContext, ActorRef, OnError, RemoteRef};
use mycelium::requests::Requester;
use mycelium::{Node, Policy, Publisher, Running};

use super::*;

/// A message to an actor.
struct Sale(u64);

/// Requests the price of what it is told, and reports it as a square. It handles `Ask` the same
/// way.
struct Till {
    prices: Requester<Ask>,
    squares: Publisher<Square>,
}

#[mycelium::actor]
impl Till {
    #[tell]
    async fn sell(&mut self, sale: Sale) -> Result<()> {
        self.price(Ask { number: sale.0 }).await.map(|_| ())
    }

    #[tell]
    fn refund(&mut self, _: u64) -> Result<()> {
        Err(io::Error::other("told to fail").into())
    }

    #[remote]
    async fn price(&mut self, ask: Ask) -> Result<Price> {
        let price = self.prices.request(ask).await?;
        self.squares.emit(Square { value: price.value }).await?;
        Ok(price)
    }

    fn on_error(&mut self, _: &mycelium::Error) -> OnError {
        OnError::Continue
    }
}

/// An actor whose handler panics.
struct Fuse;

#[mycelium::actor]
impl Fuse {
    #[tell]
    fn burn(&mut self, _: u64) {
        panic!("told to panic");
    }
}

/// Asks the till of the node `main`.
struct Branch(RemoteRef<Till>);

#[mycelium::actor]
impl Branch {
    #[tell]
    async fn order(&mut self, number: u64) -> Result<()> {
        self.0.ask(Ask { number }).await?;
        Ok(())
    }
}

/// Asks the till.
struct Clerk;

#[mycelium::actor]
impl Clerk {
    #[tell]
    async fn order(&mut self, number: u64, ctx: &mut ActorContext<Self>) -> Result<()> {
        let mut till = ctx.actors().by_name::<Till>("till")?;
        ctx.ask(till.ask(Ask { number })).await?;
        Ok(())
    }
}

/// Asks the till about each number that it reads.
struct Buyer;

#[service(reads(Number))]
impl Buyer {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut numbers = ctx.subscribe::<Number>()?;
        while let Some(delivery) = numbers.recv().await {
            let Some(number) = delivery.message() else { continue };
            let mut till = ctx.actors().by_name::<Till>("till")?;
            till.ask(Ask { number: number.value }).await?;
        }
        Ok(())
    }
}

fn spawn_till(running: &Running) -> ActorRef<Till> {
    let (prices, squares) = (running.requester("till"), running.publisher("till"));
    let mut till = Some(Till { prices: prices.unwrap(), squares: squares.unwrap() });
    running.actors().actor(move || till.take().unwrap()).name("till").spawn().unwrap()
}

/// Returns a node with a till, where this share of traces is recorded, and the spans.
fn start(share: f64) -> (Running, ActorRef<Till>, Spans) {
    let spans = Spans::default();
    let node =
        Node::builder("main").service(|| Oracle).named_service("Writer", writer).service(|| Buyer);
    let running = crate::running::start(node.traces(share, spans.clone()));
    let till = spawn_till(&running);
    (running, till, spans)
}

/// Ends the node and the till, and returns all spans.
async fn end(running: Running, till: ActorRef<Till>, spans: &Spans) -> Vec<Span> {
    till.drain();
    till.ended().await;
    drop(till);
    crate::running::end(running).await;
    spans.take()
}

#[track_caller]
fn of<'a>(spans: &'a [Span], service: &str) -> &'a Span {
    let found: Vec<_> = spans.iter().filter(|span| &*span.service == service).collect();
    let [one] = *found else { panic!("not one span of {service}: {spans:#?}") };
    one
}

#[track_caller]
fn is_child(child: &Span, parent: &Span) {
    assert_eq!(child.context.trace_id, parent.context.trace_id);
    assert_eq!(child.parent, Some(parent.context.span_id));
    assert_eq!(child.kind, SpanKind::Handle);
}

#[tokio::test]
async fn each_message_of_an_actor_begins_a_trace_and_a_failure_is_in_its_span() {
    let (running, mut till, spans) = start(1.0);
    till.tell(1).await.unwrap();
    till.tell(Sale(2)).await.unwrap();
    till.ask(Ask { number: 3 }).await.unwrap();
    let spans = end(running, till, &spans).await;
    let of_till: Vec<_> = spans.iter().filter(|span| &*span.service == "Till").collect();
    let [refund, sale, ask] = *of_till else { panic!("three spans: {spans:#?}") };
    assert_eq!((&*refund.topic, refund.has_failed), ("u64", true));
    assert_eq!((sale.kind, sale.parent, sale.has_failed), (SpanKind::Handle, None, false));
    assert!(sale.topic.ends_with("Sale") && &*sale.publisher == "till", "{sale:?}");
    assert_eq!((&*ask.topic, ask.parent, ask.has_failed), ("prices", None, false));
    assert_eq!([refund, sale, ask].map(|span| span.sequence), [0, 1, 2]);
    let traces: BTreeMap<_, _> = of_till.iter().map(|span| (span.context.trace_id, ())).collect();
    assert_eq!(traces.len(), 3);
}

#[tokio::test]
async fn a_panic_of_an_actor_is_in_its_span() {
    let (running, till, spans) = start(1.0);
    let mut fuse = running.actors().actor(|| Fuse).temporary().spawn().unwrap();
    fuse.tell(1).await.unwrap();
    fuse.ended().await;
    let spans = end(running, till, &spans).await;
    let [fuse] = &*spans else { panic!("one span: {spans:#?}") };
    assert_eq!((&*fuse.service, fuse.has_failed), ("Fuse", true));
}

#[tokio::test]
async fn what_a_handling_outside_of_the_sample_sends_has_no_trace() {
    let (running, mut till, spans) = start(0.0);
    till.tell(Sale(1)).await.unwrap();
    till.ask(Ask { number: 2 }).await.unwrap();
    assert_eq!(end(running, till, &spans).await, []);

    // A trace is recorded as a whole or not at all.
    let (running, mut till, spans) = start(0.5);
    let mut clerk = running.actors().spawn(|| Clerk).unwrap();
    for number in 0..100 {
        clerk.tell(number).await.unwrap();
        till.tell(Sale(number)).await.unwrap();
    }
    clerk.drain();
    clerk.ended().await;
    let spans = end(running, till, &spans).await;
    let mut by_trace = BTreeMap::<[u8; 16], Vec<&str>>::new();
    for span in &spans {
        by_trace.entry(span.context.trace_id).or_default().push(&span.service);
    }
    for services in by_trace.values_mut() {
        services.sort_unstable();
        let whole = [&["Clerk", "Oracle", "Till", "Writer"][..], &["Oracle", "Till", "Writer"]];
        assert!(whole.contains(&&**services), "{services:?}");
    }
    assert!((1..200).contains(&by_trace.len()), "{} traces", by_trace.len());
}

#[tokio::test]
async fn a_request_to_an_actor_of_another_node_continues_its_trace() {
    let directory = Directory::new("traces-actors");
    let text = r#"
[node.branch]
services = []
[node.main]
services = ["Oracle", "Writer"]
actors_for = ["branch"]
"#;
    let topology = Topology::parse("t.toml", text).unwrap().in_directory(&directory.0);
    let spans = Spans::default();
    let [main, branch] = ["main", "branch"].map(|name| {
        let node = Node::builder(name).topology(topology.clone()).traces(1.0, spans.clone());
        crate::running::start(node.service(|| Oracle).named_service("Writer", writer))
    });
    let till = spawn_till(&main);
    let till_of_main = branch.actors().remote::<Till>("main/till").unwrap();
    let mut asks = branch.actors().spawn(move || Branch(till_of_main.clone())).unwrap();
    asks.tell(5).await.unwrap();
    asks.drain();
    asks.ended().await;
    crate::running::end(branch).await;
    let spans = end(main, till, &spans).await;
    // The service that takes requests from other nodes has a span, too.
    let [of_desk] = *spans.iter().filter(|it| &*it.topic == "actors@main").collect::<Vec<_>>()
    else {
        panic!("one span: {spans:#?}")
    };
    let (asks, till) = (of(&spans, "Branch"), of(&spans, "Till"));
    assert_eq!((spans.len(), asks.parent), (5, None), "{spans:#?}");
    is_child(of_desk, asks);
    is_child(till, of_desk);
    is_child(of(&spans, "Oracle"), till);
    is_child(of(&spans, "Writer"), till);
}

#[tokio::test]
async fn a_request_of_a_service_to_an_actor_continues_its_trace() {
    let (running, till, spans) = start(1.0);
    let mut squares = running.subscribe::<Square>("test", Policy::Block).unwrap();
    let mut numbers = running.publisher::<Number>("feed").unwrap();
    numbers.emit(Number { value: 1 }).await.unwrap();
    assert!(squares.recv().await.is_some());
    drop((squares, numbers));
    let spans = end(running, till, &spans).await;
    let (feed, buyer, till) = (of(&spans, "feed"), of(&spans, "Buyer"), of(&spans, "Till"));
    assert_eq!((spans.len(), feed.parent), (5, None), "{spans:#?}");
    is_child(buyer, feed);
    is_child(till, buyer);
    is_child(of(&spans, "Oracle"), till);
    is_child(of(&spans, "Writer"), till);
}
