//! A port on virtual time, for tests: its collector answers as a script says.

use std::time::Duration;

use hyper::body::Bytes;

use super::Port;
use crate::otlp::Answer;

/// The exporter of a test runs no longer.
const END: Duration = seconds(1000);

pub(crate) const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The collector, and the end of the exporter.
#[derive(Clone, Copy)]
pub(crate) struct Script {
    pub(crate) stop_at: Duration,
    /// How long the collector takes for an answer.
    pub(crate) takes: Duration,
    /// Its answer, given the time.
    pub(crate) answer: fn(Duration) -> Answer,
}

/// A script while it runs.
pub(crate) trait Scripted {
    fn script(&self) -> Script;

    /// How long a request may take after the end.
    fn flush(&self) -> Duration;

    fn time(&self) -> Duration;

    /// Moves the time forward, if it is earlier.
    fn go_to(&mut self, time: Duration);

    /// The collector gets a request now.
    fn receive(&mut self, body: &[u8]);
}

impl<S: Scripted> Port for S {
    fn now(&self) -> Duration {
        self.time()
    }

    fn stopped_at(&self) -> Option<Duration> {
        let Script { stop_at, .. } = self.script();
        (self.time() >= stop_at).then_some(stop_at)
    }

    fn wait(&mut self, until: Duration) {
        assert!(self.time() < END, "the exporter does not end");
        let stop = Some(self.script().stop_at).filter(|stop| *stop > self.time());
        self.go_to(stop.map_or(until, |stop| stop.min(until)));
    }

    fn post(&mut self, body: &Bytes, deadline: Duration) -> Answer {
        self.receive(body);
        let Script { stop_at, takes, answer } = self.script();
        let end = stop_at.saturating_add(self.flush()).min(deadline);
        let done = self.time() + takes;
        self.go_to(done.min(end));
        if done > end {
            return Answer::Later { after: None, error: "late".to_owned() };
        }
        answer(self.time())
    }
}

pub(crate) fn taken(_: Duration) -> Answer {
    Answer::Taken { rejected: 0, error: None }
}

pub(crate) fn away(_: Duration) -> Answer {
    Answer::Later { after: None, error: "connection refused".to_owned() }
}
