//! Topics over a link, as the laws see them: a server among the publishers, a client among the readers, and connections
//! that are pairs of sockets and can be cut.

use std::fmt;
use std::io;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_channel::mpsc::{self, UnboundedReceiver, UnboundedSender};
use futures_util::StreamExt;
use mycelium_executor::{
    Accept, Address, Backoff, Credentials, Executor, Listener, Peer, SendFuture, Stream,
};

use super::{Pair, Probe, Transport, local};
use crate::counters::Region;
use crate::exchange::{
    Connect, Control, ExportedTopic, Identity, LinkConfig, Observer, TopicClient, TopicInterest,
    TopicServer,
};
use crate::local::{Policy, Publisher, Subscription, Topic};

/// A topic over a link. Dropping it ends the link.
pub struct Link {
    there: Arc<Topic>,
    here: Arc<Topic>,
    controls: [Arc<Control>; 2],
    wires: Wires,
}

impl Transport for Link {
    const NAME: &'static str = "link";
    const RINGS: u64 = 2;
    type Publisher = Publisher<Probe>;
    type Subscription = Subscription<Probe>;

    fn open(pair: &Pair, capacity: usize, strictest: Policy) -> Link {
        let link = Link {
            there: local::topic(capacity),
            here: local::topic(capacity),
            controls: Default::default(),
            wires: Wires::default(),
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
        let mut wires = self.wires.lock().unwrap_or_else(PoisonError::into_inner);
        for wire in wires.drain(..) {
            // One that has ended cannot be cut.
            _ = wire.shutdown(Shutdown::Both);
        }
    }
}

impl Link {
    fn serve(&self, pair: &Pair, incoming: UnboundedReceiver<UnixStream>, strictest: Policy) {
        let mut server = TopicServer::new(
            identity("there", 1),
            config(),
            pair.publishers.clone(),
            self.controls[0].clone(),
            Region::new(64),
            nobody(),
        );
        server.add(ExportedTopic { topic: self.there.clone(), readers: None });
        server.announce("here", &self.there, strictest).expect("there is room for one reader");
        let (server, executor) = (Arc::new(server), pair.publishers.clone());
        drop(pair.publish(server.clone().wait_for_readers()));
        drop(pair.publish(async move {
            server.run(Listener::new(Sockets { incoming, executor }), |_| Ok(())).await;
        }));
    }

    fn read(&self, pair: &Pair, connections: UnboundedSender<UnixStream>, strictest: Policy) {
        let client = TopicClient {
            peer: "there".to_owned(),
            connect: connect(connections, pair.readers.clone(), self.wires.clone()),
            interests: vec![TopicInterest { topic: self.here.clone(), policy: strictest }],
            identity: identity("here", 2),
            config: config(),
            executor: pair.readers.clone(),
            control: self.controls[1].clone(),
            counters: Region::new(64),
            observer: nobody(),
        };
        drop(pair.read(client.run().expect("such a link can be")));
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.controls.iter().for_each(|control| control.stop());
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").finish_non_exhaustive()
    }
}

/// The connections that there are.
type Wires = Arc<Mutex<Vec<UnixStream>>>;

fn identity(node: &str, boot: u64) -> Identity {
    Identity::new(node, boot).expect("a short name")
}

fn nobody() -> Observer {
    Arc::new(|_| {})
}

fn config() -> LinkConfig {
    let retry = Backoff { first: Duration::from_millis(1), longest: Duration::from_millis(5) };
    // With rings as small as these, a publisher waits for nearly every confirmation.
    LinkConfig { retry, confirm: Duration::from_millis(1), ..LinkConfig::low_latency() }
}

/// Makes connections whose other ends go to a listener.
fn connect(
    connections: UnboundedSender<UnixStream>,
    executor: Arc<dyn Executor>,
    wires: Wires,
) -> Connect {
    let connect = move || {
        let (near, far) = UnixStream::pair()?;
        wires.lock().unwrap_or_else(PoisonError::into_inner).push(near.try_clone()?);
        let gone = |_| io::Error::from(io::ErrorKind::ConnectionRefused);
        connections.unbounded_send(far).map_err(gone)?;
        executor.unix_stream(near)
    };
    // On the executor whose stream it is to be, so not before it is polled.
    let connect = Arc::new(connect);
    Box::new(move || -> SendFuture<io::Result<Stream>> {
        let connect = connect.clone();
        Box::pin(async move { connect() })
    })
}

/// Listens for the other ends.
struct Sockets {
    incoming: UnboundedReceiver<UnixStream>,
    executor: Arc<dyn Executor>,
}

impl Accept for Sockets {
    fn poll_accept(&mut self, context: &mut Context<'_>) -> Poll<io::Result<(Stream, Peer)>> {
        let Some(socket) = ready!(self.incoming.poll_next_unpin(context)) else {
            return Poll::Pending;
        };
        let whoever = Peer::Unix(Credentials { process: None, user: 0, group: 0 });
        Poll::Ready(self.executor.unix_stream(socket).map(|stream| (stream, whoever)))
    }

    fn local_addr(&self) -> io::Result<Address> {
        Ok(Address::Unix(PathBuf::new()))
    }
}
