//! The world as exporters see it: the time, the end, and the collector. It is a trait, so that
//! tests run exporters on virtual time.

#[cfg(test)]
pub(crate) mod scripted;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use mycelium_executor::Clock;

use super::Answer;
use super::http::{Client, TimeLeft};

/// Time, and the collector.
pub(crate) trait Port {
    /// The time, which never goes back.
    fn now(&self) -> Duration;

    /// When the exporter was stopped, if it was.
    fn stopped_at(&self) -> Option<Duration>;

    /// Waits until this time, or until something happens.
    fn wait(&mut self, until: Duration);

    /// Sends a request, and waits for the answer until `deadline`, or until the time after a stop
    /// is over.
    fn post(&mut self, body: &[u8], deadline: Duration) -> Answer;
}

/// When an exporter was stopped: shared by its thread and the one who stops it.
#[derive(Clone, Debug)]
pub(crate) struct Ending {
    clock: Clock,
    stopped_at: Arc<OnceLock<Duration>>,
}

impl Ending {
    /// It has not been stopped. Its time begins now.
    pub(crate) fn new() -> Ending {
        Ending { clock: Clock::start(), stopped_at: Arc::default() }
    }

    /// Stops the exporter. The first time counts. Its thread has to be woken.
    pub(crate) fn stop(&self) {
        let _ = self.stopped_at.set(self.clock.now());
    }
}

/// A collector over HTTP, and the time of the system.
pub(crate) struct HttpPort {
    pub(crate) client: Client,
    pub(crate) ending: Ending,
    /// How long a request may take after a stop.
    pub(crate) flush: Duration,
}

/// The time that a request has.
struct Until<'a> {
    ending: &'a Ending,
    flush: Duration,
    deadline: Duration,
}

impl TimeLeft for Until<'_> {
    fn left(&self) -> Option<Duration> {
        let Until { ending: Ending { clock, stopped_at }, flush, deadline } = self;
        let end = stopped_at.get().map(|at| at.saturating_add(*flush));
        let deadline = end.map_or(*deadline, |end| end.min(*deadline));
        deadline.checked_sub(clock.now()).filter(|left| !left.is_zero())
    }
}

impl Port for HttpPort {
    fn now(&self) -> Duration {
        self.ending.clock.now()
    }

    fn stopped_at(&self) -> Option<Duration> {
        self.ending.stopped_at.get().copied()
    }

    fn wait(&mut self, until: Duration) {
        self.client.wait(Some(until.saturating_sub(self.now())));
    }

    fn post(&mut self, body: &[u8], deadline: Duration) -> Answer {
        let time = Until { ending: &self.ending, flush: self.flush, deadline };
        self.client.post(body, &time).into()
    }
}
