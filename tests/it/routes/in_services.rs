//! Routes in services: emitted messages of handlers reach the bus, and handlers can be services.

use std::sync::mpsc::{Sender, channel};

use mycelium::emit::Refusal;
use mycelium::route::{AsyncHandler, Handler, Out, OutError};
use mycelium::{Context, Node, Policy, Result, message, routes, service};
use mycelium_tokio::Tokio;

use crate::node::services::{Number as Quote, Source, Square as Order};
use crate::running::run;

#[message(topic = "fills", id = 73)]
#[derive(Debug, PartialEq)]
struct Trade {
    price: u64,
}

/// Emits an order for every second quote.
#[derive(Default)]
struct Buyer {
    quotes: u64,
}

impl Handler<Quote> for Buyer {
    fn handle(&mut self, quote: &Quote, out: &mut Out<'_>) -> Result<()> {
        self.quotes += 1;
        if self.quotes.is_multiple_of(2) {
            out.try_emit(Order { value: quote.value })?;
        }
        Ok(())
    }
}

/// Emits each order twice, and waits for room.
struct Twice;

impl AsyncHandler<Quote> for Twice {
    async fn handle(&mut self, quote: &Quote, out: &mut Out<'_>) -> Result<()> {
        for _ in 0..2 {
            out.emit(Order { value: quote.value }).await?;
        }
        Ok(())
    }
}

routes! { Direct: { Quote => [Buyer] -> bus } }
routes! { Waiting: { Quote => [Buyer, async Twice] -> bus } }

const QUOTES: u64 = 5000;

#[service(reads(Quote), emits(Order))]
impl Buyer {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        ctx.handle::<Quote>(self).await
    }
}

#[service(reads(Quote), emits(Order))]
impl Twice {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        ctx.handle_async::<Quote>(self).await
    }
}

/// A source that routes its own messages.
struct DirectSource;

#[service(emits(Quote, Order))]
impl DirectSource {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut direct = Direct::new(Buyer::default());
        for price in 0..QUOTES {
            ctx.until_below::<Quote>().await?;
            ctx.until_below::<Order>().await?;
            direct.route_to(&Quote { value: price }, &mut ctx.out())?;
        }
        Ok(())
    }
}

struct WaitingSource;

#[service(emits(Quote, Order))]
impl WaitingSource {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut waiting = Waiting::new(Buyer::default(), Twice);
        for price in (0..QUOTES).step_by(2) {
            // The buyer emits without waiting, which fails when there is no room, so it must emit
            // no order.
            waiting.buyer_mut().quotes = 0;
            waiting.route_async_to(&Quote { value: price }, &mut ctx.out()).await?;
        }
        Ok(())
    }
}

/// Reads both topics slowly, and sends the prices to the test.
struct Journal(Sender<(char, u64)>);

#[service(reads(Quote, Order))]
impl Journal {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut quotes = ctx.subscribe::<Quote>()?;
        let mut orders = ctx.subscribe::<Order>()?;
        let (mut has_quotes, mut has_orders) = (true, true);
        while has_quotes || has_orders {
            tokio::select! {
                quote = quotes.recv(), if has_quotes => match quote {
                    Some(quote) => self.0.send(('q', quote.message().unwrap().value))?,
                    None => has_quotes = false,
                },
                order = orders.recv(), if has_orders => match order {
                    Some(order) => self.0.send(('o', order.message().unwrap().value))?,
                    None => has_orders = false,
                },
            }
        }
        Ok(())
    }
}

/// Returns the quotes and orders that the journal gets from these services.
async fn journal(builder: mycelium::Builder) -> (Vec<u64>, Vec<u64>) {
    let (sender, received) = channel();
    let report = run(builder.service(move || Journal(sender.clone()))).await;
    assert!(report.services.iter().all(|service| service.errors + service.panics == 0));
    let all: Vec<_> = received.iter().collect();
    let of = |kind| all.iter().filter(|it| it.0 == kind).map(|it| it.1).collect();
    (of('q'), of('o'))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_handlers_emit_and_what_is_routed_goes_on_to_the_bus() {
    let (quotes, orders) = journal(Node::builder("main").service(|| DirectSource)).await;
    assert_eq!(quotes, (0..QUOTES).collect::<Vec<_>>());
    assert_eq!(orders, (1..QUOTES).step_by(2).collect::<Vec<_>>());
    let (quotes, orders) = journal(Node::builder("main").service(|| WaitingSource)).await;
    assert_eq!(quotes, (0..QUOTES).step_by(2).collect::<Vec<_>>());
    let twice = (0..QUOTES).step_by(2).flat_map(|price| [price; 2]);
    assert_eq!(orders, twice.collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_structs_are_services() {
    let builder = Node::builder("main").service(|| Source::of(QUOTES)).service(Buyer::default);
    let (quotes, orders) = journal(builder).await;
    assert_eq!(quotes, (0..QUOTES).collect::<Vec<_>>());
    assert_eq!(orders, (1..QUOTES).step_by(2).collect::<Vec<_>>());
    let (_, orders) =
        journal(Node::builder("main").service(|| Source::of(QUOTES)).service(|| Twice)).await;
    assert_eq!(orders, (0..QUOTES).flat_map(|price| [price; 2]).collect::<Vec<_>>());
}

/// Routes without services: publishers outside of a node, and a ring without room.
#[test]
fn a_message_without_room_runs_no_handler() {
    let node = Node::builder("main").build().unwrap();
    let mut quotes = node.subscribe::<Quote>("test", Policy::Block).unwrap();
    let mut orders = node.subscribe::<Order>("test", Policy::Block).unwrap();
    let publisher = node.publisher::<Quote>("test").unwrap();
    let capacity = publisher.capacity() as u64;
    let mut bus = (publisher, node.publisher::<Order>("test").unwrap());
    let mut direct = Direct::new(Buyer::default());
    for price in 0..capacity {
        direct.route_to(&Quote { value: price }, &mut Out::to(&mut bus)).unwrap();
    }
    let error = direct.route_to(&Quote { value: 9 }, &mut Out::to(&mut bus)).unwrap_err();
    let Some(OutError::Refused(error)) = error.downcast_ref::<OutError<Quote>>() else {
        panic!("{error}");
    };
    assert!(matches!(error.refusal, Refusal::Full { .. }));
    assert_eq!((error.message.value, direct.buyer().quotes), (9, capacity));
    let count = |deliveries: &mut dyn FnMut() -> bool| (0..).take_while(|_| deliveries()).count();
    assert_eq!(count(&mut || quotes.try_recv().delivery().is_some()) as u64, capacity);
    assert_eq!(count(&mut || orders.try_recv().delivery().is_some()) as u64, capacity / 2);
    direct.route_to(&Quote { value: 9 }, &mut Out::to(&mut bus)).unwrap();
}

/// Emits a message that no port declares.
struct Undeclared(Sender<String>);

impl Handler<Quote> for Undeclared {
    fn handle(&mut self, quote: &Quote, out: &mut Out<'_>) -> Result<()> {
        let error = out.try_emit(Trade { price: quote.value }).unwrap_err();
        self.0.send(error.to_string())?;
        Err(error.into())
    }
}

#[service(reads(Quote), emits(Order))]
impl Undeclared {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        ctx.handle::<Quote>(self).await
    }
}

#[tokio::test]
async fn a_message_without_a_publisher_is_an_error_that_says_what_to_do() {
    let (said, text) = channel();
    let builder = Node::builder("main").service(|| Source::of(QUOTES));
    let node = builder.service(move || Undeclared(said.clone())).build().unwrap();
    // The error is permanent, because another try would fail in the same way.
    node.run(Tokio::current().unwrap()).await.unwrap_err();
    let said = text.try_recv().unwrap();
    assert_eq!(
        said,
        "`Trade` was not sent to topic `fills`: it has no publisher here: declare the message in \
         `emits(..)` and pass `ctx.out()`, or pass its publisher to `Out::to` [M0227]"
    );
}
