//! One connection to a server.

use std::pin::pin;
use std::sync::Arc;

use futures_util::future::{Either, select};
use mycelium_core::link::{CloseReason, LinkError};
use mycelium_executor::Stream;

use super::Notice;
use super::admission::AdmissionTicket;
use super::control::BusyGuard;
use super::server::TopicServer;
use super::server_session::ServerSession;
use crate::stream::{DriveError, Driver, NodeLink};

/// One connection, which has its ticket for as long as it is there.
pub(super) struct Connection {
    server: Arc<TopicServer>,
    ticket: Arc<AdmissionTicket>,
    _busy: BusyGuard,
}

impl Connection {
    pub(super) fn new(server: Arc<TopicServer>, ticket: Arc<AdmissionTicket>) -> Connection {
        Connection { _busy: BusyGuard::new(server.control()), server, ticket }
    }

    /// Serves the peer until the connection ends.
    pub(super) async fn serve(self, stream: Stream) {
        let server = &self.server;
        if self.ticket.is_evicted() {
            // Before it began: a link would be made for nothing.
            let error = DriveError::Link(LinkError::LocallyClosed(CloseReason::Busy));
            return (server.observer)(Notice::Disconnected { peer: "", error: &error });
        }
        let mut serving = ServerSession::new(server.clone(), self.ticket.clone());
        let mut buffer = vec![0; server.buffer()];
        let config = server.config.link(&server.identity);
        let error = match NodeLink::new(config, &mut buffer) {
            Ok(mut link) => {
                let mut driver = Driver::new(&mut link, stream, server.executor.clone());
                // The link is looked at first: it tells the peer why it has to go, if that can be written at once.
                match select(pin!(driver.run(&mut serving)), pin!(self.ticket.evicted())).await {
                    Either::Left((error, _)) => error,
                    Either::Right(_) => {
                        DriveError::Link(LinkError::LocallyClosed(CloseReason::Busy))
                    }
                }
            }
            Err(error) => DriveError::Config(error),
        };
        serving.ended(&error);
        (server.observer)(Notice::Disconnected { peer: serving.node(), error: &error });
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.server.admission.leave(&self.ticket);
    }
}
