//! Serves the recorded day, for users without an Ethereum node.

use std::{pin::pin, sync::Arc, time::Duration};

use futures_channel::oneshot;
use futures_util::future::{Either, select};
use mycelium::{Context, Error, Result, service};
use mycelium_executor::Address;

use crate::ethereum::feed::Feed;

/// The pause after an error of the listener, such as too many open files.
const PAUSE: Duration = Duration::from_millis(50);

/// Serves a [`Feed`] to each client that connects, at a port of this machine.
pub struct FeedServer {
    /// The feed to serve.
    pub feed: Arc<Feed>,
    /// Gets the address once the server listens.
    pub listening: Option<oneshot::Sender<Address>>,
}

#[service()]
impl FeedServer {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        // After a restart nobody would know another port.
        let no_restart = |error| Error::from(error).permanent();
        let mut listener = ctx.listen("127.0.0.1:0").await.map_err(no_restart)?;
        if let Some(listening) = self.listening.take() {
            // Ignores an error: the receiver may be gone.
            let _ = listening.send(listener.local_addr()?);
        }
        loop {
            let shutdown = pin!(ctx.shutdown_requested());
            match select(pin!(listener.accept()), shutdown).await {
                Either::Left((Ok((stream, _)), _)) => {
                    let (feed, clock) = (self.feed.clone(), ctx.clock());
                    // Ignores an error of a connection: its client has caused it.
                    drop(ctx.spawn(async move { _ = feed.serve(stream, clock).await }));
                }
                Either::Left((Err(error), _)) => {
                    ctx.warn("a connection was not accepted", error);
                    ctx.sleep(PAUSE).await?;
                }
                Either::Right(_) => return Ok(()),
            }
        }
    }
}
