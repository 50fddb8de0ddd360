//! The thread of a node's peer: it opens the session, sends packets, and ends both.

use std::collections::{BTreeMap, HashSet};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::task::{Context, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use futures_channel::oneshot;
use mycelium_executor::Executor;
use mycelium_transports::engine::{HEARTBEAT, Incoming, LONGEST_NAME, Outgoing, key_part};
use mycelium_transports::local::Topic;
use mycelium_transports::seam::Ends;
use zenoh::liveliness::LivelinessToken;
use zenoh::pubsub::Publisher;
use zenoh::sample::{Locality, Sample, SampleKind};
use zenoh::{Config, Session, Wait};

/// The first part of all keys.
const PREFIX: &str = "mycelium";

/// How long the streams of a process stay open after Zenoh has reported that it cannot be reached.
/// If it comes back within this time, what it has sent meanwhile is an exact gap.
const ABSENT: Duration = Duration::from_secs(10);
/// Of how many processes the presence is known for each topic. The others count as absent a time
/// after each of their packets.
const PRESENT: usize = 4096;
/// How often the last lists are sent at the end, and how long apart.
const FAREWELLS: u32 = 3;
const FAREWELL: Duration = Duration::from_millis(50);
/// How long the end of a node waits until the session is closed. Zenoh itself waits for 10 seconds
/// for a reader that takes nothing.
const CLOSE: Duration = Duration::from_secs(1);

/// How many warnings a node gets.
const WARNINGS: usize = 64;

/// Runs the transport of a node until it has to end. `started` is told whether it has begun, and
/// `running` that it has ended; if nobody waits for that any more, it ends.
pub(crate) fn run(
    config: Config,
    ends: Ends,
    outgoing: Outgoing,
    started: &mpsc::Sender<Result<(), String>>,
    mut running: oneshot::Sender<()>,
) {
    let shared = Arc::new(Shared::new(&ends));
    let peer = match Peer::open(config, &ends, &shared) {
        Ok(peer) => peer,
        Err(problem) => {
            // The start may not wait any more.
            let _ = started.send(Err(problem));
            return;
        }
    };
    let _ = started.send(Ok(()));
    peer.carry(&ends, outgoing, &shared, &mut running);
    peer.close();
    let _ = running.send(());
}

/// What the callbacks of Zenoh share with the thread.
struct Shared {
    topics: Vec<Mutex<Received>>,
    /// Readers have come after there were none, and must learn where the streams are.
    has_new_reader: AtomicBool,
    warnings: Mutex<Warnings>,
    executor: Arc<dyn Executor>,
    thread: Thread,
}

/// What has arrived of a topic.
struct Received {
    incoming: Incoming,
    /// The processes that publish it, each with the time of its last sign if it is absent: Zenoh
    /// has reported that it cannot be reached, or never that it is present.
    senders: BTreeMap<String, Option<Duration>>,
}

/// The problems with other processes.
#[derive(Default)]
struct Warnings {
    /// The processes of which the node was warned, each with the index of the topic.
    senders: HashSet<(usize, String)>,
    /// What was not passed on yet.
    pending: Vec<String>,
}

impl Wake for Shared {
    fn wake(self: Arc<Self>) {
        self.thread.unpark();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn new(ends: &Ends) -> Shared {
        let received = |topic: &Arc<Topic>| {
            let incoming = Incoming::new(topic.clone());
            Mutex::new(Received { incoming, senders: BTreeMap::new() })
        };
        Shared {
            topics: ends.receives().iter().map(received).collect(),
            has_new_reader: AtomicBool::new(false),
            warnings: Mutex::default(),
            executor: ends.executor().clone(),
            thread: thread::current(),
        }
    }

    /// Takes a packet of the topic with this index.
    fn receive(&self, index: usize, sample: &Sample) {
        let Some(sender) = sample.key_expr().as_str().rsplit('/').next() else { return };
        if sample.kind() != SampleKind::Put {
            return;
        }
        let mut received = lock(&self.topics[index]);
        let Received { incoming, senders } = &mut *received;
        let taken = incoming.take(sender, &sample.payload().to_bytes());
        match senders.get_mut(sender) {
            Some(None) => {}
            Some(absent) => *absent = Some(self.executor.now()),
            None if incoming.knows(sender) => {
                senders.insert(sender.to_owned(), Some(self.executor.now()));
            }
            None => {}
        }
        drop(received);
        if let Err(error) = taken {
            self.warn(index, sender, &error.to_string());
        }
    }

    /// Notes that a process has come or cannot be reached.
    fn note_presence(&self, index: usize, digest: &str, sample: &Sample) {
        let key = sample.key_expr().as_str();
        let mut parts = key.rsplit('/');
        let (Some(sender), Some(found)) = (parts.next(), parts.next()) else { return };
        if sender.len() > LONGEST_NAME || found.len() > LONGEST_NAME {
            return;
        }
        let mut received = lock(&self.topics[index]);
        if found != digest {
            let problem = format!(
                "it publishes topic `{}` with another layout (digest {}, expected {digest}): its \
                 messages are not read",
                received.incoming.topic().name(),
                found.escape_debug()
            );
            drop(received);
            return self.warn(index, sender, &problem);
        }
        let absent = (sample.kind() == SampleKind::Delete).then(|| self.executor.now());
        if let Some(known) = received.senders.get_mut(sender) {
            *known = absent;
        } else if absent.is_none() && received.senders.len() < PRESENT {
            received.senders.insert(sender.to_owned(), None);
        }
    }

    /// Loses the streams of the processes that have been absent for too long.
    fn lose_absent(&self) {
        let now = self.executor.now();
        for received in &self.topics {
            let Received { incoming, senders } = &mut *lock(received);
            senders.retain(|sender, absent| {
                let stays = absent.is_none_or(|since| now < since.saturating_add(ABSENT));
                if !stays {
                    incoming.lose(sender);
                }
                stays
            });
        }
    }

    /// Warns once of each process on a topic.
    fn warn(&self, index: usize, sender: &str, problem: &str) {
        let mut warnings = lock(&self.warnings);
        // A hostile peer may have any number of names.
        if warnings.senders.len() < WARNINGS
            && sender.len() <= LONGEST_NAME
            && warnings.senders.insert((index, sender.to_owned()))
        {
            let sender = sender.escape_debug();
            warnings.pending.push(format!("process `{sender}`: {problem}"));
            self.thread.unpark();
        }
    }
}

/// The session and what it has declared.
struct Peer {
    session: Session,
    publishers: Vec<Publisher<'static>>,
    _tokens: Vec<LivelinessToken>,
}

impl Peer {
    fn open(config: Config, ends: &Ends, shared: &Arc<Shared>) -> Result<Peer, String> {
        let session = zenoh::open(config).wait();
        let session = session.map_err(|error| format!("cannot open its session: {error}"))?;
        let process = format!("{}-{:016x}", key_part(ends.node()), ends.executor().entropy());
        let declared = Peer::declare(&session, ends, &process, shared);
        let (publishers, _tokens) =
            declared.map_err(|error| format!("cannot declare its topics: {error}"))?;
        Ok(Peer { session, publishers, _tokens })
    }

    fn declare(
        session: &Session,
        ends: &Ends,
        process: &str,
        shared: &Arc<Shared>,
    ) -> zenoh::Result<(Vec<Publisher<'static>>, Vec<LivelinessToken>)> {
        for (index, topic) in ends.receives().iter().enumerate() {
            let (own, all) = (key(topic, "*"), any_layout(topic));
            let digest = topic.schema().digest.to_string();
            let receiver = shared.clone();
            let subscriber = session.declare_subscriber(own).allowed_origin(Locality::Remote);
            subscriber
                .callback(move |sample| receiver.receive(index, &sample))
                .background()
                .wait()?;
            let watcher = shared.clone();
            let note = move |sample| watcher.note_presence(index, &digest, &sample);
            let presence = session.liveliness().declare_subscriber(all).history(true);
            presence.callback(note).background().wait()?;
        }
        let (mut publishers, mut tokens) = (Vec::new(), Vec::new());
        for topic in ends.sends() {
            let key = key(topic, process);
            let publisher = session.declare_publisher(key.clone());
            let publisher = publisher.allowed_destination(Locality::Remote).wait()?;
            let reader = shared.clone();
            let listener = publisher.matching_listener().callback(move |status| {
                if status.matching() {
                    reader.has_new_reader.store(true, Ordering::Release);
                    reader.thread.unpark();
                }
            });
            listener.background().wait()?;
            publishers.push(publisher);
            tokens.push(session.liveliness().declare_token(key).wait()?);
        }
        Ok((publishers, tokens))
    }

    /// Sends the packets of the node's publishers until all have ended, or the node stops.
    fn carry(
        &self,
        ends: &Ends,
        mut outgoing: Outgoing,
        shared: &Arc<Shared>,
        running: &mut oneshot::Sender<()>,
    ) {
        let waker = Waker::from(shared.clone());
        let context = &mut Context::from_waker(&waker);
        let (mut draining, mut stopped) = (pin!(ends.draining()), pin!(ends.stopped()));
        let (mut drains, mut farewells, mut farewell_at) = (false, 0, Duration::ZERO);
        let mut check_at = Duration::ZERO;
        loop {
            if stopped.as_mut().poll(context).is_ready()
                || running.poll_canceled(context).is_ready()
            {
                return;
            }
            drains = drains || draining.as_mut().poll(context).is_ready();
            let now = shared.executor.now();
            let says_farewell = farewells > 0 && now >= farewell_at;
            if shared.has_new_reader.swap(false, Ordering::Acquire) || says_farewell {
                outgoing.announce();
            }
            let progress = outgoing.poll(&waker, now, |topic, packet| {
                // What cannot be sent is a gap of the readers, like any lost packet.
                let _ = self.publishers[topic].put(packet).wait();
            });
            if now >= check_at {
                shared.lose_absent();
                check_at = now.saturating_add(HEARTBEAT);
            }
            let warnings = std::mem::take(&mut lock(&shared.warnings).pending);
            warnings.iter().for_each(|warning| ends.warn(warning));
            let mut again_at = progress.again_at;
            if drains && progress.is_over {
                // Repeats the ends, for readers to whose queues the first ones found no room.
                if farewells == 0 || says_farewell {
                    if farewells == FAREWELLS || !self.has_readers() {
                        return;
                    }
                    (farewells, farewell_at) = (farewells + 1, now.saturating_add(FAREWELL));
                }
                again_at = farewell_at;
            }
            thread::park_timeout(again_at.saturating_sub(shared.executor.now()));
        }
    }

    fn has_readers(&self) -> bool {
        let matches = |publisher: &Publisher<'_>| publisher.matching_status().wait();
        self.publishers.iter().any(|publisher| matches(publisher).is_ok_and(|it| it.matching()))
    }

    /// Closes the session, on another thread if that takes long.
    fn close(self) {
        let (closed, is_closed) = mpsc::channel::<()>();
        let close = move || {
            // Nothing is left to do if it fails: the end of the process closes its connections.
            let _ = self.session.close().wait();
            drop((self, closed));
        };
        if thread::Builder::new().name("zenoh-close".to_owned()).spawn(close).is_ok() {
            // An error: the other end was dropped, or the time is over.
            let _ = is_closed.recv_timeout(CLOSE);
        }
    }
}

/// Returns the key of a topic for this process, or for any, `*`.
fn key(topic: &Topic, process: &str) -> String {
    format!("{PREFIX}/{}/{}/{process}", key_part(topic.name()), topic.schema().digest)
}

/// Returns the keys of a topic with any layout.
fn any_layout(topic: &Topic) -> String {
    format!("{PREFIX}/{}/*/*", key_part(topic.name()))
}
