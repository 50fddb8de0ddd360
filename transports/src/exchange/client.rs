//! Reads the topics of one other process: connects, and connects again.

use std::fmt;
use std::io;
use std::pin::pin;
use std::sync::Arc;

use futures_util::future::select;
use mycelium_core::link::{ConfigError, LinkError, Name};
use mycelium_executor::{Executor, SendFuture, Stream};

use super::client_session::ClientSession;
use super::control::{BusyGuard, LinkPhase};
use super::{Control, Identity, LinkConfig, Notice, Observer};
use crate::counters::{LinkValue, Region, plain};
use crate::local::{Policy, Topic};
use crate::stream::{DriveError, Driver, NodeLink, TOPICS};

/// Makes a connection to one peer.
pub type Connect = Box<dyn Fn() -> SendFuture<io::Result<Stream>> + Send + Sync>;

/// A topic that is read from a peer.
#[derive(Clone, Debug)]
pub struct TopicInterest {
    /// The topic as it is here: what comes goes to its subscriptions.
    pub topic: Arc<Topic>,
    /// The strictest of their policies: whether the peer's publishers wait for them.
    pub policy: Policy,
}

/// Reads topics of one peer. See the [module](super).
pub struct TopicClient {
    /// The peer's name.
    pub peer: String,
    /// How it is reached.
    pub connect: Connect,
    /// What is read.
    pub interests: Vec<TopicInterest>,
    /// Who this process is.
    pub identity: Identity,
    /// How the link is to be.
    pub config: LinkConfig,
    /// What it runs on.
    pub executor: Arc<dyn Executor>,
    /// What its owner wants of it.
    pub control: Arc<Control>,
    /// Where it counts.
    pub counters: Arc<Region>,
    /// Who is told what becomes of it.
    pub observer: Observer,
}

impl TopicClient {
    /// Reads until the peer has nothing more, the links are to end, or the peer has [completed](Control::completed) and
    /// there is no connection to it. The topics are held open, and waited for, before this is first polled.
    ///
    /// # Errors
    /// If there can be no such link.
    pub fn run(self) -> Result<impl Future<Output = ()> + Send + 'static, TopicClientError> {
        let mut buffer = vec![0; self.config.buffer.max(NodeLink::MIN_BUFFER)];
        // Once, to see whether there can be such a link.
        NodeLink::new(self.config.link(&self.identity), &mut buffer)
            .map_err(TopicClientError::Config)?;
        if self.interests.len() > TOPICS {
            return Err(TopicClientError::Topics { limit: TOPICS, found: self.interests.len() });
        }
        let names = self.interests.iter().map(|want| want.topic.name());
        if let Some(topic) = names.into_iter().find(|name| Name::try_from(*name).is_err()) {
            return Err(TopicClientError::Name { topic: topic.to_owned() });
        }
        let holds: Vec<_> = self.interests.iter().map(|want| want.topic.keep_open()).collect();
        self.control.expect(self.interests.len());
        let busy = BusyGuard::new(&self.control);
        Ok(async move {
            let _busy = busy;
            let Ok(mut link) = NodeLink::new(self.config.link(&self.identity), &mut buffer) else {
                return;
            };
            let label = |role| format!("link={} role={role}", plain(&self.peer));
            let line = self.counters.line(&label("reader"));
            let (control, observer) = (self.control.clone(), self.observer.clone());
            let Ok(mut reading) =
                ClientSession::new(&self.peer, &self.interests, &mut link, control, observer, line)
            else {
                return;
            };
            drop(holds);
            let errors = self.counters.line(&label("client"));
            let mut random = fastrand::Rng::with_seed(self.executor.entropy());
            let mut failures = 0;
            while self.control.phase() == LinkPhase::Run && !reading.is_over() {
                if self.control.past(&self.peer).is_some() {
                    (self.observer)(Notice::PeerEnded { peer: &self.peer });
                    return reading.give_up();
                }
                match self.connected().await {
                    Some(Ok(stream)) => {
                        let mut driver = Driver::new(&mut link, stream, self.executor.clone());
                        let error = driver.run(&mut reading).await;
                        reading.disconnected();
                        if reading.take_was_let_in() {
                            failures = 0;
                        }
                        if !matches!(error, DriveError::Link(LinkError::LocallyClosed(_))) {
                            errors.add(LinkValue::Errors, 1);
                        }
                        (self.observer)(Notice::Disconnected { peer: &self.peer, error: &error });
                        if self.control.phase() > LinkPhase::Run || reading.is_over() {
                            return;
                        }
                        self.pause(&mut failures, random.u64(..), None).await;
                    }
                    Some(Err(error)) => {
                        // The peer is there and has many connections to accept: whoever comes next may be this one.
                        if error.kind() == io::ErrorKind::WouldBlock {
                            failures = 0;
                        }
                        self.pause(&mut failures, random.u64(..), Some(&error)).await;
                    }
                    // The loop looks why.
                    None => {}
                }
            }
        })
    }

    /// A connection, unless nobody needs one any more.
    async fn connected(&self) -> Option<io::Result<Stream>> {
        let unneeded = pin!(self.control.until_unneeded(&self.peer));
        match select((self.connect)(), unneeded).await {
            futures_util::future::Either::Left((connected, _)) => Some(connected),
            futures_util::future::Either::Right(_) => None,
        }
    }

    async fn pause(&self, failures: &mut u32, random: u64, error: Option<&io::Error>) {
        let pause = self.config.retry.pause(*failures, random);
        *failures = failures.saturating_add(1);
        if let Some(error) = error {
            (self.observer)(Notice::Unreachable { peer: &self.peer, error, pause });
        }
        let wake = self.executor.sleep_until(self.executor.now().saturating_add(pause));
        select(wake, pin!(self.control.until_unneeded(&self.peer))).await;
    }
}

/// Why nothing can be read from a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TopicClientError {
    /// There can be no link with these settings.
    Config(ConfigError),
    /// More topics than a link has room for.
    Topics {
        /// How many it has room for.
        limit: usize,
        /// How many there are.
        found: usize,
    },
    /// A topic's name is longer than a link can say.
    Name {
        /// The topic.
        topic: String,
    },
}

impl fmt::Display for TopicClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TopicClientError::Config(error) => error.fmt(f),
            TopicClientError::Topics { limit, found } => {
                write!(f, "{found} topics are read, but a link has room for {limit}")
            }
            TopicClientError::Name { topic } => {
                write!(f, "the name of topic `{topic}` is longer than a link can say")
            }
        }
    }
}

impl std::error::Error for TopicClientError {}

impl fmt::Debug for TopicClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TopicClient").field("peer", &self.peer).finish_non_exhaustive()
    }
}
