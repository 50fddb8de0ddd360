//! How long messages take from their emit to their receive: a publisher writes the time beside a
//! share of its messages, and a reader compares it with the time of the receive.
//!
//! The two times come from the clocks of the two nodes' executors. If a topic's latency is not
//! measured, no time is written or compared.

use std::sync::Arc;

use mycelium_executor::Executor;

use super::random_share::RandomShare;
use super::sent_at::SentAt;
use crate::counters::LatencyLines;

/// Gives the messages of one publisher the times at which they are sent, if they are measured.
#[derive(Debug)]
pub(crate) struct SentAtSource(RandomShare);

impl SentAtSource {
    /// Measures this share of the messages, from 0 to 1.
    pub(crate) fn new(share: f64) -> SentAtSource {
        SentAtSource(RandomShare::new(share))
    }

    /// Whether the next message is not measured. If so, the message counts as passed.
    #[inline(always)]
    pub(crate) fn leaves_out(&mut self) -> bool {
        self.0.leaves_out()
    }

    /// Returns the time of the next message, which is sent now; `None` if it is not measured. No
    /// message is measured before there is an executor.
    pub(crate) fn next(&mut self, executor: Option<&Arc<dyn Executor>>) -> Option<SentAt> {
        if self.leaves_out() {
            return None;
        }
        let executor = executor?;
        self.0.choose(|| Some(fastrand::Rng::with_seed(executor.entropy())))?;
        Some(SentAt::at(executor.wall_clock()))
    }
}

/// Measures the messages that one reader receives.
#[derive(Debug)]
pub(crate) struct LatencyMeter(LatencyLines);

impl LatencyMeter {
    /// Creates a meter that writes to these lines.
    pub(crate) fn new(lines: LatencyLines) -> LatencyMeter {
        LatencyMeter(lines)
    }

    /// Measures the latency of a message that the reader receives now.
    #[inline]
    pub(crate) fn receive(&self, sent_at: Option<SentAt>, executor: Option<&Arc<dyn Executor>>) {
        if let (Some(sent_at), Some(executor)) = (sent_at, executor) {
            self.record(sent_at, executor);
        }
    }

    #[inline(never)]
    fn record(&self, sent_at: SentAt, executor: &Arc<dyn Executor>) {
        self.0.record(sent_at.age(executor.wall_clock()));
    }
}
