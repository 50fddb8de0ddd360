//! The trait of a transport, its promises, and the topics that it gets from a node.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use mycelium_executor::{Executor, SendFuture};

use super::control::{BusyGuard, Control, Phase};
use super::tap::Tap;
use crate::local::values::OnDeadLetter;
use crate::local::{KeepOpen, Policy, SubscribeOptions, Topic, TopicError, Undelivered};

/// Carries messages between the topics of this process and others. See the [module](super).
pub trait Transport: Send + 'static {
    /// Returns the transport's name, for errors and logs.
    fn name(&self) -> &str;

    /// Returns the transport's promises.
    fn capabilities(&self) -> Capabilities;

    /// Carries messages until the future is ready. It is called once, before any service of the
    /// node runs. A node waits for the future after its services have ended, until the deadline of
    /// its shutdown.
    ///
    /// # Errors
    /// If the transport cannot carry these topics: the reason, and what was expected. The node does
    /// not start.
    fn carry(self: Box<Self>, ends: Ends) -> Result<SendFuture<()>, String>;
}

/// A transport that topology files can name: it carries the topics whose sections have `transport =
/// "NAME"`.
pub trait Engine: Transport + Sized {
    /// The engine's name in topology files.
    const NAME: &'static str;

    /// Creates the transport of a node. `config` is the file that the section of the engine names.
    /// If it cannot be used, this is an error of [`carry`](Transport::carry).
    fn configured(config: Option<&Path>) -> Self;
}

/// The promises of a transport for the messages of each publisher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Messages arrive in order. Otherwise a message that arrives after a later one is dropped, and
    /// counts as a gap.
    pub keeps_order: bool,
    /// The sending side learns which messages the readers have finished.
    pub confirms: bool,
    /// After a lost connection, the transport continues after the last confirmed message.
    pub resumes: bool,
    /// A slow reader blocks its publishers.
    pub holds_up: bool,
    /// Messages are stored for readers that are slow, or come later.
    pub stores: bool,
    /// Each message of a [work queue](crate::local::WorkQueue) goes to one of the reading
    /// processes.
    pub has_work_queues: bool,
    /// The readers at the other side of a tap.
    pub audience: Audience,
}

/// The readers at the other side of a tap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// One process.
    One,
    /// Any number of processes that come and go.
    Group,
}

impl Capabilities {
    /// All promises, for one process. Links give them, through shared memory and over sockets.
    pub const ALL: Capabilities = Capabilities {
        keeps_order: true,
        confirms: true,
        resumes: true,
        holds_up: true,
        stores: false,
        has_work_queues: false,
        audience: Audience::One,
    };

    /// The promises of a carrier that stores messages and brings each of them to a group, in order.
    pub const STORED: Capabilities = Capabilities {
        holds_up: false,
        stores: true,
        has_work_queues: false,
        audience: Audience::Group,
        ..Capabilities::ALL
    };

    /// No promises, for a group: messages may be lost or overtake each other, which readers see as
    /// gaps.
    pub const NONE: Capabilities = Capabilities {
        keeps_order: false,
        confirms: false,
        resumes: false,
        holds_up: false,
        stores: false,
        has_work_queues: false,
        audience: Audience::Group,
    };

    /// Returns the promise that a subscription with this policy needs and the transport does not
    /// give, such as "hold up publishers"; `None` if it promises enough. A gating policy needs all
    /// promises, whatever the audience; the others need none, because every missing message is
    /// reported as a gap.
    ///
    /// ```
    /// use mycelium_transports::local::Policy;
    /// use mycelium_transports::seam::Capabilities;
    ///
    /// assert_eq!(Capabilities::ALL.lacks(Policy::Block), None);
    /// assert_eq!(Capabilities::NONE.lacks(Policy::DropOldest), None);
    /// let unreliable = Capabilities { resumes: false, ..Capabilities::ALL };
    /// assert_eq!(unreliable.lacks(Policy::Block), Some("resume after a lost connection"));
    /// ```
    #[must_use]
    pub fn lacks(&self, policy: Policy) -> Option<&'static str> {
        let needed = [
            (self.holds_up || self.stores, "hold up publishers for slow readers"),
            (self.confirms, "confirm what readers are done with"),
            (self.keeps_order, "keep the order of messages"),
            (self.resumes, "resume after a lost connection"),
        ];
        let missing = needed.into_iter().find(|(is_kept, _)| !is_kept && policy.is_gating());
        missing.map(|(_, what)| what)
    }
}

type Warn = dyn Fn(&str) + Send + Sync;

/// The topics that a node gives to a [`Transport`]. Dropping it and its taps tells the node that
/// the transport has ended: then neither subscriptions nor the node wait for it.
pub struct Ends {
    node: String,
    sends: Vec<Arc<Topic>>,
    receives: Vec<Arc<Topic>>,
    executor: Arc<dyn Executor>,
    /// Prevent the subscriptions of received topics from ending.
    open: Vec<KeepOpen>,
    warn: Option<Box<Warn>>,
    on_dead_letter: Option<Box<OnDeadLetter>>,
    _busy: BusyGuard,
    control: Arc<Control>,
}

impl Ends {
    /// Creates the ends for the transport of a node whose links have this control.
    #[must_use]
    pub fn new(
        node: &str,
        sends: Vec<Arc<Topic>>,
        receives: Vec<Arc<Topic>>,
        executor: Arc<dyn Executor>,
        control: &Arc<Control>,
    ) -> Ends {
        Ends {
            node: node.to_owned(),
            open: receives.iter().map(|topic| topic.keep_open()).collect(),
            warn: None,
            on_dead_letter: None,
            _busy: BusyGuard::new(control),
            control: control.clone(),
            sends,
            receives,
            executor,
        }
    }

    /// Passes the transport's [warnings](Ends::warn) to this function.
    #[must_use]
    pub fn warning(self, warn: impl Fn(&str) + Send + Sync + 'static) -> Ends {
        Ends { warn: Some(Box::new(warn)), ..self }
    }

    /// Passes the transport's [dead letters](Ends::dead_letter) to this function.
    #[must_use]
    pub fn dead_letters(self, write: impl Fn(&Undelivered) + Send + Sync + 'static) -> Ends {
        Ends { on_dead_letter: Some(Box::new(write)), ..self }
    }

    /// Returns the name of the node.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.node
    }

    /// Warns of a problem that does not end the transport: the node logs it. Limit the calls if
    /// others can cause any number of problems.
    pub fn warn(&self, problem: &str) {
        if let Some(warn) = &self.warn {
            warn(problem);
        }
    }

    /// Reports a message that no reader gets any more, because too many processes have died with
    /// it: the node publishes it as a dead letter.
    pub fn dead_letter(&self, undelivered: &Undelivered) {
        if let Some(write) = &self.on_dead_letter {
            write(undelivered);
        }
    }

    /// Returns the topics whose messages the transport sends: the topics that this process
    /// publishes. The transport creates a [tap](Ends::tap) for each remote process or group.
    #[must_use]
    pub fn sends(&self) -> &[Arc<Topic>] {
        &self.sends
    }

    /// Creates a [tap](Topic::tap) of a topic for a remote process or group. The node waits for the
    /// tap and its streams. If the policy blocks publishers, the node ends with an error that
    /// counts the messages that the tap still keeps then, and the messages that it has left because
    /// it was dropped after the services or their publisher had ended.
    ///
    /// # Errors
    /// The same as for [`Topic::tap`].
    pub fn tap<T>(
        &self,
        topic: &Arc<Topic>,
        reader: &str,
        options: impl Into<SubscribeOptions>,
    ) -> Result<Tap<T>, TopicError> {
        Ok(topic.tap(reader, options)?.known_to(BusyGuard::new(&self.control)))
    }

    /// Returns the topics that the transport receives. The transport creates a [feed](Topic::feed)
    /// for each publisher in another process.
    #[must_use]
    pub fn receives(&self) -> &[Arc<Topic>] {
        &self.receives
    }

    /// Returns the executor that runs the transport, and gives it time, entropy and sockets.
    #[must_use]
    pub fn executor(&self) -> &Arc<dyn Executor> {
        &self.executor
    }

    /// Declares that no further publishers will join: subscriptions end when their feeds have
    /// ended.
    pub fn close(&mut self) {
        self.open.clear();
    }

    /// Whether readers that leave do so because the node ends: a feed's [`done`](super::Feed::done)
    /// needs to know.
    #[must_use]
    pub fn is_leaving(&self) -> bool {
        self.control.is_leaving()
    }

    /// Waits until the shutdown of the node has begun: the services finish what they have received.
    pub async fn shutting_down(&self) {
        self.control.until(|| self.control.is_leaving()).await;
    }

    /// Waits until the services have ended. Then deliver the remaining messages of the taps.
    pub async fn draining(&self) {
        self.control.until(|| self.control.phase() > Phase::Run).await;
    }

    /// Waits until the time for the deliveries after [`draining`](Ends::draining) is over. Then the
    /// transport must end at once.
    pub async fn stopped(&self) {
        self.control.stopped().await;
    }
}

impl fmt::Debug for Ends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |topics: &[Arc<Topic>]| {
            topics.iter().map(|topic| topic.name().to_owned()).collect::<Vec<_>>()
        };
        f.debug_struct("Ends")
            .field("node", &self.node)
            .field("sends", &names(&self.sends))
            .field("receives", &names(&self.receives))
            .finish_non_exhaustive()
    }
}
