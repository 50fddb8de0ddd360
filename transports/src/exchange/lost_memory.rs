//! The end of a link whose streams have lost their memory.
//!
//! The control connection ends with the peer's process, and so does the link's socket, unless a
//! child of that process has kept it open. Bytes that have arrived on the link are still read: the
//! peer may have ended in order. So the link gets a short time to end by itself.

use std::time::Duration;

use mycelium_core::link::CloseReason;

use crate::stream::NodeLink;

/// How long a link may outlive the memory of its streams.
const GRACE: Duration = Duration::from_secs(1);
/// How often it is checked: the interval of its pings.
const CHECK: Duration = Duration::from_millis(100);

/// Since when streams of a link have no memory any more.
#[derive(Debug, Default)]
pub(super) struct LostMemory(Option<Duration>);

impl LostMemory {
    /// The control connection has ended while streams needed it. `silence` is the silence limit of
    /// the link.
    pub(super) fn notice(&mut self, now: Duration, silence: Duration, link: &mut NodeLink<'_>) {
        self.0.get_or_insert(now);
        // The pings are the reason why `check` is called in time.
        _ = link.set_times(CHECK.min(silence), silence);
    }

    /// Ends the link when its time is over.
    pub(super) fn check(&mut self, now: Duration, link: &mut NodeLink<'_>) {
        if self.0.is_some_and(|since| now.saturating_sub(since) >= GRACE) {
            link.close(now, CloseReason::Aborted);
        }
    }

    /// The connection has ended.
    pub(super) fn clear(&mut self) {
        self.0 = None;
    }
}
