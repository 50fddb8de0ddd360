//! The readers' side of links. [`Imports`] reads the topics of one peer, over one connection after
//! another. A `session` handles the traffic of a connection. Each publisher of the peer is an
//! `incoming_stream`, either a feed for its messages or a ring in the peer's shared memory
//! (`incoming_memory`).

mod incoming_memory;
mod incoming_stream;
mod session;

use std::fmt;
use std::io;
use std::pin::pin;
use std::sync::Arc;

use futures_util::future::{Either, select};
use mycelium_core::debug_as_display;
use mycelium_core::link::{Config, ConfigError, LinkError, Name};
use mycelium_executor::{Executor, SendFuture, Stream};
use thiserror::Error;

pub use self::incoming_memory::MemoryAccess;
use self::session::ImportSession;
use crate::counters::{LinkValue, Region, plain};
use crate::link::config::{Identity, LinkConfig, TopicInterest};
use crate::link::notice::{Notice, Observer};
use crate::seam::{BusyGuard, Control, Phase};
use crate::stream::{DriveError, Driver, NodeLink, TOPICS};

/// Connects to the peer.
pub type Connect = Box<dyn Fn() -> SendFuture<io::Result<Stream>> + Send + Sync>;

/// Reads topics of one peer. See the [module](crate::link).
pub struct Imports {
    /// The peer's name.
    pub peer: String,
    /// Connects to the peer.
    pub connect: Connect,
    /// The topics that are read.
    pub interests: Vec<TopicInterest>,
    /// The name of this process.
    pub identity: Identity,
    /// The settings of the link.
    pub config: LinkConfig,
    /// The executor of the link's task.
    pub executor: Arc<dyn Executor>,
    /// Maps rings of the peer; `None` if all messages go over the link.
    pub memory: Option<MemoryAccess>,
    /// How the owner controls the link.
    pub control: Arc<Control>,
    /// The region for the link's counters.
    pub counters: Arc<Region>,
    /// Called for each notice.
    pub observer: Observer,
}

impl Imports {
    /// Reads until the peer has ended all topics, the links are to end, or the peer has
    /// [completed](Control::completed) while no connection to it is open. The topics are kept open
    /// from this call on, even before the future is first polled.
    ///
    /// # Errors
    /// If no link can have these settings and topics.
    pub fn run(self) -> Result<impl Future<Output = ()> + Send + 'static, ImportError> {
        let mut buffer = vec![0; self.config.buffer.max(NodeLink::MIN_BUFFER)];
        // Checks the settings now; the link itself is made when the future runs.
        NodeLink::new(self.link_config(), &mut buffer)?;
        if self.interests.len() > TOPICS {
            let (limit, found) = (TOPICS, self.interests.len());
            return Err(ImportError::Topics { limit, found });
        }
        let mut names = self.interests.iter().map(|interest| interest.topic.name());
        if let Some(topic) = names.find(|name| Name::try_from(*name).is_err()) {
            return Err(ImportError::Name { topic: topic.to_owned() });
        }
        let open: Vec<_> =
            self.interests.iter().map(|interest| interest.topic.keep_open()).collect();
        self.control.expect(self.interests.len());
        let busy = BusyGuard::new(&self.control);
        Ok(async move {
            let _busy = busy;
            let Ok(mut link) = NodeLink::new(self.link_config(), &mut buffer) else {
                return;
            };
            let label = |role| format!("link={} role={role}", plain(&self.peer));
            let line = self.counters.line(&label("reader"));
            let Ok(mut session) = ImportSession::new(&self, line, &mut link) else { return };
            drop(open);
            let errors = self.counters.line(&label("client"));
            let mut random = fastrand::Rng::with_seed(self.executor.entropy());
            let mut failures = 0;
            while self.control.phase() == Phase::Run && !session.is_over() {
                if self.control.peer_end(&self.peer).is_some() {
                    (self.observer)(Notice::PeerEnded { peer: &self.peer });
                    return session.abandon();
                }
                match self.connected().await {
                    Some(Ok(stream)) => {
                        let mut driver = Driver::new(&mut link, stream, self.executor.clone());
                        let error = driver.run(&mut session).await;
                        drop(driver);
                        session.disconnected(&mut link);
                        // If one side has closed the link because of the other side, it may do so
                        // again, so this counts as a refusal.
                        let was_refused =
                            matches!(&error, DriveError::Link(error) if !error.is_goodbye());
                        if session.take_was_admitted() && !was_refused {
                            failures = 0;
                        }
                        if !matches!(error, DriveError::Link(LinkError::LocallyClosed(_))) {
                            errors.add(LinkValue::Errors, 1);
                        }
                        (self.observer)(Notice::Disconnected { peer: &self.peer, error: &error });
                        if self.control.phase() > Phase::Run || session.is_over() {
                            return;
                        }
                        self.pause(&mut failures, random.u64(..), None).await;
                    }
                    Some(Err(error)) => {
                        // The peer listens, but its queue is full, so the next attempt may succeed
                        // at once.
                        if error.kind() == io::ErrorKind::WouldBlock {
                            failures = 0;
                        }
                        self.pause(&mut failures, random.u64(..), Some(&error)).await;
                    }
                    // No connection is needed any more. The conditions of the loop find the reason.
                    None => {}
                }
            }
        })
    }

    /// Returns the settings of the link.
    fn link_config(&self) -> Config {
        Config { memory: self.memory.is_some(), ..self.config.link(&self.identity) }
    }

    /// Connects; returns `None` once no connection is needed any more.
    async fn connected(&self) -> Option<io::Result<Stream>> {
        let unneeded = pin!(self.control.until_unneeded(&self.peer));
        match select((self.connect)(), unneeded).await {
            Either::Left((connected, _)) => Some(connected),
            Either::Right(_) => None,
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

impl fmt::Debug for Imports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Imports").field("peer", &self.peer).finish_non_exhaustive()
    }
}

/// Why the topics of a peer cannot be imported.
#[derive(Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ImportError {
    /// No link can have these settings.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// There are more topics than a link has room for.
    #[error("{found} topics are read from one peer, but a link has room for {limit}")]
    Topics {
        /// The limit.
        limit: usize,
        /// The number of topics.
        found: usize,
    },
    /// The name of a topic is too long for a link.
    #[error("topic `{topic}`: the name is too long for a link, expected at most 62 bytes")]
    Name {
        /// The topic.
        topic: String,
    },
}

debug_as_display!(ImportError);
