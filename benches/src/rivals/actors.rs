//! Other libraries of actors, and the means that a program uses in place of one: a task with a
//! bounded channel of tokio, and a oneshot channel for each answer.

use tokio::sync::{mpsc, oneshot};

use crate::loops::actors::{Asks, Library, Plan, Tells};

pub(crate) const LIBRARIES: &[&str] = &["actix", "kameo", "ractor"];

/// A task that gets numbers.
#[derive(Default)]
pub(crate) struct Channel;

impl Library for Channel {
    const NAME: &'static str = "task with tokio mpsc";

    type Address = mpsc::Sender<u64>;

    async fn spawn(&self, plan: Plan) -> Option<mpsc::Sender<u64>> {
        let (sender, mut receiver) = mpsc::channel(plan.capacity);
        let mut state = plan.state();
        tokio::spawn(async move {
            while let Some(number) = receiver.recv().await {
                state.handle(number);
            }
        });
        Some(sender)
    }

    /// The task ends when the last sender is dropped.
    async fn stop(_: mpsc::Sender<u64>) {}
}

impl Tells for Channel {
    async fn tell(counter: &mut mpsc::Sender<u64>, number: u64) -> bool {
        counter.send(number).await.is_ok()
    }

    fn try_tell(counter: &mut mpsc::Sender<u64>, number: u64) -> bool {
        counter.try_send(number).is_ok()
    }
}

/// A task that answers numbers.
#[derive(Default)]
pub(crate) struct ChannelAndOneshot;

impl Library for ChannelAndOneshot {
    const NAME: &'static str = "tokio mpsc and oneshot";

    type Address = mpsc::Sender<(u64, oneshot::Sender<u64>)>;

    async fn spawn(&self, plan: Plan) -> Option<Self::Address> {
        let (sender, mut receiver) = mpsc::channel::<(u64, oneshot::Sender<u64>)>(plan.capacity);
        let mut state = plan.state();
        tokio::spawn(async move {
            while let Some((number, reply)) = receiver.recv().await {
                // Ignores an error: the asking side counts the answers.
                let _ = reply.send(state.handle(number));
            }
        });
        Some(sender)
    }

    async fn stop(_: Self::Address) {}
}

impl Asks for ChannelAndOneshot {
    async fn ask(counter: &mut Self::Address, number: u64) -> Option<u64> {
        let (reply, replied) = oneshot::channel();
        counter.send((number, reply)).await.ok()?;
        replied.await.ok()
    }
}

#[cfg(feature = "rivals")]
pub(crate) use {with_actix::Actix, with_kameo::Kameo, with_ractor::Ractor};

#[cfg(feature = "rivals")]
mod with_kameo {
    use std::convert::Infallible;

    use kameo::actor::Spawn;
    use kameo::message::{Context, Message};

    use super::{Asks, Library, Plan, Tells};
    use crate::loops::actors::State;

    /// Sends messages by `send`, because an `await` of the request itself boxes a future first.
    #[derive(Default)]
    pub(crate) struct Kameo;

    impl kameo::Actor for State {
        type Args = State;
        type Error = Infallible;

        async fn on_start(
            state: State,
            _: kameo::actor::ActorRef<State>,
        ) -> Result<State, Infallible> {
            Ok(state)
        }
    }

    pub(crate) struct Tell(u64);

    impl Message<Tell> for State {
        type Reply = ();

        async fn handle(&mut self, Tell(number): Tell, _: &mut Context<State, ()>) {
            self.handle(number);
        }
    }

    pub(crate) struct Ask(u64);

    impl Message<Ask> for State {
        type Reply = u64;

        async fn handle(&mut self, Ask(number): Ask, _: &mut Context<State, u64>) -> u64 {
            self.handle(number)
        }
    }

    impl Library for Kameo {
        const NAME: &'static str = "kameo";

        type Address = kameo::actor::ActorRef<State>;

        async fn spawn(&self, plan: Plan) -> Option<Self::Address> {
            let mailbox = kameo::mailbox::bounded(plan.capacity);
            Some(State::spawn_with_mailbox(plan.state(), mailbox))
        }

        async fn stop(counter: Self::Address) {
            // Ignores an error: the actor has ended.
            let _ = counter.stop_gracefully().await;
        }
    }

    impl Tells for Kameo {
        async fn tell(counter: &mut Self::Address, number: u64) -> bool {
            counter.tell(Tell(number)).send().await.is_ok()
        }

        fn try_tell(counter: &mut Self::Address, number: u64) -> bool {
            counter.tell(Tell(number)).try_send().is_ok()
        }
    }

    impl Asks for Kameo {
        async fn ask(counter: &mut Self::Address, number: u64) -> Option<u64> {
            counter.ask(Ask(number)).send().await.ok()
        }
    }
}

#[cfg(feature = "rivals")]
mod with_ractor {
    use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, call};

    use super::{Asks, Library, Plan, Tells};
    use crate::loops::actors::State;

    /// Its mailboxes have no limit, so no message waits.
    #[derive(Default)]
    pub(crate) struct Ractor;

    struct Counter;

    pub(crate) enum Mail {
        Tell(u64),
        Ask(u64, RpcReplyPort<u64>),
    }

    impl Actor for Counter {
        type Msg = Mail;
        type State = State;
        type Arguments = State;

        async fn pre_start(
            &self,
            _: ActorRef<Mail>,
            state: State,
        ) -> Result<State, ActorProcessingErr> {
            Ok(state)
        }

        async fn handle(
            &self,
            _: ActorRef<Mail>,
            mail: Mail,
            state: &mut State,
        ) -> Result<(), ActorProcessingErr> {
            match mail {
                Mail::Tell(number) => _ = state.handle(number),
                Mail::Ask(number, reply) => reply.send(state.handle(number))?,
            }
            Ok(())
        }
    }

    impl Library for Ractor {
        const NAME: &'static str = "ractor";

        type Address = ActorRef<Mail>;

        async fn spawn(&self, plan: Plan) -> Option<ActorRef<Mail>> {
            Some(Counter::spawn(None, Counter, plan.state()).await.ok()?.0)
        }

        async fn stop(counter: ActorRef<Mail>) {
            counter.stop(None);
        }
    }

    impl Tells for Ractor {
        async fn tell(counter: &mut ActorRef<Mail>, number: u64) -> bool {
            Ractor::try_tell(counter, number)
        }

        fn try_tell(counter: &mut ActorRef<Mail>, number: u64) -> bool {
            counter.cast(Mail::Tell(number)).is_ok()
        }
    }

    impl Asks for Ractor {
        async fn ask(counter: &mut ActorRef<Mail>, number: u64) -> Option<u64> {
            call!(counter, Mail::Ask, number).ok()
        }
    }
}

#[cfg(feature = "rivals")]
mod with_actix {
    use actix::dev::SendError;
    use actix::{Actor, Addr, Context, Handler, Message, System};

    use super::{Asks, Library, Plan, Tells};
    use crate::loops::actors::{Place, State};

    /// Its actors stay on one thread. A message waits for room only together with its answer.
    #[derive(Default)]
    pub(crate) struct Actix;

    impl Actor for State {
        type Context = Context<State>;
    }

    #[derive(Message)]
    #[rtype(result = "()")]
    struct Tell(u64);

    #[derive(Message)]
    #[rtype(result = "u64")]
    struct Ask(u64);

    impl Handler<Tell> for State {
        type Result = ();

        fn handle(&mut self, Tell(number): Tell, _: &mut Context<State>) {
            State::handle(self, number);
        }
    }

    impl Handler<Ask> for State {
        type Result = u64;

        fn handle(&mut self, Ask(number): Ask, _: &mut Context<State>) -> u64 {
            State::handle(self, number)
        }
    }

    impl Library for Actix {
        const NAME: &'static str = "actix";

        type Address = Addr<State>;

        async fn spawn(&self, plan: Plan) -> Option<Addr<State>> {
            let capacity = plan.capacity;
            Some(State::create(move |context| {
                context.set_mailbox_capacity(capacity);
                plan.state()
            }))
        }

        /// An actor ends when its last address is dropped.
        async fn stop(_: Addr<State>) {}

        fn run<T: Send + 'static>(
            _: &Place,
            body: impl Future<Output = Option<T>> + Send + 'static,
        ) -> Option<T> {
            System::new().block_on(async { actix::spawn(body).await }).ok().flatten()
        }
    }

    impl Tells for Actix {
        async fn tell(counter: &mut Addr<State>, number: u64) -> bool {
            match counter.try_send(Tell(number)) {
                Ok(()) => true,
                Err(SendError::Full(tell)) => counter.send(tell).await.is_ok(),
                Err(SendError::Closed(_)) => false,
            }
        }

        fn try_tell(counter: &mut Addr<State>, number: u64) -> bool {
            counter.try_send(Tell(number)).is_ok()
        }
    }

    impl Asks for Actix {
        async fn ask(counter: &mut Addr<State>, number: u64) -> Option<u64> {
            counter.send(Ask(number)).await.ok()
        }
    }
}
