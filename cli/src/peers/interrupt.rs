//! Signals that request the end of the tool.

use std::future::ready;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{Either, Fuse, FusedFuture, select};
use mycelium_executor::{Executor, SendFuture};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// How long the tool waits for a stream after a signal.
const GRACE: Duration = Duration::from_secs(1);

/// The first signal. A second one ends the process at once.
pub(crate) struct Interrupt {
    first: Fuse<SendFuture<io::Result<()>>>,
    /// The signal that has come.
    signal: Arc<AtomicUsize>,
}

impl Interrupt {
    /// Creates the wait for a signal. From now on, the first SIGINT or SIGTERM does not end the
    /// process.
    pub(crate) fn new(executor: &impl Executor) -> io::Result<Interrupt> {
        let (has_come, number) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        for signal in [SIGINT, SIGTERM] {
            // The order matters: the first call checks the flag before the second one sets it, so
            // only a second signal ends the process.
            flag::register_conditional_default(signal, has_come.clone())?;
            flag::register(signal, has_come.clone())?;
            flag::register_usize(signal, number.clone(), signal.unsigned_abs() as usize)?;
        }
        let mut first = executor.interrupted();
        // The first poll begins to listen. A signal may have come before it, or during it.
        let polled = (&mut first).now_or_never().transpose()?;
        if polled.is_some() || has_come.load(Ordering::Relaxed) {
            first = Box::pin(ready(Ok(())));
        }
        Ok(Interrupt { first: first.fuse(), signal: number })
    }

    /// Returns the signal that has come, if one has.
    pub(crate) fn signal(&self) -> Option<i32> {
        let signal = self.signal.load(Ordering::Relaxed);
        i32::try_from(signal).ok().filter(|signal| *signal != 0)
    }

    /// Waits for `work`. Returns its result, or `None` after a signal.
    pub(crate) async fn during<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        match select(&mut self.first, pin!(work)).await {
            Either::Left(_) => None,
            Either::Right((done, _)) => Some(done),
        }
    }

    /// Waits for a write to a stream. Returns its result, or `None` if a signal has come and nobody
    /// has taken the bytes within a second.
    pub(crate) async fn while_taken<T>(
        &mut self,
        executor: &impl Executor,
        writing: impl Future<Output = T>,
    ) -> Option<T> {
        let patience = async {
            if !self.first.is_terminated() {
                _ = (&mut self.first).await;
            }
            executor.sleep_until(executor.now().saturating_add(GRACE)).await;
        };
        match select(pin!(writing), pin!(patience)).await {
            Either::Left((written, _)) => Some(written),
            Either::Right(_) => None,
        }
    }
}
