//! The service that accepts clients. It ends last, so that clients get all messages that were sent
//! before the end of the node.

use std::future::pending;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use mycelium_executor::{Peer, Stream, yield_now};
use mycelium_macros::service;
use mycelium_transports::counters::LegacyValue;
use mycelium_transports::endpoint::{Endpoint, SpareDescriptor, is_shortage};

use super::connection::Connection;
use super::hub::{Hub, Open, source};
use crate::error::Result;
use crate::links::log::Level;
use crate::service::Context;

/// How often a listener checks that its address still exists.
const RECHECK: Duration = Duration::from_secs(1);
/// The pause after the system failed to accept a connection.
const PAUSE: Duration = Duration::from_millis(100);
/// How long clients have at the end to receive their queued frames; at most a quarter of the node's
/// shutdown time.
const FLUSH: Duration = Duration::from_secs(1);

/// Accepts clients, and serves each one in a child task.
pub(crate) struct Listener {
    pub(crate) hub: Arc<Hub>,
}

#[service(send)]
impl Listener {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let hub = self.hub.clone();
        let executor = ctx.waits.executor.clone();
        let mut open = match hub.take_open() {
            Some(open) => open,
            // Listens again if an earlier run has failed and so left no socket.
            None => hub.listen(&*executor)?,
        };
        let shutdown = pin!(ctx.shutdown_requested());
        let over = pin!(async {
            // From here on, clients send and receive no further messages.
            hub.outgoing.wait().await;
            if hub.has_intakes() {
                pending::<()>().await;
            }
        });
        select(pin!(self.accept(ctx, &mut open)), select(shutdown, over)).await;
        drop(open);
        hub.close_intakes();
        hub.outgoing.wait().await;
        let time = FLUSH.min(ctx.waits.node.lifecycle.timeout / 4);
        let limit = executor.sleep_until(executor.now().saturating_add(time));
        select(pin!(hub.finish()), limit).await;
        hub.finish_log();
        Ok(())
    }
}

impl Listener {
    async fn accept(&self, ctx: &mut Context<Self>, open: &mut Open) {
        let (hub, executor) = (&self.hub, ctx.waits.executor.clone());
        let gate = open.bound.gate();
        let mut spare = SpareDescriptor::new();
        let can_vanish = matches!(hub.config.endpoint, Endpoint::Unix { .. });
        loop {
            hub.until_room().await;
            let recheck = async {
                if !can_vanish {
                    pending::<()>().await;
                }
                executor.sleep_until(executor.now().saturating_add(RECHECK)).await;
            };
            let accepted = match select(pin!(open.listener.accept()), pin!(recheck)).await {
                Either::Left((accepted, _)) => Some(accepted),
                Either::Right(_) => None,
            };
            match accepted {
                Some(Ok((stream, peer))) => {
                    // Reserves the spare descriptor again. If this client got the last free
                    // descriptor, evicts another client to free one.
                    if !spare.restore() && hub.make_room().await {
                        _ = spare.restore();
                    }
                    match gate.check(&peer) {
                        Ok(()) => self.serve(ctx, stream, &peer),
                        Err(reason) => self.reject(&peer, &reason),
                    }
                }
                // Descriptors ran out, which the system reports even if no client connects. The
                // next `accept` uses the spare descriptor.
                Some(Err(error)) if is_shortage(&error) && spare.give() => {}
                Some(Err(error)) => {
                    let departure = hub.departure();
                    if self.accept_failed(&error).await {
                        let wake = executor.sleep_until(executor.now().saturating_add(PAUSE));
                        select(wake, pin!(departure)).await;
                    }
                }
                None => self.restore(ctx, open),
            }
            // Yields to the connections' tasks, which may run on this executor.
            yield_now().await;
        }
    }

    fn serve(&self, ctx: &Context<Self>, stream: Stream, peer: &Peer) {
        let Some(client) = self.hub.enter(peer) else {
            let most = self.hub.config.connections;
            return self.reject(
                peer,
                &format!("the limit of {most} connections is reached (`connections`)"),
            );
        };
        let executor = ctx.waits.executor.clone();
        let connection = Connection::new(self.hub.clone(), client, executor, stream);
        // The connection runs as a child task of this service. Its result is not used.
        drop(ctx.spawn(connection.run()));
    }

    fn reject(&self, peer: &Peer, reason: &str) {
        self.hub.count(LegacyValue::Rejected, 1);
        let words = format_args!("{peer} is rejected: {reason}");
        self.hub.log(Level::Warn, "rejected", &source(peer), &words);
    }

    /// Returns whether to wait until something has changed.
    async fn accept_failed(&self, error: &io::Error) -> bool {
        if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted) {
            return false;
        }
        if is_shortage(error) && self.hub.make_room().await {
            return false;
        }
        self.hub.log(Level::Warn, "deaf", "", &format_args!("cannot accept a connection: {error}"));
        true
    }

    /// Creates the address again if it has disappeared.
    fn restore(&self, ctx: &Context<Self>, open: &mut Open) {
        let executor = &*ctx.waits.executor;
        let restored = match open.bound.restore() {
            Ok(false) => return,
            Ok(true) => open.bound.listener(executor).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match restored {
            Ok(listener) => {
                open.listener = listener;
                self.hub.log(
                    Level::Warn,
                    "restored",
                    "",
                    &"its address had vanished, and is restored",
                );
            }
            Err(problem) => {
                self.hub.log(
                    Level::Warn,
                    "lost",
                    "",
                    &format_args!("its address has vanished: {problem}"),
                );
            }
        }
    }
}
