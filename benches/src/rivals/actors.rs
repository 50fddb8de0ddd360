//! kameo, and the means that a program uses in place of a library of actors: a task with a bounded
//! channel of tokio, and a oneshot channel for each answer.

use tokio::sync::{mpsc, oneshot};

use crate::loops::actors::{Asks, Library, Plan, Tells};

pub(crate) const KAMEO: &str = "kameo";

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
pub(crate) use with_kameo::Kameo;

#[cfg(feature = "rivals")]
mod with_kameo {
    use std::convert::Infallible;

    use kameo::actor::Spawn;
    use kameo::message::{Context, Message};

    use super::{Asks, KAMEO, Library, Plan, Tells};
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
        const NAME: &'static str = KAMEO;

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
