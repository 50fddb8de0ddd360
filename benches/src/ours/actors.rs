//! Our actors, on the executor of tokio.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use mycelium::{ActorRef, Actors, Keyed, Result};
use mycelium_core::message;
use mycelium_tokio::Tokio;

use crate::loops::actors::library::{Asks, Library, Tells, Threads};
use crate::loops::actors::place::on_tokio;
use crate::loops::actors::ring::{CAPACITY, Hop, HopPlan, Rings};
use crate::loops::actors::state::{Counting, Plan};

pub(crate) struct Ours;

/// An actor that counts.
pub(crate) struct Counter(Counting);

struct Tell(u64);

#[message(topic = "actor-questions", id = 15, reply = Answer)]
struct Ask {
    number: u64,
}

#[message(topic = "actor-answers", id = 16)]
struct Answer {
    number: u64,
}

#[mycelium::actor]
impl Counter {
    #[tell]
    fn tell(&mut self, Tell(number): Tell) -> Result<()> {
        self.0.add(number);
        Ok(())
    }

    #[ask]
    fn ask(&mut self, question: Ask) -> Result<Answer> {
        Ok(Answer { number: self.0.add(question.number) })
    }
}

impl Library for Ours {
    const NAME: &'static str = "our actor";

    type World = Actors;
    type Counter = ActorRef<Counter>;

    fn run<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
        threads: Threads,
        body: impl FnOnce(Actors) -> F + Send + 'static,
    ) -> Option<T> {
        on_tokio(threads, || body(Actors::on(Tokio::current().expect("inside a runtime"))))
    }

    async fn spawn(actors: &Actors, plan: Plan) -> Option<ActorRef<Counter>> {
        let capacity = plan.capacity;
        actors.actor(move || Counter(plan.counter())).capacity(capacity).spawn().ok()
    }

    async fn stop(counter: ActorRef<Counter>) {
        counter.stop();
    }
}

impl Tells for Ours {
    async fn tell(counter: &mut ActorRef<Counter>, number: u64) -> bool {
        counter.tell(Tell(number)).await.is_ok()
    }
}

impl Asks for Ours {
    async fn ask(counter: &mut ActorRef<Counter>, number: u64) -> Option<u64> {
        Some(counter.ask(Ask { number }).await.ok()?.number)
    }
}

/// Keyed actors, with a number as their key.
pub(crate) struct OursKeyed;

/// The keyed actors are made with the first plan; all have the same.
pub(crate) struct KeyedWorld {
    actors: Actors,
    counters: OnceLock<Keyed<u64, Counter>>,
    next: AtomicU64,
}

impl Library for OursKeyed {
    const NAME: &'static str = "our keyed actor";

    type World = KeyedWorld;
    type Counter = (Keyed<u64, Counter>, u64);

    fn run<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
        threads: Threads,
        body: impl FnOnce(KeyedWorld) -> F + Send + 'static,
    ) -> Option<T> {
        Ours::run(threads, |actors| {
            body(KeyedWorld { actors, counters: OnceLock::new(), next: AtomicU64::new(0) })
        })
    }

    async fn spawn(world: &KeyedWorld, plan: Plan) -> Option<(Keyed<u64, Counter>, u64)> {
        let counters = world.counters.get_or_init(|| {
            let capacity = plan.capacity;
            let keyed = world.actors.keyed(move |_: &u64| Counter(plan.counter()));
            keyed.capacity(capacity).build().expect("the capacity is valid")
        });
        let key = world.next.fetch_add(1, Ordering::Relaxed);
        counters.get(&key).ok()?;
        Some((counters.clone(), key))
    }

    async fn stop((counters, key): (Keyed<u64, Counter>, u64)) {
        counters.stop(&key);
    }
}

impl Tells for OursKeyed {
    async fn tell((counters, key): &mut (Keyed<u64, Counter>, u64), number: u64) -> bool {
        counters.tell(key, Tell(number)).await.is_ok()
    }
}

/// An actor of the ring.
pub(crate) struct Link(Hop<Ours>);

#[mycelium::actor]
impl Link {
    #[tell]
    fn hop(&mut self, Tell(token): Tell) -> Result<()> {
        self.0.hop(token);
        Ok(())
    }
}

impl Rings for Ours {
    type Link = ActorRef<Link>;

    async fn join(actors: &Actors, plan: HopPlan<Ours>) -> Option<ActorRef<Link>> {
        actors.actor(move || Link(plan.hop())).capacity(CAPACITY).spawn().ok()
    }

    fn pass(link: &mut ActorRef<Link>, token: u64) -> bool {
        link.try_tell(Tell(token)).is_ok()
    }
}
