//! Actors of kameo, with bounded mailboxes. Messages go by `send` and `try_send`: an `await` of the
//! request itself boxes a future first.

use std::convert::Infallible;

use kameo::Actor;
use kameo::actor::{ActorRef, Spawn};
use kameo::mailbox;
use kameo::message::{Context, Message};

use crate::loops::actors::library::{Asks, Library, Tells, Threads};
use crate::loops::actors::place::on_tokio;
use crate::loops::actors::ring::{CAPACITY, Hop, HopPlan, Rings};
use crate::loops::actors::state::{Counting, Plan};

pub(crate) struct Kameo;

impl Actor for Counting {
    type Args = Counting;
    type Error = Infallible;

    async fn on_start(state: Counting, _: ActorRef<Counting>) -> Result<Counting, Infallible> {
        Ok(state)
    }
}

struct Tell(u64);

impl Message<Tell> for Counting {
    type Reply = ();

    async fn handle(&mut self, Tell(number): Tell, _: &mut Context<Counting, ()>) {
        self.add(number);
    }
}

struct Ask(u64);

impl Message<Ask> for Counting {
    type Reply = u64;

    async fn handle(&mut self, Ask(number): Ask, _: &mut Context<Counting, u64>) -> u64 {
        self.add(number)
    }
}

impl Library for Kameo {
    const NAME: &'static str = "kameo";

    type World = ();
    type Counter = ActorRef<Counting>;

    fn run<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
        threads: Threads,
        body: impl FnOnce(()) -> F + Send + 'static,
    ) -> Option<T> {
        on_tokio(threads, || body(()))
    }

    async fn spawn((): &(), plan: Plan) -> Option<ActorRef<Counting>> {
        Some(Counting::spawn_with_mailbox(plan.counter(), mailbox::bounded(plan.capacity)))
    }

    async fn stop(counter: ActorRef<Counting>) {
        // An error says that it has ended.
        let _ = counter.stop_gracefully().await;
    }
}

impl Tells for Kameo {
    async fn tell(counter: &mut ActorRef<Counting>, number: u64) -> bool {
        counter.tell(Tell(number)).send().await.is_ok()
    }
}

impl Asks for Kameo {
    async fn ask(counter: &mut ActorRef<Counting>, number: u64) -> Option<u64> {
        counter.ask(Ask(number)).send().await.ok()
    }
}

impl Actor for Hop<Kameo> {
    type Args = Hop<Kameo>;
    type Error = Infallible;

    async fn on_start(
        state: Hop<Kameo>,
        _: ActorRef<Hop<Kameo>>,
    ) -> Result<Hop<Kameo>, Infallible> {
        Ok(state)
    }
}

impl Message<Tell> for Hop<Kameo> {
    type Reply = ();

    async fn handle(&mut self, Tell(token): Tell, _: &mut Context<Hop<Kameo>, ()>) {
        self.hop(token);
    }
}

impl Rings for Kameo {
    type Link = ActorRef<Hop<Kameo>>;

    async fn join((): &(), plan: HopPlan<Kameo>) -> Option<Self::Link> {
        Some(Hop::<Kameo>::spawn_with_mailbox(plan.hop(), mailbox::bounded(CAPACITY)))
    }

    fn pass(link: &mut Self::Link, token: u64) -> bool {
        link.tell(Tell(token)).try_send().is_ok()
    }
}
