//! The viewer as a service of Mycelium, so on any executor: it listens, and serves each connection
//! in a task of its own.

use std::{net::SocketAddr, sync::Arc};

use futures_channel::oneshot;
use mycelium::{Context, Error, Node, Result, Running, service};
use mycelium_executor::{Address, Executor};

use super::http::Viewer;
use crate::{
    app::{Failure, listening},
    server::{accept, timers},
};

struct ViewerServer {
    viewer: Arc<Viewer>,
    listen: SocketAddr,
    /// Receives the address once.
    listening: Option<oneshot::Sender<Address>>,
}

#[service()]
impl ViewerServer {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let listener = ctx.listen(&self.listen.to_string()).await;
        let listener = listener.map_err(|error| Error::from(error).permanent())?;
        if let Some(listening) = self.listening.take() {
            // The receiver may be gone.
            let _ = listening.send(listener.local_addr()?);
        }
        accept(ctx, listener, |stream, clock| {
            let viewer = self.viewer.clone();
            async move { viewer.serve(stream, timers(clock)).await }
        })
        .await
    }
}

/// Starts a node that serves `viewer` at `listen`, and returns its address.
///
/// # Errors
/// If it cannot listen there.
pub async fn start(
    viewer: Arc<Viewer>,
    listen: SocketAddr,
    executor: impl Executor,
) -> std::result::Result<(Running, Address), Failure> {
    let (sender, address) = oneshot::channel();
    let mut sender = Some(sender);
    let node = Node::builder("viewer")
        .service(move || ViewerServer { viewer: viewer.clone(), listen, listening: sender.take() })
        .build()?;
    let running = node.start(executor)?;
    listening(running, address).await
}
