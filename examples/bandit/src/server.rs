//! Accepts connections, for the feed.

use std::{pin::pin, time::Duration};

use futures_util::future::{BoxFuture, Either, FutureExt, select};
use mycelium::{Clock, Context, Result, Service};
use mycelium_executor::{Listener, Stream};

/// The pause after an error of the listener, such as too many open files.
const PAUSE: Duration = Duration::from_millis(50);

/// Accepts connections until the shutdown, and serves each in a task of its own. An error of a
/// connection is that of its client.
pub(crate) async fn accept<S: Service, F: Future<Output: Send> + Send + 'static>(
    ctx: &mut Context<S>,
    mut listener: Listener,
    mut serve: impl FnMut(Stream, Clock) -> F,
) -> Result<()> {
    loop {
        let shutdown = pin!(ctx.shutdown_requested());
        let accepted = match select(pin!(listener.accept()), shutdown).await {
            Either::Left((accepted, _)) => accepted,
            Either::Right(_) => return Ok(()),
        };
        match accepted {
            Ok((stream, _)) => {
                let connection = serve(stream, ctx.clock());
                drop(ctx.spawn(async { _ = connection.await }));
            }
            Err(error) => {
                ctx.warn("a connection was not accepted", error);
                ctx.sleep(PAUSE).await?;
            }
        }
    }
}

/// The timers of a connection. At a shutdown they end early, and its task is dropped.
pub(crate) fn timers(clock: Clock) -> impl Fn(Duration) -> BoxFuture<'static, ()> {
    move |time| {
        let clock = clock.clone();
        async move { _ = clock.sleep(time).await }.boxed()
    }
}
