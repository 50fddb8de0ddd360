//! The recorded day as a node of its own, for those who have none.

use std::{pin::pin, sync::Arc, time::Duration};

use futures_channel::oneshot;
use futures_util::future::{Either, select};
use mycelium::{Context, Error, Kept, Result, service};
use mycelium_executor::Address;

use crate::feed::Feed;

/// After an error that is not of one connection (out of descriptors, say), so long until the next.
const BREATH: Duration = Duration::from_millis(50);

/// Serves a [`Feed`] to whoever connects.
pub struct FeedServer {
    feed: Arc<Feed>,
    /// Where to listen; once it does, exactly where, so that a restart changes nothing.
    listen: Kept<String>,
    /// Told once where it listens.
    listening: Option<oneshot::Sender<Address>>,
}

impl FeedServer {
    /// A server of `feed` at `listen` (`host:port`); `listening` is told the address.
    #[must_use]
    pub fn new(
        feed: Arc<Feed>,
        listen: Kept<String>,
        listening: Option<oneshot::Sender<Address>>,
    ) -> Self {
        Self { feed, listen, listening }
    }
}

#[service()]
impl FeedServer {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let listen = self.listen.read(String::clone);
        let listener = ctx.listen(&listen).await;
        let mut listener = listener.map_err(|error| Error::from(error).permanent())?;
        let address = listener.local_addr()?;
        self.listen.commit(|listen| *listen = address.to_string());
        if let Some(listening) = self.listening.take() {
            // Nobody may be interested any more.
            let _ = listening.send(address);
        }
        loop {
            let shutdown = pin!(ctx.shutdown_requested());
            let accepted = match select(pin!(listener.accept()), shutdown).await {
                Either::Left((accepted, _)) => accepted,
                Either::Right(_) => return Ok(()),
            };
            match accepted {
                Ok((stream, _)) => {
                    let (feed, clock) = (self.feed.clone(), ctx.clock());
                    let sleep = move |time| {
                        let clock = clock.clone();
                        // At shutdown the task is dropped, so an early end does no harm.
                        async move { _ = clock.sleep(time).await }
                    };
                    drop(ctx.spawn(async move { feed.serve(stream, sleep).await }));
                }
                Err(error) => {
                    ctx.warn("a connection was not accepted", error);
                    ctx.sleep(BREATH).await?;
                }
            }
        }
    }
}
