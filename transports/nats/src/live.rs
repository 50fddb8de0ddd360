//! Topics over subjects of the server, which keeps no messages.

use std::cell::RefCell;
use std::fmt;
use std::future::{pending, poll_fn};
use std::path::Path;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use async_nats::connection::State;
use async_nats::{Subject, Subscriber};
use futures_util::StreamExt;
use mycelium_executor::SendFuture;
use mycelium_transports::engine::{
    HEARTBEAT, Incoming, Outgoing, OutgoingPacket, Progress, Warnings, key_part,
};
use mycelium_transports::local::Topic;
use mycelium_transports::seam::{Capabilities, Ends, Engine, Transport};
use tokio::task::JoinSet;
use tokio::time::{interval, sleep, timeout};

use crate::config::Server;
use crate::connection::{self, Connection, PREFIX, finish};

/// How long a packet waits for a connection that takes nothing. Then this and the next ones are
/// dropped, until it takes some.
const STALLED: Duration = Duration::from_secs(1);

/// A transport over NATS, which may lose messages. See the [crate](crate).
#[derive(Debug)]
pub struct Nats {
    server: Result<Server, String>,
}

impl Nats {
    /// Creates a client of the server at this address, such as `nats://10.0.0.1:4222`, or of the
    /// first of several that answers, with commas between them.
    #[must_use]
    pub fn server(url: &str) -> Nats {
        Nats { server: Ok(Server::at(url)) }
    }

    /// Creates a client with a context, as the command `nats context save` writes it to a file:
    /// addresses, user, keys, certificates. A file that cannot be read, or is not valid, is an
    /// error of the node's start.
    #[must_use]
    pub fn from_file(path: impl AsRef<Path>) -> Nats {
        Nats { server: Server::from_file(path.as_ref()) }
    }
}

/// Prints the context with all keys, as JSON, or the problem with it. Secrets are left out.
impl fmt::Display for Nats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.server {
            Ok(server) => server.fmt(f),
            Err(problem) => f.write_str(problem),
        }
    }
}

impl Engine for Nats {
    const NAME: &'static str = "nats";

    fn configured(config: Option<&Path>) -> Nats {
        config.map_or_else(|| Nats::server(""), Nats::from_file)
    }
}

impl Transport for Nats {
    fn name(&self) -> &str {
        Nats::NAME
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::NONE
    }

    fn carry(self: Box<Self>, ends: Ends) -> Result<SendFuture<()>, String> {
        let outgoing = Outgoing::new(&ends, Nats::NAME).map_err(|error| error.to_string())?;
        connection::start(Nats::NAME, self.server?, ends, prepare, |connection, receivers| {
            carry(connection, receivers, outgoing)
        })
    }
}

/// A topic that the node reads, and its subscription.
type Received = (Incoming, Subscriber);

/// Subscribes to the topics. The server knows the subscriptions then.
async fn prepare(connection: &Rc<Connection>) -> Result<Vec<Received>, String> {
    let Connection { client, ends, .. } = &**connection;
    connection.check_lengths()?;
    let mut received = Vec::new();
    for topic in ends.receives() {
        let all = format!("{PREFIX}.{}.*.*", key_part(topic.name()));
        let subscriber = client.subscribe(all).await.map_err(|error| error.to_string())?;
        received.push((Incoming::new(topic.clone()), subscriber));
    }
    connection.check_accepted().await?;
    Ok(received)
}

async fn carry(connection: Rc<Connection>, received: Vec<Received>, mut outgoing: Outgoing) {
    let warnings = Rc::<RefCell<Warnings>>::default();
    outgoing.limit(connection.most_bytes());
    let mut tasks = JoinSet::new();
    for (incoming, subscriber) in received {
        tasks.spawn_local(receive(connection.clone(), incoming, subscriber, warnings.clone()));
    }
    let reading = async {
        finish(&mut tasks).await;
        pending().await
    };
    tokio::select! {
        () = send(&connection, outgoing) => {
            // The server has the last packets before the connection ends. If it does not answer,
            // its readers hear nothing of this process any more, and lose it.
            let _ = connection.round_trip().await;
        }
        () = reading => {}
        () = connection.ends.stopped() => {}
    }
}

/// Passes the packets of a topic to its readers.
async fn receive(
    connection: Rc<Connection>,
    mut incoming: Incoming,
    mut subscriber: Subscriber,
    warnings: Rc<RefCell<Warnings>>,
) {
    let executor = connection.ends.executor().clone();
    let digest = incoming.topic().schema().digest.to_string();
    let mut beat = interval(HEARTBEAT);
    loop {
        let message = tokio::select! {
            Some(message) = subscriber.next() => message,
            _ = beat.tick() => {
                incoming.lose_absent(executor.now());
                continue;
            }
        };
        let mut parts = message.subject.rsplit('.');
        let (Some(sender), Some(found)) = (parts.next(), parts.next()) else { continue };
        let warning = if found == digest {
            let taken = incoming.take(sender, &message.payload, executor.now());
            let problem = taken.err().map(|error| error.to_string());
            problem.and_then(|it| warnings.borrow_mut().of(incoming.topic(), sender, &it))
        } else {
            warnings.borrow_mut().of_layout(incoming.topic(), sender, found)
        };
        if let Some(warning) = warning {
            connection.ends.warn(&warning);
        }
    }
}

/// Sends the packets of the node's publishers until all have ended.
async fn send(connection: &Connection, mut outgoing: Outgoing) {
    let Connection { client, ends, .. } = connection;
    let subject = |topic: &Arc<Topic>| connection.subject(PREFIX, topic);
    let subjects: Vec<Subject> = ends.sends().iter().map(subject).collect();
    let mut draining = pin!(ends.draining());
    let (mut drains, mut is_stalled, mut has_warned) = (false, false, false);
    let mut packets = Vec::new();
    loop {
        let mut timer = pin!(None);
        let is_over = poll_fn(|context| {
            drains = drains || draining.as_mut().poll(context).is_ready();
            loop {
                let now = ends.executor().now();
                let add = |packet| packets.push(packet);
                let Progress { again_at, is_over } =
                    outgoing.poll(context.waker(), now, drains, add);
                if is_over || !packets.is_empty() {
                    return Poll::Ready(is_over);
                }
                timer.set(Some(sleep(again_at.saturating_sub(now))));
                let timer = timer.as_mut().as_pin_mut();
                if timer.is_some_and(|timer| timer.poll(context).is_pending()) {
                    return Poll::Pending;
                }
            }
        });
        let is_over = is_over.await;
        for OutgoingPacket { topic, bytes, .. } in packets.drain(..) {
            // The client would keep packets while it is not connected. What is dropped is a gap of
            // the readers, like any lost packet.
            if client.connection_state() == State::Connected {
                let sent = client.publish(subjects[topic].clone(), bytes.into());
                let patience = if is_stalled { Duration::ZERO } else { STALLED };
                let sent = timeout(patience, sent).await;
                is_stalled = sent.is_err();
                if let Ok(Err(error)) = sent
                    && !has_warned
                {
                    let name = ends.sends()[topic].name();
                    ends.warn(&format!("topic `{name}`: the client refuses a packet: {error}"));
                    has_warned = true;
                }
            }
        }
        if is_over {
            return;
        }
    }
}
