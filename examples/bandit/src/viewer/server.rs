//! The viewer as a service of Mycelium, so on any executor: it listens, and serves each connection
//! in a task of its own.

use std::{net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use futures_channel::oneshot;
use futures_util::future::{Either, select};
use mycelium::{Context, Error, Node, Result, Running, service};
use mycelium_executor::{Address, Executor};

use super::http::Viewer;
use crate::app::Failure;

/// The pause after an error of the listener, such as too many open files.
const PAUSE: Duration = Duration::from_millis(50);

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
        let mut listener = listener.map_err(|error| Error::from(error).permanent())?;
        if let Some(listening) = self.listening.take() {
            // The receiver may be gone.
            let _ = listening.send(listener.local_addr()?);
        }
        loop {
            let shutdown = pin!(ctx.shutdown_requested());
            let accepted = match select(pin!(listener.accept()), shutdown).await {
                Either::Left((accepted, _)) => accepted,
                Either::Right(_) => return Ok(()),
            };
            match accepted {
                Ok((stream, _)) => {
                    let (viewer, clock) = (self.viewer.clone(), ctx.clock());
                    let sleep = move |time| {
                        let clock = clock.clone();
                        async move { _ = clock.sleep(time).await }
                    };
                    // An error is that of its client.
                    drop(ctx.spawn(async move { viewer.serve(stream, sleep).await }));
                }
                Err(error) => {
                    ctx.warn("a connection was not accepted", error);
                    ctx.sleep(PAUSE).await?;
                }
            }
        }
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
    let (sender, listening) = oneshot::channel();
    let mut sender = Some(sender);
    let node = Node::builder("viewer")
        .service(move || ViewerServer { viewer: viewer.clone(), listen, listening: sender.take() })
        .build()?;
    let running = node.start(executor)?;
    match listening.await {
        Ok(address) => Ok((running, address)),
        // The service has ended and dropped the sender; the node has the error.
        Err(_) => match running.join().await {
            Err(error) => Err(Failure::Node(error)),
            Ok(_) => {
                Err(Failure::Unaccounted("the viewer ended before it was listening".to_owned()))
            }
        },
    }
}
