//! Actors of compio (compio-actor), in a cluster of one worker. The caller is an actor of the same
//! worker. A full mailbox refuses a message; the caller then yields and tries again.

use std::convert::Infallible;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::sync::mpsc;

use compio::actor::{Actor, Call, Cluster, Handler, Mailbox};
use compio::dispatcher::Dispatcher;

use crate::loops::actors::library::{Asks, Library, Tells, Threads};
use crate::loops::actors::ring::{CAPACITY, Hop, HopPlan, Rings};
use crate::loops::actors::state::{Counting, Plan};

pub(crate) struct Compio;

impl Compio {
    /// Whether the machine supports it: its runtime needs io_uring.
    pub(crate) fn runs() -> bool {
        Compio::run(Threads::One, async |_| ()).is_some()
    }
}

/// The work of the caller.
struct Body(Pin<Box<dyn Future<Output = ()> + Send>>);

/// Does the work when it starts.
struct Caller;

impl Actor for Caller {
    type State = ();
    type Arguments = Body;
    type Error = Infallible;

    async fn pre_start(&self, _: &Mailbox<Caller>, Body(body): Body) -> Result<(), Infallible> {
        body.await;
        Ok(())
    }
}

pub(crate) struct Counter;

impl Actor for Counter {
    type State = Counting;
    type Arguments = Counting;
    type Error = Infallible;

    async fn pre_start(
        &self,
        _: &Mailbox<Counter>,
        state: Counting,
    ) -> Result<Counting, Infallible> {
        Ok(state)
    }
}

struct Tell(u64);

impl Handler<Tell> for Counter {
    async fn handle(
        &self,
        _: &Mailbox<Counter>,
        Tell(number): Tell,
        state: &mut Counting,
    ) -> Result<(), Infallible> {
        state.add(number);
        Ok(())
    }
}

struct Ask(u64);

impl Handler<Call<Ask, u64>> for Counter {
    async fn handle(
        &self,
        _: &Mailbox<Counter>,
        call: Call<Ask, u64>,
        state: &mut Counting,
    ) -> Result<(), Infallible> {
        let (Ask(number), reply) = call.into_parts();
        let _ = reply.reply(state.add(number));
        Ok(())
    }
}

fn bounded(capacity: usize) -> NonZeroUsize {
    NonZeroUsize::new(capacity).expect("a mailbox has room")
}

impl Library for Compio {
    const NAME: &'static str = "compio-actor";

    type World = Cluster;
    type Counter = Mailbox<Counter>;

    fn run<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
        _: Threads,
        body: impl FnOnce(Cluster) -> F + Send + 'static,
    ) -> Option<T> {
        let dispatcher = Dispatcher::builder().worker_threads(bounded(1)).build();
        let cluster = Cluster::from_dispatcher(dispatcher.ok()?);
        let (give, given) = mpsc::channel();
        let world = cluster.clone();
        async_io::block_on(async {
            let body = Body(Box::pin(async move { _ = give.send(body(world).await) }));
            drop(cluster.spawn(|| Caller, body).await);
            cluster.join().await.ok()
        })?;
        given.recv().ok()
    }

    async fn spawn(cluster: &Cluster, plan: Plan) -> Option<Mailbox<Counter>> {
        let spawn = cluster.spawn(|| Counter, plan.counter());
        Some(spawn.with_capacity(bounded(plan.capacity)).await.ok()?.0)
    }

    async fn stop(counter: Mailbox<Counter>) {
        counter.stop();
    }
}

impl Tells for Compio {
    async fn tell(counter: &mut Mailbox<Counter>, number: u64) -> bool {
        while counter.send(Tell(number)).is_err() {
            if counter.is_closed() {
                return false;
            }
            tokio::task::yield_now().await;
        }
        true
    }
}

impl Asks for Compio {
    async fn ask(counter: &mut Mailbox<Counter>, number: u64) -> Option<u64> {
        counter.call(Ask(number)).await.ok()
    }
}

pub(crate) struct Link;

impl Actor for Link {
    type State = Hop<Compio>;
    type Arguments = Hop<Compio>;
    type Error = Infallible;

    async fn pre_start(
        &self,
        _: &Mailbox<Link>,
        state: Hop<Compio>,
    ) -> Result<Hop<Compio>, Infallible> {
        Ok(state)
    }
}

impl Handler<Tell> for Link {
    async fn handle(
        &self,
        _: &Mailbox<Link>,
        Tell(token): Tell,
        state: &mut Hop<Compio>,
    ) -> Result<(), Infallible> {
        state.hop(token);
        Ok(())
    }
}

impl Rings for Compio {
    type Link = Mailbox<Link>;

    async fn join(cluster: &Cluster, plan: HopPlan<Compio>) -> Option<Mailbox<Link>> {
        let spawn = cluster.spawn(|| Link, plan.hop());
        Some(spawn.with_capacity(bounded(CAPACITY)).await.ok()?.0)
    }

    fn pass(link: &mut Mailbox<Link>, token: u64) -> bool {
        link.send(Tell(token)).is_ok()
    }
}
