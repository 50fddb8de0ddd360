//! Actors of ractor, whose mailboxes are unbounded. Messages go by `cast` and `call`.

use std::marker::PhantomData;

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};

use crate::loops::actors::library::{Asks, Library, Tells, Threads};
use crate::loops::actors::place::on_tokio;
use crate::loops::actors::ring::{Hop, HopPlan, Rings};
use crate::loops::actors::state::{Counting, Plan};

pub(crate) struct Ractor;

/// An actor with this state.
struct Of<S>(PhantomData<fn() -> S>);

pub(crate) enum Call {
    Tell(u64),
    Ask(u64, RpcReplyPort<u64>),
}

impl Actor for Of<Counting> {
    type Msg = Call;
    type State = Counting;
    type Arguments = Counting;

    async fn pre_start(
        &self,
        _: ActorRef<Call>,
        state: Counting,
    ) -> Result<Counting, ActorProcessingErr> {
        Ok(state)
    }

    async fn handle(
        &self,
        _: ActorRef<Call>,
        call: Call,
        state: &mut Counting,
    ) -> Result<(), ActorProcessingErr> {
        match call {
            Call::Tell(number) => _ = state.add(number),
            Call::Ask(number, reply) => _ = reply.send(state.add(number)),
        }
        Ok(())
    }
}

impl Library for Ractor {
    const NAME: &'static str = "ractor, unbounded";

    type World = ();
    type Counter = ActorRef<Call>;

    fn run<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
        threads: Threads,
        body: impl FnOnce(()) -> F + Send + 'static,
    ) -> Option<T> {
        on_tokio(threads, || body(()))
    }

    async fn spawn((): &(), plan: Plan) -> Option<ActorRef<Call>> {
        let spawned = Actor::spawn(None, Of::<Counting>(PhantomData), plan.counter()).await;
        Some(spawned.ok()?.0)
    }

    async fn stop(counter: ActorRef<Call>) {
        counter.stop(None);
    }
}

impl Tells for Ractor {
    async fn tell(counter: &mut ActorRef<Call>, number: u64) -> bool {
        counter.cast(Call::Tell(number)).is_ok()
    }
}

impl Asks for Ractor {
    async fn ask(counter: &mut ActorRef<Call>, number: u64) -> Option<u64> {
        let reply = counter.call(|port| Call::Ask(number, port), None).await;
        reply.ok()?.success_or(()).ok()
    }
}

pub(crate) struct Token(u64);

impl Actor for Of<Hop<Ractor>> {
    type Msg = Token;
    type State = Hop<Ractor>;
    type Arguments = Hop<Ractor>;

    async fn pre_start(
        &self,
        _: ActorRef<Token>,
        state: Hop<Ractor>,
    ) -> Result<Hop<Ractor>, ActorProcessingErr> {
        Ok(state)
    }

    async fn handle(
        &self,
        _: ActorRef<Token>,
        Token(token): Token,
        state: &mut Hop<Ractor>,
    ) -> Result<(), ActorProcessingErr> {
        state.hop(token);
        Ok(())
    }
}

impl Rings for Ractor {
    type Link = ActorRef<Token>;

    async fn join((): &(), plan: HopPlan<Ractor>) -> Option<ActorRef<Token>> {
        Some(Actor::spawn(None, Of::<Hop<Ractor>>(PhantomData), plan.hop()).await.ok()?.0)
    }

    fn pass(link: &mut ActorRef<Token>, token: u64) -> bool {
        link.cast(Token(token)).is_ok()
    }
}
