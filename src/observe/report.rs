//! How a node started, and how it and its services ended.

use std::fmt;

use mycelium_transports::counters::Reading;
use serde::Serialize;

/// How a service ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The service returned `Ok`. Or it failed during a shutdown and has no subscriptions: it is
    /// then not restarted, and the failure is logged and counted.
    Completed,
    /// The service failed more often than its limit of restarts, or with a permanent error.
    Failed {
        /// The last error or panic.
        error: String,
        /// How often the service was restarted within the window of its restart limit.
        restarts: u32,
    },
    /// The service is [temporary](crate::supervision::Lifetime::Temporary), and either failed or
    /// was stopped by its supervisor because of another service.
    NotRestarted {
        /// The error or panic, or the reason of the stop.
        reason: String,
    },
    /// The service had not ended at the deadline of the shutdown.
    Abandoned,
}

/// How a node ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// The services of the node, by name.
    pub services: Vec<ServiceReport>,
    /// The last values of all counters.
    pub counters: Vec<Reading>,
}

/// How a service ended, and how often it was started and failed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServiceReport {
    /// The name of the service.
    pub name: String,
    /// How the service ended.
    pub outcome: Outcome,
    /// How often the service was started.
    pub starts: u64,
    /// How often the service returned an error.
    pub errors: u64,
    /// How often the service panicked.
    pub panics: u64,
    /// The last error or panic, with the location of the panic; `None` if the service has never
    /// failed.
    pub last_failure: Option<String>,
}

/// The carrier of a link's messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Carrier {
    /// Shared memory: the other process reads the publisher's ring.
    SharedMemory,
    /// A Unix socket.
    UnixSocket,
    /// A TCP connection. The network can read and change its data.
    Tcp,
    /// A TCP connection with TLS, where both nodes authenticate.
    Tls,
    /// No link: topics that go through Zenoh. Only in an [overview](crate::overview::Overview).
    Zenoh,
    /// No link: topics that go through a server of NATS. Only in an
    /// [overview](crate::overview::Overview).
    Nats,
    /// No link: topics whose messages a server of NATS stores. Only in an
    /// [overview](crate::overview::Overview).
    JetStream,
}

impl Carrier {
    /// The carriers of links.
    pub(crate) const OF_LINKS: [Carrier; 4] =
        [Carrier::SharedMemory, Carrier::UnixSocket, Carrier::Tcp, Carrier::Tls];

    /// Returns the name of the carrier in the topology: `shm`, `unix`, `tcp`, `tls`, or
    /// that of an engine.
    pub(crate) const fn key(self) -> &'static str {
        match self {
            Carrier::SharedMemory => "shm",
            Carrier::UnixSocket => "unix",
            Carrier::Tcp => "tcp",
            Carrier::Tls => "tls",
            Carrier::Zenoh => "zenoh",
            Carrier::Nats => "nats",
            Carrier::JetStream => "jetstream",
        }
    }
}

impl fmt::Display for Carrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Carrier::SharedMemory => "shared memory",
            Carrier::UnixSocket => "Unix socket",
            Carrier::Tcp => "TCP",
            Carrier::Tls => "TLS",
            Carrier::Zenoh => "Zenoh",
            Carrier::Nats => "NATS",
            Carrier::JetStream => "JetStream",
        })
    }
}

/// The carrier of the link with another node, as planned at the start. Each stream begins on the
/// socket; the log says when a stream moves to shared memory, and why one does not.
///
/// ```
/// use mycelium::observe::Carrier;
/// use mycelium::{Context, Node, Result, Topology, message, service};
///
/// #[message(topic = "ticks", id = 1)]
/// struct Tick {
///     price: u64,
/// }
///
/// struct Feed;
///
/// #[service(emits(Tick))]
/// impl Feed {
///     async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
///         ctx.emit(Tick { price: 7 }).await?;
///         Ok(())
///     }
/// }
///
/// struct Keeper;
///
/// #[service(reads(Tick))]
/// impl Keeper {
///     async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
///         let mut ticks = ctx.subscribe::<Tick>()?;
///         while ticks.recv().await.is_some() {}
///         Ok(())
///     }
/// }
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let topology = Topology::parse("app.toml", r#"
/// [node.feed]
/// services = ["Feed"]
/// shutdown = "1ms"
///
/// [node.keeper]
/// services = ["Keeper"]
///
/// [link."feed-keeper"]
/// transport = "unix"
/// "#)?;
/// # let topology = topology.in_directory(std::env::temp_dir().join(format!("report-{}", std::process::id())));
/// let node = Node::builder("feed").topology(topology).service(|| Feed).service(|| Keeper);
/// let running = node.build()?.start(mycelium::execution::tokio::Tokio::current()?)?;
/// let link = &running.start_report().links[0];
/// assert_eq!((&*link.peer, link.used), ("keeper", Carrier::UnixSocket));
/// assert_eq!(
///     link.to_string(),
///     "link with node `keeper`: Unix socket: `transport = \"unix\"` (app.toml:10:13)"
/// );
/// # running.shutdown();
/// # let _ = running.join().await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # let _ = std::fs::remove_dir_all(std::env::temp_dir().join(format!("report-{}", std::process::id())));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LinkReport {
    /// The other node.
    pub peer: String,
    /// The carrier that the topology requests, if any.
    pub asked: Option<Carrier>,
    /// The carrier of the link.
    pub used: Carrier,
    /// Why the carrier is not shared memory; `None` if it is.
    pub reason: Option<String>,
    /// Topics whose messages stay on the socket although the link uses shared memory, because a
    /// `drop-newest` subscription of the reading node needs its own ring.
    pub on_socket: Vec<String>,
    /// Topics whose messages stay on the socket although the link uses shared memory, because their
    /// topology sections request this.
    pub set_on_socket: Vec<String>,
}

impl fmt::Display for LinkReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "link with node `{}`: {}", self.peer, self.used)?;
        self.reason.iter().try_for_each(|reason| write!(f, ": {reason}"))?;
        for (topics, why) in [
            (&self.on_socket, "for `drop-newest` subscriptions"),
            (&self.set_on_socket, "by the topics' `transport`"),
        ] {
            if !topics.is_empty() {
                write!(f, "; on its socket, {why}: `{}`", topics.join("`, `"))?;
            }
        }
        Ok(())
    }
}

/// The memory of all publishers' rings of a node, with the entries of their readers, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RingMemory {
    /// The bytes on the heap.
    pub heap: usize,
    /// The bytes in shared memory: the rings that other nodes read there, and this node's positions
    /// in the rings of other nodes.
    pub shared: usize,
    /// The number of huge pages in the shared part.
    pub huge_pages: usize,
}

impl RingMemory {
    /// Returns the sum of all bytes. It counts against the `memory` of the node.
    #[must_use]
    pub fn total(&self) -> usize {
        self.heap.saturating_add(self.shared)
    }
}

impl fmt::Display for RingMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rings: {} bytes on the heap, {} in shared memory", self.heap, self.shared)?;
        match self.huge_pages {
            0 => Ok(()),
            1 => write!(f, " (1 huge page)"),
            pages => write!(f, " ({pages} huge pages)"),
        }
    }
}

/// A probable mistake: the node runs, but not as its author intends. The warning is in the [report
/// of the start](crate::execution::StartReport), and is logged.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartWarning {
    /// The program is built with `panic = "abort"`: a panic of a service ends the process instead
    /// of restarting the service.
    PanicsAbort,
    /// The node has no services.
    EmptyNode {
        /// The node.
        node: String,
    },
    /// No node of the topology runs the service.
    UnplacedService {
        /// The service.
        service: String,
    },
    /// No service that a node runs publishes the topic.
    NoPublisher {
        /// The topic.
        topic: String,
        /// The name of the message type of the topic.
        message: &'static str,
        /// Whether a service declares the topic by its message type; otherwise ports are bound to
        /// it.
        is_own: bool,
        /// Where the topology binds the first of the ports to the topic, if it does: file, line and
        /// column.
        place: Option<String>,
        /// A topic with a similar name, to which this message type is published.
        nearest: Option<String>,
        /// The services of this node that subscribe to the topic.
        readers: Vec<String>,
    },
    /// No service that a node runs subscribes to the topic.
    NoReader {
        /// The topic.
        topic: String,
        /// The name of the message type of the topic.
        message: &'static str,
        /// Whether a service declares the topic by its message type; otherwise ports are bound to
        /// it.
        is_own: bool,
        /// The services of this node that publish the topic.
        publishers: Vec<String>,
    },
    /// No service that a node runs answers the requests of a service of this node.
    NoResponder {
        /// The topic of the requests.
        topic: String,
        /// The name of the request type.
        message: &'static str,
        /// The services of this node that make the requests.
        requesters: Vec<String>,
    },
    /// The node has no ring in shared memory, so it uses no huge pages.
    UnusedHugePages {
        /// The node.
        node: String,
        /// Where the topology requests huge pages: file, line and column.
        place: String,
    },
    /// No service or link of the node can write a dead letter.
    NoDeadLetters {
        /// The services of this node that read dead letters.
        readers: Vec<String>,
    },
    /// No service of the program publishes the topic of a fast handler.
    UnusedFastHandler {
        /// The handler.
        handler: String,
        /// The topic.
        topic: String,
        /// The name of the message type of the topic.
        message: &'static str,
        /// A published topic with a similar name.
        nearest: Option<String>,
    },
}

impl fmt::Display for StartWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartWarning::PanicsAbort => write!(
                f,
                "the program is built with `panic = \"abort\"`: a panic of a service ends the \
                 process, and no supervisor restarts it; remove `panic` from the profile in \
                 `Cargo.toml`"
            ),
            StartWarning::EmptyNode { node } => write!(
                f,
                "node `{node}` has no services: add some to the builder, or to `services` of \
                 `[node.{node}]` in the topology"
            ),
            StartWarning::UnplacedService { service } => write!(
                f,
                "service `{service}` runs nowhere: no node of the topology lists it in `services`"
            ),
            StartWarning::NoPublisher { topic, message, is_own, place, nearest, readers } => {
                if let Some(place) = place {
                    write!(f, "{place}: ")?;
                }
                let subscribe = do_to(readers, "subscribes", "subscribe");
                write!(
                    f,
                    "topic `{topic}` has no publisher: {subscribe} but no service that a node runs \
                     publishes it: "
                )?;
                write_nearest(f, nearest.as_deref())?;
                let (port, to) = if *is_own { ("", "") } else { (" as port", "_to") };
                write!(f, " with `emits({message}{port})`, or call `Node::publisher{to}`")
            }
            StartWarning::NoReader { topic, message, is_own, publishers } => {
                let (port, to) = if *is_own { ("", "") } else { (" as port", "_to") };
                write!(
                    f,
                    "topic `{topic}` has no reader: {} but no service that a node runs subscribes \
                     to it: add one with `reads({message}{port})`, or call `Node::subscribe{to}`",
                    do_to(publishers, "publishes it", "publish it")
                )
            }
            StartWarning::NoResponder { topic, message, requesters } => write!(
                f,
                "requests of topic `{topic}` are not answered: {} but no service that a node runs \
                 answers: add one with `answers({message})`",
                do_to(requesters, "requests", "request")
            ),
            StartWarning::UnusedHugePages { node, place } => write!(
                f,
                "{place}: `huge_pages` has no effect: no other node reads a topic of node `{node}` \
                 through shared memory"
            ),
            StartWarning::NoDeadLetters { readers } => write!(
                f,
                "{} to dead letters, but no service or link of this node can write one, and dead \
                 letters do not cross links",
                do_to(readers, "subscribes", "subscribe").trim_end_matches(',')
            ),
            StartWarning::UnusedFastHandler { handler, topic, message, nearest } => {
                write!(
                    f,
                    "fast handler `{handler}` never runs: no service publishes its topic \
                     `{topic}`: "
                )?;
                write_nearest(f, nearest.as_deref())?;
                write!(f, " with `emits({message})`, or call `Node::publisher_to`")
            }
        }
    }
}

/// Writes how to correct a topic without a publisher.
fn write_nearest(f: &mut fmt::Formatter<'_>, nearest: Option<&str>) -> fmt::Result {
    match nearest {
        Some(nearest) => write!(f, "did you mean `{nearest}`? Otherwise add one"),
        None => write!(f, "add one"),
    }
}

/// Returns the subject and the verb of a clause, for example "`Sum` subscribes,".
fn do_to(services: &[String], one: &str, many: &str) -> String {
    let verb = if services.len() == 1 { one } else { many };
    format!("`{}` {verb},", services.join("`, `"))
}
