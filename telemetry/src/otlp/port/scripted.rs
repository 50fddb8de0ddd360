//! A port on virtual time for tests. Its collector answers by a script.

use std::cell::Cell;
use std::time::Duration;

use hyper::body::Bytes;

use super::Port;
use crate::otlp::Answer;

/// The time at which the exporter of a test must have ended.
const END: Duration = seconds(1000);

pub(crate) const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The behaviour of the collector, and the time of the exporter's stop.
#[derive(Clone, Copy)]
pub(crate) struct Script {
    pub(crate) stop_at: Duration,
    /// The time that the collector takes for an answer.
    pub(crate) takes: Duration,
    /// Returns the collector's answer, given the time.
    pub(crate) answer: fn(Duration) -> Answer,
}

/// A running script.
pub(crate) struct Stage<'a> {
    script: Script,
    /// The time limit for requests after the stop.
    flush: Duration,
    now: &'a Cell<Duration>,
    /// Called before the time advances, to do what the test has planned until then.
    until: Box<dyn FnMut(Duration) + 'a>,
    /// The start time and the body of each request.
    pub(crate) posts: Vec<(Duration, Bytes)>,
}

impl<'a> Stage<'a> {
    pub(crate) fn new(
        script: Script,
        flush: Duration,
        now: &'a Cell<Duration>,
        until: impl FnMut(Duration) + 'a,
    ) -> Stage<'a> {
        let mut stage = Stage { script, flush, now, until: Box::new(until), posts: Vec::new() };
        stage.go_to(Duration::ZERO);
        stage
    }

    /// Advances the time to `time`, if that is later.
    fn go_to(&mut self, time: Duration) {
        self.now.set(self.now.get().max(time));
        (self.until)(self.now.get());
    }
}

impl Port for Stage<'_> {
    fn now(&self) -> Duration {
        self.now.get()
    }

    fn stopped_at(&self) -> Option<Duration> {
        let stop_at = self.script.stop_at;
        (self.now() >= stop_at).then_some(stop_at)
    }

    fn wait(&mut self, until: Duration) {
        assert!(self.now() < END, "the exporter does not end");
        let stop = Some(self.script.stop_at).filter(|stop| *stop > self.now());
        self.go_to(stop.map_or(until, |stop| stop.min(until)));
    }

    fn post(&mut self, body: &Bytes, deadline: Duration) -> Answer {
        assert!(!body.is_empty() && self.posts.len() < 1000);
        self.posts.push((self.now(), body.clone()));
        let Script { stop_at, takes, answer } = self.script;
        let end = stop_at.saturating_add(self.flush).min(deadline);
        let done = self.now() + takes;
        self.go_to(done.min(end));
        if done > end {
            return Answer::Later { after: None, error: "late".to_owned() };
        }
        answer(self.now())
    }
}

pub(crate) fn taken(_: Duration) -> Answer {
    Answer::Taken { rejected: 0, error: None }
}

pub(crate) fn busy(seconds: u64) -> Answer {
    Answer::Later { after: Some(Duration::from_secs(seconds)), error: "busy".to_owned() }
}

pub(crate) fn away(_: Duration) -> Answer {
    Answer::Later { after: None, error: "connection refused".to_owned() }
}
