//! What asks a process to end.

/// Listens from its first poll on.
#[cfg(unix)]
pub(crate) async fn interrupted() -> std::io::Result<()> {
    use std::future::poll_fn;
    use std::task::Poll;

    use tokio::signal::unix::{SignalKind, signal};

    let mut signals = [signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?];
    poll_fn(|context| {
        // Each is polled, so that each knows whom to wake.
        let came = signals.each_mut().map(|signal| signal.poll_recv(context).is_ready());
        if came.contains(&true) { Poll::Ready(Ok(())) } else { Poll::Pending }
    })
    .await
}

#[cfg(not(unix))]
pub(crate) use tokio::signal::ctrl_c as interrupted;
