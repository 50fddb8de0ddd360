//! Waits for connections, and for what they send, until it is stopped.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token, Waker};

use super::connection::Connection;
use super::response::Responder;
use crate::Source;
use crate::metrics::Collector;

/// The most connections.
const CONNECTIONS: usize = 32;
/// The pause after an error of accept, such as too many open files.
const PAUSE: Duration = Duration::from_millis(100);
const LISTENER: Token = Token(0);
const WAKER: Token = Token(1);

/// An endpoint that is bound and not served yet: clients wait in its queue.
#[derive(Debug)]
pub struct Endpoint {
    listener: TcpListener,
    poll: Poll,
    stopper: Stopper,
}

/// Ends the service of an endpoint.
#[derive(Clone, Debug)]
pub struct Stopper {
    waker: Arc<Waker>,
    is_stopped: Arc<AtomicBool>,
}

impl Stopper {
    /// [`Endpoint::run`] returns soon: after the response that it makes now. Any thread may call
    /// it.
    pub fn stop(&self) {
        self.is_stopped.store(true, Ordering::Release);
        // Without its poll the endpoint is not served any more.
        let _ = self.waker.wake();
    }
}

impl Endpoint {
    /// Binds an address.
    ///
    /// # Errors
    /// If the system refuses the address.
    pub fn bind(address: SocketAddr) -> io::Result<Endpoint> {
        let mut listener = TcpListener::bind(address)?;
        let poll = Poll::new()?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let stopper = Stopper { waker, is_stopped: Arc::default() };
        Ok(Endpoint { listener, poll, stopper })
    }

    /// The address: with the port that the system chose, if it was 0.
    ///
    /// # Errors
    /// If the system does not say it.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Ends [`run`](Endpoint::run).
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// Serves clients on this thread until the endpoint is stopped, then closes all connections and
    /// the address. `now` is a clock that never goes back.
    pub fn run(self, source: Box<dyn Source>, collector: Collector, now: impl Fn() -> Duration) {
        let Endpoint { listener, poll, stopper } = self;
        let server = Server {
            listener,
            poll,
            stopper,
            responder: Responder::new(source, collector),
            connections: BTreeMap::new(),
            next: WAKER.0 + 1,
            accepts_at: None,
        };
        server.run(now);
    }
}

struct Server {
    listener: TcpListener,
    poll: Poll,
    stopper: Stopper,
    responder: Responder,
    /// By their tokens: the oldest first.
    connections: BTreeMap<usize, Connection>,
    next: usize,
    /// When to accept again, after an error.
    accepts_at: Option<Duration>,
}

impl Server {
    fn run(mut self, now: impl Fn() -> Duration) {
        let mut events = Events::with_capacity(2 * CONNECTIONS);
        while !self.is_stopped() {
            let timeout = self.timeout(now());
            match self.poll.poll(&mut events, timeout) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                // It cannot wait any more.
                Err(_) => return,
            }
            let at = now();
            if events.iter().any(|event| event.token() == LISTENER)
                || self.accepts_at.is_some_and(|due| due <= at)
            {
                self.accept(at);
            }
            for event in &events {
                // A scrape takes a while, and all connections may want one.
                if self.is_stopped() {
                    return;
                }
                self.advance(event.token().0, at);
            }
            self.expire(at);
        }
    }

    fn is_stopped(&self) -> bool {
        self.stopper.is_stopped.load(Ordering::Acquire)
    }

    /// How long to wait: until the first deadline.
    fn timeout(&self, now: Duration) -> Option<Duration> {
        let deadlines = self.connections.values().map(|connection| connection.deadline);
        let first = deadlines.chain(self.accepts_at).min()?;
        // Rounded up: the system waits for whole milliseconds.
        Some(first.saturating_sub(now) + Duration::from_millis(1))
    }

    /// Accepts all clients that wait.
    fn accept(&mut self, now: Duration) {
        // The next round accepts the rest: those who connect must not keep others from theirs.
        self.accepts_at = Some(now);
        for _ in 0..2 * CONNECTIONS {
            if self.is_stopped() {
                return;
            }
            let mut stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.accepts_at = None;
                    return;
                }
                Err(error) if is_of_client(error.kind()) => continue,
                Err(_) => {
                    self.make_room();
                    self.accepts_at = Some(now.saturating_add(PAUSE));
                    return;
                }
            };
            if self.connections.len() >= CONNECTIONS && !self.make_room() {
                continue;
            }
            let token = self.next;
            let interest = Interest::READABLE | Interest::WRITABLE;
            if self.poll.registry().register(&mut stream, Token(token), interest).is_ok() {
                self.next += 1;
                self.connections.insert(token, Connection::new(stream, now));
                // Its request may have arrived already.
                self.advance(token, now);
            }
        }
    }

    /// Closes the oldest connection that has not sent its request. Returns whether there was one.
    fn make_room(&mut self) -> bool {
        let mut oldest = self.connections.iter().filter(|(_, it)| it.is_waiting());
        let Some((&token, _)) = oldest.next() else { return false };
        self.connections.remove(&token);
        true
    }

    fn advance(&mut self, token: usize, now: Duration) {
        let Server { connections, responder, .. } = self;
        if connections.get_mut(&token).is_some_and(|it| it.advance(now, responder)) {
            connections.remove(&token);
        }
    }

    /// Closes the connections whose deadline has passed.
    fn expire(&mut self, now: Duration) {
        let Server { connections, responder, .. } = self;
        connections.retain(|_, connection| {
            let is_late = connection.deadline <= now;
            if is_late {
                connection.expire(responder);
            }
            !is_late
        });
    }
}

/// Whether an error of accept is that of one client.
fn is_of_client(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::Interrupted | ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset
    )
}
