//! Traces through actors: the handling of a message begins one.

use std::io;

use mycelium::{Node, Publisher, Requester, Running};

use super::*;

/// A message of an actor.
struct Sale(u64);

/// Reports what it is told as a chance, after it has requested its price; `Ask` as well.
struct Till {
    prices: Requester<Ask>,
    chances: Publisher<Chance>,
}

#[mycelium::actor]
impl Till {
    #[tell]
    async fn sell(&mut self, sale: Sale) -> Result<()> {
        self.ask(Ask { number: sale.0 }).await.map(|_| ())
    }

    #[tell]
    fn refund(&mut self, _: u64) -> Result<()> {
        Err(io::Error::other("told to fail").into())
    }

    #[ask]
    async fn ask(&mut self, ask: Ask) -> Result<Price> {
        let price = self.prices.request(ask).await?;
        self.chances.emit(Chance { number: price.value }).await?;
        Ok(price)
    }

    fn on_error(&mut self, _: &mycelium::Error) -> mycelium::OnError {
        mycelium::OnError::Continue
    }
}

fn spawn_till(running: &Running) -> mycelium::ActorRef<Till> {
    let (prices, chances) =
        (running.requester("till").unwrap(), running.publisher("till").unwrap());
    let (mut prices, mut chances) = (Some(prices), Some(chances));
    let make = move || Till { prices: prices.take().unwrap(), chances: chances.take().unwrap() };
    running.actors().actor(make).name("till").spawn().unwrap()
}

/// A node in which a till lives, with this share of traces.
fn start(share: f64, spans: &Spans) -> (Running, mycelium::ActorRef<Till>) {
    let node = Node::builder("main").service(|| Oracle).service(|| Writer);
    let node = node.traces(share, spans.clone()).build().unwrap();
    let running = node.start(Tokio::current().unwrap()).unwrap();
    let till = spawn_till(&running);
    (running, till)
}

/// The spans after the end of all.
async fn end(running: Running, till: mycelium::ActorRef<Till>, spans: &Spans) -> Vec<Span> {
    till.drain();
    till.ended().await;
    drop(till);
    running.shutdown();
    running.join().await.unwrap();
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
async fn the_handling_of_an_actor_begins_a_trace() {
    let spans = Spans::default();
    let (running, mut till) = start(1.0, &spans);
    till.tell(Sale(7)).await.unwrap();
    let spans = end(running, till, &spans).await;
    let (sale, oracle, writer) = (of(&spans, "Till"), of(&spans, "Oracle"), of(&spans, "Writer"));
    assert_eq!(spans.len(), 3, "{spans:#?}");
    assert_eq!((sale.kind, sale.parent, sale.has_failed), (SpanKind::Handle, None, false));
    assert!(sale.topic.ends_with("Sale"), "{sale:?}");
    assert_eq!((&*sale.publisher, sale.sequence), ("till", 0));
    assert!(sale.context.is_sampled() && sale.start <= oracle.start && oracle.end <= sale.end);
    is_child(oracle, sale);
    is_child(writer, sale);
}

#[tokio::test]
async fn each_message_of_an_actor_begins_a_trace_and_a_failure_is_in_its_span() {
    let spans = Spans::default();
    let (running, mut till) = start(1.0, &spans);
    till.tell(1).await.unwrap();
    till.tell(Sale(2)).await.unwrap();
    till.ask(Ask { number: 3 }).await.unwrap();
    let spans = end(running, till, &spans).await;
    let of_till: Vec<_> = spans.iter().filter(|span| &*span.service == "Till").collect();
    let [refund, sale, ask] = *of_till else { panic!("three spans: {spans:#?}") };
    assert_eq!((&*refund.topic, refund.has_failed), ("u64", true));
    assert_eq!((&*ask.topic, ask.parent, ask.has_failed), ("prices", None, false));
    assert_eq!([refund, sale, ask].map(|span| span.sequence), [0, 1, 2]);
    let traces: BTreeMap<_, _> = of_till.iter().map(|span| (span.context.trace_id, ())).collect();
    assert_eq!(traces.len(), 3);
}

#[tokio::test]
async fn what_a_handling_outside_of_the_sample_sends_has_no_trace() {
    let spans = Spans::default();
    let (running, mut till) = start(0.0, &spans);
    till.tell(Sale(1)).await.unwrap();
    till.ask(Ask { number: 2 }).await.unwrap();
    assert_eq!(end(running, till, &spans).await, []);

    // A trace has all of its spans, or none.
    let (running, mut till) = start(0.5, &spans);
    for number in 0..100 {
        till.tell(Sale(number)).await.unwrap();
    }
    let spans = end(running, till, &spans).await;
    let mut by_trace = BTreeMap::<[u8; 16], Vec<&str>>::new();
    for span in &spans {
        by_trace.entry(span.context.trace_id).or_default().push(&span.service);
    }
    for services in by_trace.values_mut() {
        services.sort_unstable();
        assert_eq!(*services, ["Oracle", "Till", "Writer"]);
    }
    assert!((1..100).contains(&by_trace.len()), "{} traces", by_trace.len());
}
