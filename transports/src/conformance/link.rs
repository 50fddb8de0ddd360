//! Topics over a link, as the laws see them: a server among the publishers, a client among the
//! readers, and connections that can be cut.
//!
//! This file names no kind of stream. The subject gives it by [`StreamPair`].

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_channel::mpsc::{self, UnboundedReceiver, UnboundedSender};
use futures_util::StreamExt;
use mycelium_executor::{Accept, Address, Backoff, Executor, Listener, Peer, SendFuture, Stream};

use super::{Pair, Probe, Transport, local};
use crate::counters::Region;
use crate::exchange::{
    Connect, Control, ExportedTopic, Identity, LinkConfig, Observer, TopicClient, TopicInterest,
    TopicServer,
};
use crate::local::{Policy, Publisher, Subscription, Topic};

/// Connected streams of one kind, in the form that an executor takes over.
pub trait StreamPair: 'static {
    /// One end, before an executor has taken it over.
    type Socket: Send + 'static;
    /// The name of a link over such streams in tables.
    const NAME: &'static str;

    /// Makes two ends that are connected with each other.
    ///
    /// # Errors
    /// Errors of the system.
    fn connect() -> io::Result<(Self::Socket, Self::Socket)>;

    /// Makes a function that cuts the connection of this end.
    ///
    /// # Errors
    /// Errors of the system.
    fn cut(socket: &Self::Socket) -> io::Result<Box<dyn FnOnce() + Send>>;

    /// Gives an end to an executor.
    ///
    /// # Errors
    /// Errors of the executor.
    fn stream(executor: &dyn Executor, socket: Self::Socket) -> io::Result<Stream>;

    /// The address and the peer that a listener reports for such streams.
    fn peer() -> (Address, Peer);
}

/// A topic over a link. Dropping it ends the link.
pub struct Link<S> {
    there: Arc<Topic>,
    here: Arc<Topic>,
    controls: [Arc<Control>; 2],
    cuts: Cuts,
    streams: PhantomData<fn(S)>,
}

impl<S: StreamPair> Transport for Link<S> {
    const NAME: &'static str = S::NAME;
    const RINGS: u64 = 2;
    type Publisher = Publisher<Probe>;
    type Subscription = Subscription<Probe>;

    fn open(pair: &Pair, capacity: usize, strictest: Policy) -> Link<S> {
        let link = Link {
            there: local::topic(capacity),
            here: local::topic(capacity),
            controls: Default::default(),
            cuts: Cuts::default(),
            streams: PhantomData,
        };
        let (connections, incoming) = mpsc::unbounded();
        link.serve(pair, incoming, strictest);
        link.read(pair, connections, strictest);
        link
    }

    fn publisher(&self, name: &str) -> Publisher<Probe> {
        local::publisher(&self.there, name)
    }

    fn subscribe(&self, name: &str, policy: Policy) -> Subscription<Probe> {
        local::subscribe(&self.here, name, policy)
    }

    fn disturb(&self) {
        let mut cuts = self.cuts.lock().unwrap_or_else(PoisonError::into_inner);
        cuts.drain(..).for_each(|cut| cut());
    }
}

impl<S: StreamPair> Link<S> {
    fn serve(&self, pair: &Pair, incoming: UnboundedReceiver<S::Socket>, strictest: Policy) {
        let mut server = TopicServer::new(
            identity("there", 1),
            config(),
            pair.publishers.clone(),
            self.controls[0].clone(),
            Region::new(64),
            no_observer(),
        );
        server.add(ExportedTopic { topic: self.there.clone(), readers: None });
        server.announce("here", &self.there, strictest).expect("one reader fits");
        let (server, executor) = (Arc::new(server), pair.publishers.clone());
        drop(pair.publish(server.clone().wait_for_readers()));
        drop(pair.publish(async move {
            let sockets = Sockets::<S> { incoming, executor };
            server.run(Listener::new(sockets), |_| Ok(())).await;
        }));
    }

    fn read(&self, pair: &Pair, connections: UnboundedSender<S::Socket>, strictest: Policy) {
        let client = TopicClient {
            peer: "there".to_owned(),
            connect: connect::<S>(connections, pair.readers.clone(), self.cuts.clone()),
            interests: vec![TopicInterest { topic: self.here.clone(), policy: strictest }],
            identity: identity("here", 2),
            config: config(),
            executor: pair.readers.clone(),
            control: self.controls[1].clone(),
            counters: Region::new(64),
            observer: no_observer(),
        };
        drop(pair.read(client.run().expect("the link's configuration is valid")));
    }
}

impl<S> Drop for Link<S> {
    fn drop(&mut self) {
        self.controls.iter().for_each(|control| control.stop());
    }
}

impl<S> fmt::Debug for Link<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").finish_non_exhaustive()
    }
}

/// Cuts the open connections.
type Cuts = Arc<Mutex<Vec<Box<dyn FnOnce() + Send>>>>;

fn identity(node: &str, boot: u64) -> Identity {
    Identity::new(node, boot).expect("the name is short")
}

fn no_observer() -> Observer {
    Arc::new(|_| {})
}

fn config() -> LinkConfig {
    let retry = Backoff { first: Duration::from_millis(1), longest: Duration::from_millis(5) };
    // With rings as small as these, a publisher waits for nearly every confirmation.
    LinkConfig { retry, confirm: Duration::from_millis(1), ..LinkConfig::low_latency() }
}

/// Makes connections whose other ends go to a listener.
fn connect<S: StreamPair>(
    connections: UnboundedSender<S::Socket>,
    executor: Arc<dyn Executor>,
    cuts: Cuts,
) -> Connect {
    let connect = move || {
        let (near, far) = S::connect()?;
        cuts.lock().unwrap_or_else(PoisonError::into_inner).push(S::cut(&near)?);
        let gone = |_| io::Error::from(io::ErrorKind::ConnectionRefused);
        connections.unbounded_send(far).map_err(gone)?;
        S::stream(&*executor, near)
    };
    // At the first poll, which is on the executor that owns the stream.
    let connect = Arc::new(connect);
    Box::new(move || -> SendFuture<io::Result<Stream>> {
        let connect = connect.clone();
        Box::pin(async move { connect() })
    })
}

/// Listens for the other ends.
struct Sockets<S: StreamPair> {
    incoming: UnboundedReceiver<S::Socket>,
    executor: Arc<dyn Executor>,
}

impl<S: StreamPair> Accept for Sockets<S> {
    fn poll_accept(&mut self, context: &mut Context<'_>) -> Poll<io::Result<(Stream, Peer)>> {
        let Some(socket) = ready!(self.incoming.poll_next_unpin(context)) else {
            return Poll::Pending;
        };
        let stream = S::stream(&*self.executor, socket);
        Poll::Ready(stream.map(|stream| (stream, S::peer().1)))
    }

    fn local_addr(&self) -> io::Result<Address> {
        Ok(S::peer().0)
    }
}
