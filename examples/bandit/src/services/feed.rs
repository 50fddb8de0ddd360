//! Serves the recorded day, for users without an Ethereum node.

use std::sync::Arc;

use futures_channel::oneshot;
use mycelium::{Context, Error, Kept, Result, service};
use mycelium_executor::Address;

use crate::{
    feed::Feed,
    server::{accept, timers},
};

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
        let listener = listener.map_err(|error| Error::from(error).permanent())?;
        let address = listener.local_addr()?;
        self.listen.commit(|listen| *listen = address.to_string());
        if let Some(listening) = self.listening.take() {
            // The receiver may be gone.
            let _ = listening.send(address);
        }
        accept(ctx, listener, |stream, clock| {
            let feed = self.feed.clone();
            async move { feed.serve(stream, timers(clock)).await }
        })
        .await
    }
}
