//! Our actors, on the executor of tokio.

use mycelium::{ActorRef, Actors, Result};
use mycelium_core::message;
use mycelium_tokio::Tokio;

use crate::loops::actors::{Asks, Counting, FEW, Hop, HopPlan, Library, Plan, Rings, Tells};

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

    fn world() -> Actors {
        Actors::on(Tokio::current().expect("inside a runtime"))
    }

    async fn spawn(actors: &Actors, plan: Plan) -> Option<ActorRef<Counter>> {
        let capacity = plan.capacity;
        actors.actor(move || Counter(plan.counter())).capacity(capacity).spawn().ok()
    }

    async fn stop(counter: ActorRef<Counter>) {
        counter.stop();
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

    fn join(actors: &Actors, plan: HopPlan<Ours>) -> Option<ActorRef<Link>> {
        actors.actor(move || Link(plan.hop())).capacity(FEW).spawn().ok()
    }

    fn pass(link: &mut ActorRef<Link>, token: u64) -> bool {
        link.try_tell(Tell(token)).is_ok()
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
