//! Actors of actix, in its system of one thread. `do_send` ignores the bound of the mailbox.

use actix::{Actor, Addr, Context, Handler, Message, System};

use crate::loops::actors::library::{Asks, Library, Tells, Threads};
use crate::loops::actors::ring::{CAPACITY, Hop, HopPlan, Rings};
use crate::loops::actors::state::{Counting, Plan};

pub(crate) struct Actix;

impl Actor for Counting {
    type Context = Context<Counting>;
}

pub(crate) struct Tell(u64);

impl Message for Tell {
    type Result = ();
}

impl Handler<Tell> for Counting {
    type Result = ();

    fn handle(&mut self, Tell(number): Tell, _: &mut Context<Counting>) {
        self.add(number);
    }
}

pub(crate) struct Ask(u64);

impl Message for Ask {
    type Result = u64;
}

impl Handler<Ask> for Counting {
    type Result = u64;

    fn handle(&mut self, Ask(number): Ask, _: &mut Context<Counting>) -> u64 {
        self.add(number)
    }
}

impl Library for Actix {
    const NAME: &'static str = "actix, do_send unbounded";

    type World = ();
    type Counter = Addr<Counting>;

    fn run<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
        _: Threads,
        body: impl FnOnce(()) -> F + Send + 'static,
    ) -> Option<T> {
        System::new().block_on(async { actix::spawn(body(())).await.ok() })
    }

    async fn spawn((): &(), plan: Plan) -> Option<Addr<Counting>> {
        Some(Counting::create(|context| {
            context.set_mailbox_capacity(plan.capacity);
            plan.counter()
        }))
    }

    /// An actor ends with its last address.
    async fn stop(_: Addr<Counting>) {}
}

impl Tells for Actix {
    async fn tell(counter: &mut Addr<Counting>, number: u64) -> bool {
        counter.do_send(Tell(number));
        true
    }
}

impl Asks for Actix {
    async fn ask(counter: &mut Addr<Counting>, number: u64) -> Option<u64> {
        counter.send(Ask(number)).await.ok()
    }
}

impl Actor for Hop<Actix> {
    type Context = Context<Hop<Actix>>;
}

impl Handler<Tell> for Hop<Actix> {
    type Result = ();

    fn handle(&mut self, Tell(token): Tell, _: &mut Context<Hop<Actix>>) {
        self.hop(token);
    }
}

impl Rings for Actix {
    type Link = Addr<Hop<Actix>>;

    async fn join((): &(), plan: HopPlan<Actix>) -> Option<Self::Link> {
        Some(Hop::create(|context| {
            context.set_mailbox_capacity(CAPACITY);
            plan.hop()
        }))
    }

    fn pass(link: &mut Self::Link, token: u64) -> bool {
        link.do_send(Tell(token));
        true
    }
}
