//! A service that executes the orders of a test, and notes in a diary what it did.

use std::sync::Arc;
use std::time::Duration;

use mycelium::supervision::Restart;
use mycelium::{Builder, Context, Error, Node, Publisher, Result, Running, message, service};
use mycelium_executor::Executor;

use crate::actors::probe::Seen as Diary;

/// What a worker does next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Do {
    Fail = 1,
    Panic,
    Return,
    /// Keeps the order in flight, and waits for the shutdown.
    Keep,
    FailForGood,
}

#[message(topic = "orders", id = 1)]
pub(crate) struct Order {
    to: u64,
    what: u64,
}

/// Notes a line when it is dropped.
struct Leaves {
    diary: Diary,
    line: String,
}

impl Drop for Leaves {
    fn drop(&mut self) {
        self.diary.add(&self.line);
    }
}

/// Notes `+name` when a run begins and `-name` when it is dropped. For an order that it keeps,
/// notes `name:keeps` at the first delivery and `name:again` at later ones.
pub(crate) struct Worker {
    pub(crate) number: u64,
    pub(crate) diary: Diary,
}

#[service(send, reads(Order))]
impl Worker {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let name = ctx.name().to_owned();
        self.diary.add(format_args!("+{name}"));
        let _leaves = Leaves { diary: self.diary.clone(), line: format!("-{name}") };
        let mut orders = ctx.subscribe::<Order>()?;
        while let Some(delivery) = orders.recv().await {
            let redelivered = matches!(&delivery, mycelium::Delivery::Msg(it) if it.redelivered());
            let Some(order) = delivery.message().filter(|order| order.to == self.number) else {
                continue;
            };
            if order.what == Do::Keep as u64 {
                let word = if redelivered { "again" } else { "keeps" };
                self.diary.add(format_args!("{name}:{word}"));
                ctx.shutdown_requested().await;
                continue;
            }
            // Finishes the order before it is executed, so it is not redelivered.
            orders.done();
            match order.what {
                1 => return Err(Error::msg("ordered to fail")),
                2 => panic!("ordered to panic"),
                3 => return Ok(()),
                _ => return Err(Error::msg("ordered to fail permanently").permanent()),
            }
        }
        Ok(())
    }
}

/// A running node of workers.
pub(crate) struct Crew {
    pub(crate) diary: Diary,
    executor: Arc<dyn Executor>,
    pub(crate) running: Running,
    orders: Publisher<Order>,
}

/// Restarts with pauses that are too short to matter.
pub(crate) fn quick(limit: u32) -> Restart {
    let pause = Duration::from_micros(10);
    Restart { limit, window: Duration::from_secs(3600), backoff: pause, longest: pause }
}

/// Returns a builder with one worker for each letter of `names`.
pub(crate) fn crew(names: &str, diary: &Diary) -> Builder {
    let mut builder = Node::builder("main");
    for (number, name) in (0..).zip(names.chars()) {
        let (diary, name) = (diary.clone(), name.to_string());
        let factory = move || Worker { number, diary: diary.clone() };
        builder = builder.named_service(&name, factory);
        builder = builder.restart(&name, quick(u32::MAX));
    }
    builder
}

impl Crew {
    /// Starts a crew, and waits until each worker of `names` runs.
    pub(crate) async fn of(
        names: &str,
        executor: Arc<dyn Executor>,
        change: impl FnOnce(Builder) -> Builder,
    ) -> Crew {
        let diary = Diary::default();
        let crew = Crew::start(change(crew(names, &diary)), diary, executor);
        let started: Vec<String> = names.chars().map(|name| format!("+{name}")).collect();
        crew.has(&started.join(" ")).await;
        crew
    }

    /// Builds and starts a crew.
    pub(crate) fn start(builder: Builder, diary: Diary, executor: Arc<dyn Executor>) -> Crew {
        let running = builder.build().unwrap().start(executor.clone()).unwrap();
        let orders = running.publisher("test").unwrap();
        Crew { diary, executor, running, orders }
    }

    /// Orders a worker to do something, and waits until exactly these notes were added.
    pub(crate) async fn after(&mut self, to: char, what: Do, expected: &str) {
        self.order(to, what).await;
        self.has(expected).await;
    }

    /// Waits until exactly these notes were added since the last call.
    pub(crate) async fn has(&self, expected: &str) {
        self.diary.has(&self.executor, expected).await;
    }

    /// Orders a worker to do something.
    pub(crate) async fn order(&mut self, to: char, what: Do) {
        let to = u64::from(to) - u64::from('A');
        self.orders.emit(Order { to, what: what as u64 }).await.unwrap();
    }

    /// Shuts the node down.
    pub(crate) async fn end(
        self,
    ) -> Result<mycelium::observe::Report, mycelium::error::StartError> {
        // Workers end when the orders end, so the shutdown comes first.
        self.running.shutdown();
        drop(self.orders);
        self.running.join().await
    }
}
