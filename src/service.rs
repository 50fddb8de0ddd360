//! What a service is to a node, and what `#[service]` makes of an impl block.

use std::sync::Arc;
use std::task::{self, Poll};

use mycelium_core::Message;
use mycelium_core::wait::Wait;
use mycelium_transports::local::{DeferredWakes, Finisher, Publisher, TaskBudget};

use crate::context::Context;
use crate::error::{BuildError, Result};
use crate::execution::Execution;
use crate::inbox::{AnyInbox, Inbox};
use crate::launch::Task;
use crate::node::Shared;
use crate::plan::Ports;
use crate::supervision::Life;

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

/// Makes a service's subscriptions and publishers, before anything runs.
pub struct Wiring<'a> {
    shared: &'a Arc<Shared>,
    service: &'a str,
    wait: Wait,
    pub(crate) pulse: Arc<TaskBudget>,
    pub(crate) flushers: Vec<DeferredWakes>,
    pub(crate) inboxes: Vec<Arc<dyn AnyInbox>>,
    /// How subscriptions are ended from outside, with their topics.
    pub(crate) finishers: Vec<(&'static str, Finisher)>,
}

impl<'a> Wiring<'a> {
    pub(crate) fn new(
        shared: &'a Arc<Shared>,
        service: &'a str,
        execution: &Execution,
    ) -> Wiring<'a> {
        Wiring {
            shared,
            service,
            wait: execution.wait,
            pulse: TaskBudget::with_budget(execution.budget),
            flushers: Vec::new(),
            inboxes: Vec::new(),
            finishers: Vec::new(),
        }
    }

    /// A subscription that the service declared.
    ///
    /// # Errors
    /// If the topic cannot take it.
    pub fn input<M: Message>(&mut self) -> Result<Inbox<M>, BuildError> {
        let policy = self.shared.plan.policy(self.service, M::TOPIC);
        let topic = self.shared.topic::<M>()?;
        let mut subscription = topic.subscribe::<M>(self.service, policy)?;
        subscription.set_wait_strategy(self.wait);
        self.flushers.push(subscription.attach(&self.pulse));
        self.finishers.push((M::TOPIC, subscription.finisher()));
        let inbox = Inbox::new(format!("{}.{}", self.service, M::TOPIC), subscription);
        self.inboxes.push(inbox.watched());
        Ok(inbox)
    }

    /// A publisher that the service declared.
    ///
    /// # Errors
    /// If the topic cannot take it.
    pub fn output<M: Message>(&mut self) -> Result<Publisher<M>, BuildError> {
        let mut publisher = self.shared.publisher::<M>(self.service)?;
        publisher.set_wait_strategy(self.wait);
        self.flushers.push(publisher.attach(&self.pulse));
        Ok(publisher)
    }
}
