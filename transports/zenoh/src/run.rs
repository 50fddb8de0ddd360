//! The thread of a node's peer: it opens the session, sends packets, and ends both.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::task::{Context, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use futures_channel::oneshot;
use mycelium_executor::Executor;
use mycelium_transports::engine::{HEARTBEAT, Incoming, Outgoing, Warnings, key_part};
use mycelium_transports::local::Topic;
use mycelium_transports::seam::Ends;
use zenoh::liveliness::LivelinessToken;
use zenoh::pubsub::Publisher;
use zenoh::sample::{Locality, Sample, SampleKind};
use zenoh::{Config, Session, Wait};

/// The first part of all keys.
const PREFIX: &str = "mycelium";

/// How long the end of a node waits until the session is closed. Zenoh itself waits for 10 seconds
/// for a reader that takes nothing.
const CLOSE: Duration = Duration::from_secs(1);

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
    topics: Vec<Mutex<Incoming>>,
    /// Readers have come after there were none, and must learn where the streams are.
    has_new_reader: AtomicBool,
    warnings: Mutex<Warnings>,
    /// The warnings that the node did not get yet.
    pending: Mutex<Vec<String>>,
    executor: Arc<dyn Executor>,
    thread: Thread,
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
        let incoming = |topic: &Arc<Topic>| Mutex::new(Incoming::new(topic.clone()));
        Shared {
            topics: ends.receives().iter().map(incoming).collect(),
            has_new_reader: AtomicBool::new(false),
            warnings: Mutex::default(),
            pending: Mutex::default(),
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
        let (packet, now) = (sample.payload().to_bytes(), self.executor.now());
        let mut incoming = lock(&self.topics[index]);
        if let Err(error) = incoming.take(sender, &packet, now) {
            let problem = error.to_string();
            self.warn(lock(&self.warnings).of(incoming.topic(), sender, &problem));
        }
    }

    /// Checks the layout of a process that has come.
    fn check_layout(&self, topic: &Topic, sample: &Sample) {
        let key = sample.key_expr().as_str();
        let mut parts = key.rsplit('/');
        let (Some(sender), Some(found)) = (parts.next(), parts.next()) else { return };
        if sample.kind() == SampleKind::Put && found != topic.schema().digest.to_string() {
            self.warn(lock(&self.warnings).of_layout(topic, sender, found));
        }
    }

    fn warn(&self, warning: Option<String>) {
        if let Some(warning) = warning {
            lock(&self.pending).push(warning);
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
            let receiver = shared.clone();
            let subscriber = session.declare_subscriber(own).allowed_origin(Locality::Remote);
            subscriber
                .callback(move |sample| receiver.receive(index, &sample))
                .background()
                .wait()?;
            let (watcher, topic) = (shared.clone(), topic.clone());
            let check = move |sample| watcher.check_layout(&topic, &sample);
            let presence = session.liveliness().declare_subscriber(all).history(true);
            presence.callback(check).background().wait()?;
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
        let (mut drains, mut check_at) = (false, Duration::ZERO);
        loop {
            if stopped.as_mut().poll(context).is_ready()
                || running.poll_canceled(context).is_ready()
            {
                return;
            }
            drains = drains || draining.as_mut().poll(context).is_ready();
            if shared.has_new_reader.swap(false, Ordering::Acquire) {
                outgoing.announce();
            }
            let now = shared.executor.now();
            let progress = outgoing.poll(&waker, now, drains, |packet| {
                // What cannot be sent is a gap of the readers, like any lost packet.
                let _ = self.publishers[packet.topic].put(packet.bytes).wait();
            });
            if progress.is_over {
                return;
            }
            if now >= check_at {
                shared.topics.iter().for_each(|topic| lock(topic).lose_absent(now));
                check_at = now.saturating_add(HEARTBEAT);
            }
            let pending = std::mem::take(&mut *lock(&shared.pending));
            pending.iter().for_each(|warning| ends.warn(warning));
            thread::park_timeout(progress.again_at.saturating_sub(shared.executor.now()));
        }
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
