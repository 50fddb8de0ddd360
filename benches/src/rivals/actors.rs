//! kameo, and what a program uses in place of a library of actors: a task with a bounded channel of
//! tokio, and a oneshot channel for each answer.

use tokio::sync::{mpsc, oneshot};

use crate::loops::actors::{Asks, FEW, HopPlan, Library, Plan, Rings, Tells};

pub(crate) const KAMEO: &str = "kameo";

/// A task that gets numbers.
pub(crate) struct Channel;

impl Library for Channel {
    const NAME: &'static str = "task with tokio mpsc";

    type World = ();
    type Counter = mpsc::Sender<u64>;

    fn world() {}

    async fn spawn((): &(), plan: Plan) -> Option<mpsc::Sender<u64>> {
        let (sender, mut receiver) = mpsc::channel(plan.capacity);
        let mut state = plan.counter();
        tokio::spawn(async move {
            while let Some(number) = receiver.recv().await {
                state.add(number);
            }
        });
        Some(sender)
    }

    /// The task ends with the last sender.
    async fn stop(_: mpsc::Sender<u64>) {}
}

impl Rings for Channel {
    type Link = mpsc::Sender<u64>;

    fn join((): &(), plan: HopPlan<Channel>) -> Option<mpsc::Sender<u64>> {
        let (sender, mut receiver) = mpsc::channel(FEW);
        let mut state = plan.hop();
        tokio::spawn(async move {
            while let Some(token) = receiver.recv().await {
                state.hop(token);
            }
        });
        Some(sender)
    }

    fn pass(link: &mut mpsc::Sender<u64>, token: u64) -> bool {
        link.try_send(token).is_ok()
    }
}

impl Tells for Channel {
    async fn tell(counter: &mut mpsc::Sender<u64>, number: u64) -> bool {
        counter.send(number).await.is_ok()
    }
}

/// A task that answers numbers.
pub(crate) struct ChannelAndOneshot;

impl Library for ChannelAndOneshot {
    const NAME: &'static str = "tokio mpsc and oneshot";

    type World = ();
    type Counter = mpsc::Sender<(u64, oneshot::Sender<u64>)>;

    fn world() {}

    async fn spawn((): &(), plan: Plan) -> Option<Self::Counter> {
        let (sender, mut receiver) = mpsc::channel::<(u64, oneshot::Sender<u64>)>(plan.capacity);
        let mut state = plan.counter();
        tokio::spawn(async move {
            while let Some((number, reply)) = receiver.recv().await {
                // The asking side counts the answers.
                let _ = reply.send(state.add(number));
            }
        });
        Some(sender)
    }

    async fn stop(_: Self::Counter) {}
}

impl Asks for ChannelAndOneshot {
    async fn ask(counter: &mut Self::Counter, number: u64) -> Option<u64> {
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

    use super::{Asks, FEW, HopPlan, KAMEO, Library, Plan, Rings, Tells};
    use crate::loops::actors::{Counting, Hop};

    /// Messages go by `send`: an `await` of the request itself boxes a future first.
    pub(crate) struct Kameo;

    impl kameo::Actor for Counting {
        type Args = Counting;
        type Error = Infallible;

        async fn on_start(
            state: Counting,
            _: kameo::actor::ActorRef<Counting>,
        ) -> Result<Counting, Infallible> {
            Ok(state)
        }
    }

    pub(crate) struct Tell(u64);

    impl Message<Tell> for Counting {
        type Reply = ();

        async fn handle(&mut self, Tell(number): Tell, _: &mut Context<Counting, ()>) {
            self.add(number);
        }
    }

    pub(crate) struct Ask(u64);

    impl Message<Ask> for Counting {
        type Reply = u64;

        async fn handle(&mut self, Ask(number): Ask, _: &mut Context<Counting, u64>) -> u64 {
            self.add(number)
        }
    }

    impl Library for Kameo {
        const NAME: &'static str = KAMEO;

        type World = ();
        type Counter = kameo::actor::ActorRef<Counting>;

        fn world() {}

        async fn spawn((): &(), plan: Plan) -> Option<Self::Counter> {
            let mailbox = kameo::mailbox::bounded(plan.capacity);
            Some(Counting::spawn_with_mailbox(plan.counter(), mailbox))
        }

        async fn stop(counter: Self::Counter) {
            // An error says that it has ended.
            let _ = counter.stop_gracefully().await;
        }
    }

    impl kameo::Actor for Hop<Kameo> {
        type Args = Hop<Kameo>;
        type Error = Infallible;

        async fn on_start(
            state: Hop<Kameo>,
            _: kameo::actor::ActorRef<Hop<Kameo>>,
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
        type Link = kameo::actor::ActorRef<Hop<Kameo>>;

        fn join((): &(), plan: HopPlan<Kameo>) -> Option<Self::Link> {
            let mailbox = kameo::mailbox::bounded(FEW);
            Some(Hop::<Kameo>::spawn_with_mailbox(plan.hop(), mailbox))
        }

        fn pass(link: &mut Self::Link, token: u64) -> bool {
            link.tell(Tell(token)).try_send().is_ok()
        }
    }

    impl Tells for Kameo {
        async fn tell(counter: &mut Self::Counter, number: u64) -> bool {
            counter.tell(Tell(number)).send().await.is_ok()
        }
    }

    impl Asks for Kameo {
        async fn ask(counter: &mut Self::Counter, number: u64) -> Option<u64> {
            counter.ask(Ask(number)).send().await.ok()
        }
    }
}
