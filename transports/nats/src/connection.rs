//! The thread of a transport, and its connection to the server.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use async_nats::client::RequestErrorKind;
use async_nats::{Client, ConnectOptions, Event, Subject};
use bytes::Bytes;
use futures_channel::oneshot;
use mycelium_executor::SendFuture;
use mycelium_transports::engine::key_part;
use mycelium_transports::local::Topic;
use mycelium_transports::seam::Ends;
use tokio::runtime;
use tokio::sync::mpsc::Receiver;
use tokio::sync::watch;
use tokio::task::{JoinSet, LocalSet, spawn_local};
use tokio::time::{sleep, timeout};

use crate::config::Server;

/// The first part of all subjects.
pub(crate) const PREFIX: &str = "mycelium";

/// How long the start of a node waits for the server.
const START: Duration = Duration::from_secs(10);
/// The pause between the attempts to reach it meanwhile.
const RETRY: Duration = Duration::from_millis(100);
/// How long a node waits for one answer of the server.
pub(crate) const ANSWER: Duration = Duration::from_secs(3);
/// The bytes of a packet that are kept free for all but its messages.
const AROUND: usize = 1024;
/// How many events of the connection may wait. Further ones are dropped.
const EVENTS: usize = 64;

/// What a transport has of its node and its server.
pub(crate) struct Connection {
    pub(crate) client: Client,
    pub(crate) server: Server,
    /// How often the connection was lost and opened again.
    pub(crate) reconnections: watch::Sender<u64>,
    pub(crate) ends: Ends,
    /// The name of this process in subjects.
    pub(crate) process: String,
    /// What the server has refused last.
    refused: RefCell<Option<String>>,
}

/// Starts the thread of a transport, and waits until `prepare` is done, before any service runs.
/// Then `carry` runs until it ends or the node does not wait any more; its tasks end with it.
pub(crate) fn start<P: 'static>(
    name: &'static str,
    server: Server,
    ends: Ends,
    prepare: impl AsyncFnOnce(&Rc<Connection>) -> Result<P, String> + Send + 'static,
    carry: impl AsyncFnOnce(Rc<Connection>, P) + Send + 'static,
) -> Result<SendFuture<()>, String> {
    let (started, is_started) = mpsc::channel();
    let (mut running, ended) = oneshot::channel::<()>();
    let address = server.urls();
    // Each topic takes some requests.
    let topics = u32::try_from(ends.sends().len() + ends.receives().len()).unwrap_or(u32::MAX);
    let limit = START + ANSWER.saturating_mul(topics.saturating_add(2));
    let body = move || {
        // The start may not wait any more for what is sent to it.
        let runtime = match runtime::Builder::new_current_thread().enable_io().enable_time().build()
        {
            Ok(runtime) => runtime,
            Err(error) => {
                return drop(started.send(Err(format!("cannot create its runtime: {error}"))));
            }
        };
        LocalSet::new().block_on(&runtime, async {
            let prepared = async {
                let (connection, events) = Connection::open(server, ends).await?;
                let connection = Rc::new(connection);
                connection.log(events);
                let prepared = prepare(&connection).await?;
                Ok((connection, prepared))
            };
            match prepared.await {
                Ok((connection, prepared)) => {
                    let _ = started.send(Ok(()));
                    tokio::select! {
                        () = carry(connection, prepared) => {}
                        () = running.cancellation() => {}
                    }
                }
                Err(problem) => drop(started.send(Err(problem))),
            }
        });
        let _ = running.send(());
    };
    let spawned = thread::Builder::new().name(name.to_owned()).spawn(body);
    spawned.map_err(|error| format!("cannot create a thread: {error}"))?;
    match is_started.recv_timeout(limit) {
        Ok(started) => started?,
        Err(mpsc::RecvTimeoutError::Disconnected) => {
            return Err("its thread has ended by a panic".to_owned());
        }
        Err(mpsc::RecvTimeoutError::Timeout) => {
            return Err(format!("the server at {address} was not ready within {limit:?}"));
        }
    }
    // The node ends with an error if its transport panics.
    Ok(Box::pin(async { ended.await.expect("the thread of NATS ends without a panic") }))
}

impl Connection {
    /// Connects to the server, which may start later than this node.
    async fn open(server: Server, ends: Ends) -> Result<(Connection, Receiver<Event>), String> {
        let process = format!("{}-{:016x}", key_part(ends.node()), ends.executor().entropy());
        let (event, events) = tokio::sync::mpsc::channel(EVENTS);
        let give_up_at = ends.executor().now().saturating_add(START);
        let client = loop {
            let event = event.clone();
            let options = ConnectOptions::new().name(&process).event_callback(move |it| {
                // Others can cause any number of these two, and readers see gaps for them anyway.
                if !matches!(it, Event::SlowConsumer(_) | Event::ClientError(_)) {
                    let _ = event.try_send(it);
                }
                async {}
            });
            match server.connect(options).await {
                Ok(client) => break client,
                Err(error) if error.may_pass && ends.executor().now() < give_up_at => {
                    sleep(RETRY).await;
                }
                Err(error) => {
                    let (urls, problem) = (server.urls(), error.problem);
                    return Err(format!("cannot connect to the server at {urls}: {problem}"));
                }
            }
        };
        let (reconnections, refused) = (watch::Sender::new(0), RefCell::default());
        Ok((Connection { client, server, reconnections, ends, process, refused }, events))
    }

    /// Follows the connection from now on: counts how often it is opened again, and logs what
    /// happens, each refusal of the server once in a connection.
    fn log(self: &Rc<Connection>, mut events: Receiver<Event>) {
        let connection = self.clone();
        spawn_local(async move {
            let (mut was_lost, mut refusals) = (false, BTreeSet::new());
            while let Some(event) = events.recv().await {
                match event {
                    Event::Disconnected => {
                        connection.ends.warn("the connection to the server is lost");
                        was_lost = true;
                    }
                    Event::Connected if was_lost => {
                        connection.ends.warn("the server is connected again");
                        connection.reconnections.send_modify(|count| *count += 1);
                        was_lost = false;
                        refusals.clear();
                    }
                    Event::ServerError(_) => {
                        let refusal = event.to_string();
                        *connection.refused.borrow_mut() = Some(refusal.clone());
                        if refusals.len() < EVENTS && refusals.insert(refusal) {
                            connection.ends.warn(&event.to_string());
                        }
                    }
                    Event::LameDuckMode => connection.ends.warn(&event.to_string()),
                    // Each failed attempt to connect; packets for which there is no room.
                    _ => {}
                }
            }
        });
    }

    /// Returns how many bytes a packet may have.
    pub(crate) fn most_bytes(&self) -> usize {
        self.client.max_payload().saturating_sub(AROUND)
    }

    /// Checks that the server takes a packet with the longest message of each topic that the node
    /// sends.
    pub(crate) fn check_lengths(&self) -> Result<(), String> {
        let most = self.client.max_payload();
        for topic in self.ends.sends() {
            let (name, longest) = (topic.name(), topic.schema().longest);
            let packet = longest + AROUND;
            if packet > most {
                return Err(format!(
                    "topic `{name}` has messages of up to {longest} bytes, which need packets of \
                     {packet} bytes, but the server takes at most {most} (`max_payload`)"
                ));
            }
        }
        Ok(())
    }

    /// Checks that the server has accepted all that was asked of it before.
    pub(crate) async fn check_accepted(&self) -> Result<(), String> {
        // A refusal comes before the first answer, and is noted before the second one.
        let answered = async {
            self.round_trip().await?;
            self.round_trip().await
        };
        let answered = answered.await;
        self.refused.take().map_or(answered, Err)
    }

    /// Waits until the server has processed all that was sent before.
    pub(crate) async fn round_trip(&self) -> Result<(), String> {
        // Nobody subscribes to a subject of two parts: the server itself answers.
        let subject = format!("{PREFIX}.{}", self.process);
        let asked = self.client.request(subject, Bytes::new());
        match timeout(ANSWER, asked).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) if error.kind() == RequestErrorKind::NoResponders => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!(
                "the server did not answer within {ANSWER:?}: expected that this user may publish \
                 below `{PREFIX}.` and subscribe to its inbox"
            )),
        }
    }

    /// Returns the subject of a topic's packets from this process.
    pub(crate) fn subject(&self, prefix: &str, topic: &Topic) -> Subject {
        let (name, digest) = (key_part(topic.name()), topic.schema().digest);
        format!("{prefix}.{name}.{digest}.{}", self.process).into()
    }
}

/// Waits until all tasks have ended. A panic of one goes on here.
pub(crate) async fn finish(tasks: &mut JoinSet<()>) {
    while let Some(ended) = tasks.join_next().await {
        ended.expect("a task of NATS ends without a panic");
    }
}
