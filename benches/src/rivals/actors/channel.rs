//! What a program uses in place of an actor: a task with a bounded channel of tokio, and a oneshot
//! channel for each answer.

use tokio::sync::{mpsc, oneshot};

use crate::loops::actors::library::{Asks, Library, Tells, Threads};
use crate::loops::actors::place::on_tokio;
use crate::loops::actors::ring::{CAPACITY, HopPlan, Rings};
use crate::loops::actors::state::Plan;

/// A task that gets numbers.
pub(crate) struct Channel;

impl Library for Channel {
    const NAME: &'static str = "task with tokio mpsc";

    type World = ();
    type Counter = mpsc::Sender<u64>;

    fn run<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
        threads: Threads,
        body: impl FnOnce(()) -> F + Send + 'static,
    ) -> Option<T> {
        on_tokio(threads, || body(()))
    }

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

impl Tells for Channel {
    async fn tell(counter: &mut mpsc::Sender<u64>, number: u64) -> bool {
        counter.send(number).await.is_ok()
    }
}

impl Rings for Channel {
    type Link = mpsc::Sender<u64>;

    async fn join((): &(), plan: HopPlan<Channel>) -> Option<mpsc::Sender<u64>> {
        let (sender, mut receiver) = mpsc::channel(CAPACITY);
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

/// A task that answers numbers.
pub(crate) struct ChannelAndOneshot;

impl Library for ChannelAndOneshot {
    const NAME: &'static str = "tokio mpsc and oneshot";

    type World = ();
    type Counter = mpsc::Sender<(u64, oneshot::Sender<u64>)>;

    fn run<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
        threads: Threads,
        body: impl FnOnce(()) -> F + Send + 'static,
    ) -> Option<T> {
        on_tokio(threads, || body(()))
    }

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

    /// The task ends with the last sender.
    async fn stop(_: Self::Counter) {}
}

impl Asks for ChannelAndOneshot {
    async fn ask(counter: &mut Self::Counter, number: u64) -> Option<u64> {
        let (reply, replied) = oneshot::channel();
        counter.send((number, reply)).await.ok()?;
        replied.await.ok()
    }
}
