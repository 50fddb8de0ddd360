//! The *port* of an exporter to its environment: the time, the stop, and the collector. It is a
//! trait, so that tests run exporters on virtual time.

#[cfg(test)]
pub(crate) mod scripted;

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::Duration;

use hyper::body::Bytes;
use mycelium_executor::Clock;
use tokio::time::timeout;

use super::Answer;
use super::bell::Bell;
use super::client::{Client, PostError};
use crate::runtime::Runtime;

/// The time, the stop, and the collector.
pub(crate) trait Port {
    /// Returns the current time, which never decreases.
    fn now(&self) -> Duration;

    /// Returns when the exporter was stopped, or `None`.
    fn stopped_at(&self) -> Option<Duration>;

    /// Waits until this time, or until the bell rings or the exporter is stopped.
    fn wait(&mut self, until: Duration);

    /// Sends a request and waits for the answer until `deadline`, or until the time that is allowed
    /// after a stop is over.
    fn post(&mut self, body: &Bytes, deadline: Duration) -> Answer;
}

/// Stops an exporter from any thread. Stores the time of the stop for the exporter.
#[derive(Clone, Debug)]
pub struct Stopper {
    clock: Clock,
    stopped_at: Arc<OnceLock<Duration>>,
    bell: Arc<Bell>,
}

impl Stopper {
    /// Makes the exporter send what it has, within the time of its settings, and return. Only the
    /// first call counts.
    pub fn stop(&self) {
        let _ = self.stopped_at.set(self.clock.now());
        self.bell.ring();
    }
}

/// A collector over HTTP, and the time of the system.
pub(crate) struct HttpPort {
    runtime: Runtime,
    client: Client,
    pub(crate) stopper: Stopper,
    /// The time limit for requests after a stop.
    flush: Duration,
}

impl HttpPort {
    /// Opens the port of an exporter that `bell` wakes. Its time begins now.
    pub(crate) fn open(client: Client, flush: Duration, bell: Arc<Bell>) -> io::Result<HttpPort> {
        let stopper = Stopper { clock: Clock::start(), stopped_at: Arc::default(), bell };
        Ok(HttpPort { runtime: Runtime::new()?, client, stopper, flush })
    }
}

impl Port for HttpPort {
    fn now(&self) -> Duration {
        self.stopper.clock.now()
    }

    fn stopped_at(&self) -> Option<Duration> {
        self.stopper.stopped_at.get().copied()
    }

    fn wait(&mut self, until: Duration) {
        let left = until.saturating_sub(self.now());
        let rung = poll_fn(|cx| self.stopper.bell.poll_rung(cx));
        // Ignores which of the two ended the wait: the caller checks both.
        let _ = self.runtime.block_on(async { timeout(left, rung).await });
    }

    fn post(&mut self, body: &Bytes, deadline: Duration) -> Answer {
        let HttpPort { runtime, client, stopper, flush } = self;
        let Stopper { clock, stopped_at, bell } = stopper;
        // Computed after each wait, because a stop shortens the time.
        let time_left = || {
            let end = stopped_at.get().map(|at| at.saturating_add(*flush));
            let deadline = end.map_or(deadline, |end| end.min(deadline));
            deadline.checked_sub(clock.now()).filter(|left| !left.is_zero())
        };
        let answer = runtime.block_on(async {
            let mut posting = pin!(client.post(body));
            while let Some(left) = time_left() {
                let answered = poll_fn(|cx| match posting.as_mut().poll(cx) {
                    Poll::Ready(answer) => Poll::Ready(Some(answer)),
                    Poll::Pending => bell.poll_rung(cx).map(|()| None),
                });
                if let Ok(Some(answer)) = timeout(left, answered).await {
                    return answer;
                }
            }
            Err(PostError::Late)
        });
        answer.into()
    }
}
