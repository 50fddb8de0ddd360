//! What a service is: the traits that `#[service]` implements, and the types that they name. [`Context`] is what a service
//! sees of its node (its methods are in `context`), [`Life`] is what supervision keeps of a service.

use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::Arc;
use std::task::{self, Poll};

use mycelium_bundle::Restart;
use mycelium_core::Message;
use mycelium_executor::Executor;
use mycelium_transports::counters::{Line, ServiceValue};
use mycelium_transports::local::Publisher;

use crate::dead_letter::DeadLetter;
use crate::error::{BuildError, Result};
use crate::exit::ExitGuard;
use crate::inbox::{AnyInbox, Inbox};
use crate::latch::Latch;
use crate::launch::Task;
use crate::plan::Ports;
use crate::shared::Shared;
use crate::stall::StallWatch;
use crate::wiring::Wiring;

/// Something that runs in a node, reads messages and emits messages. Implemented by
/// [`#[service]`](macro@crate::service).
pub trait Service: Sized + 'static {
    /// What it is called in topologies, logs and counters: the type's name.
    const NAME: &'static str;
    /// Its subscriptions.
    #[doc(hidden)]
    type Inputs: Send + 'static;
    /// Its publishers.
    #[doc(hidden)]
    type Outputs: Send + 'static;

    #[doc(hidden)]
    fn ports() -> Ports;

    #[doc(hidden)]
    fn wire(wiring: &mut Wiring<'_>) -> Result<(Self::Inputs, Self::Outputs), BuildError>;

    #[doc(hidden)]
    fn each_output(outputs: &mut Self::Outputs, visit: &mut dyn FnMut(&mut dyn AnyPublisher));

    /// Runs until the service has nothing more to do, or fails.
    fn run(&mut self, context: &mut Context<Self>) -> impl Future<Output = Result<()>>;

    #[doc(hidden)]
    fn is_send() -> bool;

    #[doc(hidden)]
    fn launch(life: Life<Self>) -> Task;
}

/// The service declares that it reads `M`.
#[diagnostic::on_unimplemented(
    message = "service `{Self}` does not declare that it reads `{M}`",
    note = "declare it: `#[service(reads({M}), ..)]`"
)]
pub trait Reads<M: Message>: Service {
    #[doc(hidden)]
    fn inbox(inputs: &Self::Inputs) -> &Inbox<M>;
}

/// The service declares that it emits `M`.
#[diagnostic::on_unimplemented(
    message = "service `{Self}` does not declare that it emits `{M}`",
    note = "declare it: `#[service(emits({M}), ..)]`"
)]
pub trait Emits<M: Message>: Service {
    #[doc(hidden)]
    fn publisher(outputs: &mut Self::Outputs) -> &mut Publisher<M>;
}

/// A publisher of whatever messages.
pub trait AnyPublisher {
    /// See [`Publisher::poll_confirmed`].
    fn poll_confirmed(&mut self, context: &task::Context<'_>) -> Poll<()>;
    /// The name of its topic, and how many messages are not confirmed.
    fn unconfirmed(&self) -> (&'static str, usize);
}

impl<M: Message> AnyPublisher for Publisher<M> {
    fn poll_confirmed(&mut self, context: &task::Context<'_>) -> Poll<()> {
        Publisher::poll_confirmed(self, context)
    }

    fn unconfirmed(&self) -> (&'static str, usize) {
        (M::TOPIC, self.depth())
    }
}

/// The way from a service to everything else: messages, time, tasks, the network, logs.
///
/// There is one for each service, and it is not `Sync`: the service is the only writer of its topics, which is what
/// makes an emit a few stores. A child task or another thread gets a [`publisher`](Context::publisher) of its own.
pub struct Context<S: Service> {
    pub(crate) inputs: S::Inputs,
    pub(crate) outputs: S::Outputs,
    pub(crate) name: Arc<str>,
    pub(crate) shared: Arc<Shared>,
    /// That of the thread where the service runs.
    pub(crate) executor: Arc<dyn Executor>,
    /// Set when the present run ends: its tasks end with it.
    pub(crate) run: Arc<Latch>,
    pub(crate) random: fastrand::Rng,
    pub(crate) stall: StallWatch,
    pub(crate) publishers: usize,
    pub(crate) not_sync: PhantomData<Cell<()>>,
}

/// All that a service needs from its first start to its last end.
pub struct Life<S: Service> {
    pub(crate) factory: Box<dyn FnMut() -> S + Send>,
    pub(crate) context: Context<S>,
    pub(crate) inboxes: Vec<Arc<dyn AnyInbox>>,
    /// `None` if nothing is read that could become one.
    pub(crate) dead_letters: Option<Publisher<DeadLetter>>,
    pub(crate) restart: Restart,
    pub(crate) line: Line<ServiceValue>,
    /// Dropped last: when the node learns of the end of the service, all else is gone.
    pub(crate) exit: ExitGuard,
}
