//! Serves the recorded day, for users without an Ethereum node.

use std::{pin::pin, sync::Arc, time::Duration};

use futures_channel::oneshot;
use futures_util::future::{Either, select};
use mycelium::{Context, Error, Kept, Result, service};
use mycelium_executor::Address;

use crate::feed::Feed;

/// The pause after an error of the listener, such as too many open files.
const PAUSE: Duration = Duration::from_millis(50);

/// Serves a [`Feed`] to each client that connects.
pub struct FeedServer {
    feed: Arc<Feed>,
    /// The address to listen on. Once listening, the exact address, so that a restart keeps it.
    listen: Kept<String>,
    /// Receives the address once.
    listening: Option<oneshot::Sender<Address>>,
}

impl FeedServer {
    /// A server of `feed` at `listen` (`host:port`), which sends its address to `listening`.
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
            // The receiver may be gone.
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
                        // At shutdown the sleep ends early, and the task is dropped.
                        async move { _ = clock.sleep(time).await }
                    };
                    drop(ctx.spawn(async move { feed.serve(stream, sleep).await }));
                }
                Err(error) => {
                    ctx.warn("a connection was not accepted", error);
                    ctx.sleep(PAUSE).await?;
                }
            }
        }
    }
}
