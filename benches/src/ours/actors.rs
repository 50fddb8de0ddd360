//! Our actors, on the executor of tokio.

use mycelium::Result;
use mycelium::actors::{ActorRef, Actors};
use mycelium_core::message;
use mycelium_tokio::Tokio;

use crate::loops::actors::{Asks, Library, Plan, State, Tells};

pub(crate) struct Ours(Actors);

/// Our actors, whose methods are called by name.
#[derive(Default)]
pub(crate) struct Called(Ours);

/// An actor that counts.
pub(crate) struct Counter(State);

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
        self.0.handle(number);
        Ok(())
    }

    #[remote]
    fn answer(&mut self, question: Ask) -> Result<Answer> {
        Ok(Answer { number: self.0.handle(question.number) })
    }

    fn number(&mut self, number: u64) -> u64 {
        self.0.handle(number)
    }
}

impl Default for Ours {
    fn default() -> Ours {
        Ours(Actors::on(Tokio::current().expect("inside a runtime")))
    }
}

impl Library for Ours {
    const NAME: &'static str = "our actor";

    type Address = ActorRef<Counter>;

    async fn spawn(&self, plan: Plan) -> Option<ActorRef<Counter>> {
        let capacity = plan.capacity;
        self.0.actor(move || Counter(plan.state())).capacity(capacity).spawn().ok()
    }

    async fn stop(counter: ActorRef<Counter>) {
        counter.stop();
    }
}

impl Tells for Ours {
    async fn tell(counter: &mut ActorRef<Counter>, number: u64) -> bool {
        counter.tell(Tell(number)).await.is_ok()
    }

    fn try_tell(counter: &mut ActorRef<Counter>, number: u64) -> bool {
        counter.try_tell(Tell(number)).is_ok()
    }
}

impl Asks for Ours {
    async fn ask(counter: &mut ActorRef<Counter>, number: u64) -> Option<u64> {
        Some(counter.ask(Ask { number }).await.ok()?.number)
    }
}

impl Library for Called {
    const NAME: &'static str = "our actor, called";

    type Address = ActorRef<Counter>;

    async fn spawn(&self, plan: Plan) -> Option<ActorRef<Counter>> {
        self.0.spawn(plan).await
    }

    async fn stop(counter: ActorRef<Counter>) {
        Ours::stop(counter).await;
    }
}

impl Asks for Called {
    async fn ask(counter: &mut ActorRef<Counter>, number: u64) -> Option<u64> {
        counter.number(number).await.ok()
    }
}
