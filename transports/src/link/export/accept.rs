//! The accept loop: accepts connections of readers, and serves each of them in its own task.

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use futures_io::AsyncWrite;
use futures_util::future::{Either, select};
use mycelium_core::link::{CloseReason, LinkError};
use mycelium_executor::{Listener, Peer, SendFuture, Stream, yield_now};

use super::Exports;
use super::admission::AdmissionTicket;
use super::session::ExportSession;
use crate::endpoint::{Gate, Secured, SpareDescriptor, is_shortage};
use crate::link::notice::Notice;
use crate::seam::BusyGuard;
use crate::stream::{DriveError, Driver, NodeLink};

/// The least time that a connection has to send its name, even if securing it took all of the time.
const SHORTEST: Duration = Duration::from_millis(1);

impl Exports {
    /// Accepts connections of peers that the gate admits, until links are stopped.
    pub async fn run(self: Arc<Self>, mut listener: Listener, gate: impl Gate) {
        let stopped = self.control.stopped();
        let accepting = async {
            let mut spare = SpareDescriptor::new();
            loop {
                self.admission.until_leaving(self.admission.handshakes).await;
                match listener.accept().await {
                    Ok((stream, peer)) => {
                        // If this connection took the last descriptor, makes room for the next one.
                        if !spare.restore() && self.make_room().await {
                            _ = spare.restore();
                        }
                        match gate.check(&peer) {
                            Ok(()) => self.serve(gate.secure(stream), &peer),
                            Err(reason) => {
                                self.turn_away(stream);
                                self.reject("", &peer, CloseReason::NotAllowed, &reason);
                            }
                        }
                    }
                    // The system reports a shortage even if no peer connects. So the next call gets
                    // the spare descriptor, and shows whether a peer waits.
                    Err(error) if is_shortage(&error) && spare.give() => {}
                    Err(error) => self.accept_failed(&error).await,
                }
                // Lets the tasks of connections, which may run on this executor, read the names of
                // peers.
                yield_now().await;
            }
        };
        select(pin!(accepting), pin!(stopped)).await;
    }

    /// Sends a peer that may not connect a close frame and nothing else, if its socket has room.
    #[inline(never)] // A link takes much of the stack.
    fn turn_away(&self, mut stream: Stream) {
        let (now, mut buffer) = (self.executor.now(), vec![0; NodeLink::MIN_BUFFER]);
        let Ok(mut link) = NodeLink::new(self.link_config(), &mut buffer) else { return };
        link.open(now);
        // Skips the hello frame, which would reveal the name of this node.
        let hello = link.poll_transmit(now).map_or(0, <[u8]>::len);
        link.transmitted(now, hello);
        link.close(now, CloseReason::NotAllowed);
        if let Some(close) = link.poll_transmit(now) {
            // Writes the reason once, without waiting: a peer that has left needs none.
            let mut context = Context::from_waker(Waker::noop());
            _ = Pin::new(&mut stream).poll_write(&mut context, close);
        }
    }

    /// Evicts a connection, and waits until it has ended. Returns false if all are of announced
    /// readers.
    async fn make_room(&self) -> bool {
        let made = self.admission.make_room();
        if made {
            self.admission.until_leaving(0).await;
        }
        made
    }

    /// Handles a failed accept: makes room if the system has too few resources, or waits.
    async fn accept_failed(&self, error: &io::Error) {
        if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted) {
            return;
        }
        if is_shortage(error) && self.make_room().await {
            return;
        }
        (self.observer)(Notice::AcceptFailed { error });
        // Waits for some time, or until another connection ends, which may free the missing
        // resource.
        let departure = self.admission.departure();
        let wake = self.executor.now().saturating_add(self.config.retry.longest);
        select(self.executor.sleep_until(wake), pin!(departure)).await;
    }

    fn serve(self: &Arc<Self>, secured: SendFuture<io::Result<Secured>>, peer: &Peer) {
        let (ticket, busy) = (self.admission.enter(peer), BusyGuard::new(&self.control));
        let connection = Connection { exports: self.clone(), ticket, _busy: busy };
        // An executor that has ended drops the task, and the connection with it.
        _ = self.executor.spawn(Box::pin(connection.run(secured)));
    }
}

/// One connection of a reader. Holds its admission ticket until it is dropped.
struct Connection {
    exports: Arc<Exports>,
    ticket: Arc<AdmissionTicket>,
    _busy: BusyGuard,
}

impl Connection {
    /// Serves the peer until the connection ends.
    async fn run(self, secured: SendFuture<io::Result<Secured>>) {
        let exports = &self.exports;
        let evicted = || DriveError::Link(LinkError::LocallyClosed(CloseReason::Busy));
        if self.ticket.is_evicted() {
            // A connection that was evicted before its task ran needs no link.
            return (exports.observer)(Notice::Disconnected { peer: "", error: &evicted() });
        }
        let begin = exports.executor.now();
        let stream = match select(pin!(self.secured(secured)), pin!(self.ticket.evicted())).await {
            Either::Left((Some(stream), _)) => stream,
            Either::Left((None, _)) => return,
            Either::Right(_) => {
                return (exports.observer)(Notice::Disconnected { peer: "", error: &evicted() });
            }
        };
        let mut session = ExportSession::new(exports.clone(), self.ticket.clone());
        let mut buffer = vec![0; exports.buffer()];
        let mut config = exports.link_config();
        // Securing the connection and its handshake share one time limit.
        let spent = exports.executor.now().saturating_sub(begin);
        config.handshake = config.handshake.saturating_sub(spent).max(SHORTEST);
        let error = match NodeLink::new(config, &mut buffer) {
            Ok(mut link) => {
                let mut driver = Driver::new(&mut link, stream, exports.executor.clone());
                // Polls the link before the eviction ends it: in that poll the link still sends the
                // reason of the eviction to the peer, if the socket has room.
                match select(pin!(driver.run(&mut session)), pin!(self.ticket.evicted())).await {
                    Either::Left((error, _)) => error,
                    Either::Right(_) => evicted(),
                }
            }
            Err(error) => DriveError::Config(error),
        };
        session.ended(&error);
        (exports.observer)(Notice::Disconnected { peer: session.node(), error: &error });
    }
}

impl Connection {
    /// Returns the secured connection; `None` if it cannot be secured.
    async fn secured(&self, secured: SendFuture<io::Result<Secured>>) -> Option<Stream> {
        let (exports, limit) = (&self.exports, self.exports.config.handshake);
        let late = exports.executor.sleep_until(exports.executor.now().saturating_add(limit));
        let secured = match select(secured, late).await {
            Either::Left((secured, _)) => secured.map_err(|error| error.to_string()),
            Either::Right(_) => Err(format!("it did not prove its name within {limit:?}")),
        };
        match secured {
            Ok(Secured { stream, proof }) => {
                self.ticket.prove(proof);
                Some(stream)
            }
            Err(reason) => {
                exports.reject("", &self.ticket.peer, CloseReason::NotAllowed, &reason);
                None
            }
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.exports.admission.leave(&self.ticket);
    }
}
