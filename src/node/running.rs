//! The owner's handle of a running node.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use mycelium_core::wait::WaitStrategy;
use mycelium_core::{Message, Request};
use mycelium_transports::counters::{Metric, Reading};
use mycelium_transports::local::{Publisher, SubscribeOptions};

use super::placing::Placement;
#[cfg(feature = "actors")]
use crate::actor::Actors;
use crate::error::{BuildError, Result, ShuttingDown, StartError, SubscribeError};
use crate::inbox::Subscription;
use crate::inbox::request::{Requester, Role};
use crate::links::Links;
use crate::observe::health::Health;
use crate::observe::report::{LinkReport, Report, RingMemory, ServiceReport, StartWarning};
use crate::shared::{Runs, ServiceNode};

/// A running node. Dropping it shuts the node down.
pub struct Running {
    pub(super) node: Arc<ServiceNode>,
    pub(super) links: Arc<OnceLock<Links>>,
    pub(super) report: StartReport,
}

/// How a node started: how each service is executed, the carrier of each link, the memory of its
/// rings, and probable mistakes.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StartReport {
    /// The requested and the granted execution of each service, in the order in which the services
    /// start.
    pub placements: Vec<Placement>,
    /// The carrier of each link, by the name of the other node.
    pub links: Vec<LinkReport>,
    /// The memory of the node's rings.
    pub memory: RingMemory,
    /// The address where the node serves `/metrics`, `/live` and `/ready`, if it does.
    pub metrics_address: Option<SocketAddr>,
    /// Probable mistakes, which are also logged at the start. Topics without a reader are logged
    /// five seconds later, or when a shutdown begins or all services have ended, unless code
    /// outside the services has subscribed.
    pub warnings: Vec<StartWarning>,
}

/// Formats a line for each service, each link, the rings, and each warning.
impl fmt::Display for StartReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.placements.iter().try_for_each(|placement| writeln!(f, "{placement}"))?;
        self.links.iter().try_for_each(|link| writeln!(f, "{link}"))?;
        writeln!(f, "{}", self.memory)?;
        if let Some(address) = self.metrics_address {
            writeln!(f, "metrics at http://{address}/metrics")?;
        }
        self.warnings.iter().try_for_each(|warning| writeln!(f, "warning: {warning}"))
    }
}

impl Running {
    /// Shuts the node down: sources end, their messages are received, then each `recv` returns
    /// `None`. Services that have not ended at the deadline are abandoned. A second call has no
    /// effect.
    pub fn shutdown(&self) {
        self.node.lifecycle.shut_down();
    }

    #[cfg(feature = "testing")]
    pub(crate) fn node(&self) -> &Arc<ServiceNode> {
        &self.node
    }

    /// Waits until all services and their threads have ended.
    ///
    /// # Errors
    /// [`StartError`]: a service failed permanently, messages could not be delivered, or services
    /// or threads had not ended at the shutdown's deadline.
    pub async fn join(self) -> Result<Report, StartError> {
        self.node.lifecycle.finished.wait().await;
        if let Some(error) = self.node.lifecycle.failure.take() {
            return Err(error);
        }
        let counters = self.counters();
        let services = self.node.services.ended().into_iter().map(|(name, outcome)| {
            let Runs { starts, errors, panics } = self.node.services.runs_of(&name);
            let last_failure = self.node.services.last_failure(&name);
            ServiceReport { name, outcome, starts, errors, panics, last_failure }
        });
        let services = services.collect();
        Ok(Report { services, counters })
    }

    /// Returns the actors of this node. They end after the services: each handles the messages in
    /// its mailbox, within the deadline of the shutdown. Needs the feature `actors`.
    #[cfg(feature = "actors")]
    #[must_use]
    pub fn actors(&self) -> Actors {
        self.node.actors.clone()
    }

    /// Waits until this node has connected with all nodes that it reads from, and with all that
    /// read from it. Callers that do not wait lose no message.
    ///
    /// # Errors
    /// [`ShuttingDown`] if the node ends first.
    pub async fn ready(&self) -> Result<(), ShuttingDown> {
        match self.links.get() {
            Some(links) if !links.ready().await => Err(ShuttingDown),
            _ => Ok(()),
        }
    }

    /// Returns the report of how the node started.
    #[must_use]
    pub fn start_report(&self) -> &StartReport {
        &self.report
    }

    /// Returns the current health of the node and of each of its services.
    ///
    /// ```
    /// use mycelium::observe::HealthState;
    /// use mycelium::{Context, Node, Result, service};
    ///
    /// struct Idle;
    ///
    /// #[service()]
    /// impl Idle {
    ///     async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
    ///         ctx.shutdown_requested().await;
    ///         Ok(())
    ///     }
    /// }
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// let node = Node::builder("main").service(|| Idle).build()?;
    /// let running = node.start(mycelium::execution::tokio::Tokio::current()?)?;
    /// assert_eq!(running.health().node(), HealthState::Starting);
    /// while !running.health().is_ready() {
    ///     tokio::task::yield_now().await;
    /// }
    /// assert_eq!(running.health().service("Idle"), Some(HealthState::Ready));
    /// running.shutdown();
    /// running.join().await?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn health(&self) -> Health {
        self.node.lifecycle.observers.health()
    }

    /// Returns the current values of all counters.
    #[must_use]
    pub fn counters(&self) -> Vec<Reading> {
        self.node.topics.counters().read()
    }

    /// Returns the current values of the metrics that services have created through
    /// [`Context::metrics`](crate::Context::metrics). After the end of the node, they are in the
    /// [counters](Report::counters) of its report: [`Metric::of`].
    #[must_use]
    pub fn metrics(&self) -> Vec<Metric> {
        Metric::of(&self.counters())
    }

    /// Returns the number of counter lines that did not fit into the region of counters, and are
    /// missing from [`counters`](Running::counters).
    #[must_use]
    pub fn unseen_counters(&self) -> u64 {
        self.node.topics.counters().unseen()
    }

    /// Creates a publisher for code outside the services: another thread, another runtime.
    ///
    /// At a shutdown, subscriptions to its topic end when they are empty, even if the publisher
    /// still exists.
    ///
    /// # Errors
    /// [`BuildError`] if the topic refuses the publisher.
    pub fn publisher<M: Message>(&self, name: &str) -> Result<Publisher<M>, BuildError> {
        self.publisher_to(M::TOPIC, name)
    }

    /// Creates a publisher as [`publisher`](Running::publisher) does, for the topic with this name.
    ///
    /// # Errors
    /// [`BuildError`] if the topic refuses the publisher.
    pub fn publisher_to<M: Message>(
        &self,
        topic: &str,
        name: &str,
    ) -> Result<Publisher<M>, BuildError> {
        self.node.topics.outside_publisher(topic, name)
    }

    /// Creates a requester for code outside the services: another thread, another runtime. While it
    /// exists, services that answer its topic do not end before a shutdown. If these services are
    /// in another node, a service of this node must also declare the request: otherwise requests
    /// are `Gone`.
    ///
    /// # Errors
    /// [`BuildError`] if the topic carries requests of another type.
    pub fn requester<Q: Request>(&self, name: &str) -> Result<Requester<Q>, BuildError> {
        let topics = &self.node.topics;
        let line = topics.counters().line(&format!("topic={} requester={name}", Q::TOPIC));
        let (mailbox, wait) = (topics.mailbox::<Q>(Q::TOPIC)?, WaitStrategy::default());
        let role = Role::Outside(self.node.executor.clone());
        Ok(Requester::new(mailbox, name, Arc::new(line), wait, role))
    }

    /// Creates a subscription for code outside the services. It starts with the first message whose
    /// emit begins after this returns; a subscription that is created [before the
    /// start](crate::Node::subscribe) misses nothing. Its `recv` returns `None` when the services
    /// have ended and all messages were received.
    ///
    /// # Errors
    /// [`SubscribeError`] if the topic refuses the subscription.
    pub fn subscribe<M: Message>(
        &self,
        name: &str,
        options: impl Into<SubscribeOptions>,
    ) -> Result<Subscription<M>, SubscribeError> {
        self.subscribe_to(M::TOPIC, name, options)
    }

    /// Creates a subscription as [`subscribe`](Running::subscribe) does, for the topic with this
    /// name.
    ///
    /// # Errors
    /// [`SubscribeError`] if the topic refuses the subscription.
    pub fn subscribe_to<M: Message>(
        &self,
        topic: &str,
        name: &str,
        options: impl Into<SubscribeOptions>,
    ) -> Result<Subscription<M>, SubscribeError> {
        self.node.topics.outside_subscription(topic, name, options.into())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.node.lifecycle.shut_down();
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("node", &self.node.plan.node).finish_non_exhaustive()
    }
}
