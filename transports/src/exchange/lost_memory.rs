//! The end of a link whose streams have lost their memory.
//!
//! The control connection ends with the peer's process, and so does the link's socket, unless a
//! child of that process has kept it open. Bytes that have arrived on the link are still read: the
//! peer may have ended in order. A dead process does not write, so its link ends when nothing is
//! left to read. If only the control connection has ended, the link gets a short time to end by
//! itself.

use std::task::Waker;
use std::time::Duration;

use mycelium_core::link::CloseReason;

use crate::memory::Gone;
use crate::stream::NodeLink;

/// How long a link may outlive the memory of its streams.
const GRACE: Duration = Duration::from_secs(1);
/// How often it is checked: the interval of its pings.
const CHECK: Duration = Duration::from_millis(100);

/// Since when streams of a link have no memory any more.
#[derive(Debug, Default)]
pub(super) struct LostMemory {
    since: Option<Duration>,
    /// The peer's process has ended.
    is_dead: bool,
    /// Something has arrived since the last check.
    has_read: bool,
}

impl LostMemory {
    /// The memory of a stream is lost. `silence` is the silence limit of the link.
    pub(super) fn notice(&mut self, now: Duration, silence: Duration, link: &mut NodeLink<'_>) {
        if self.since.is_none() {
            self.since = Some(now);
            // The pings are the reason why `check` is called in time.
            _ = link.set_times(CHECK.min(silence), silence);
        }
    }

    /// The control connection beside the link has ended, for this reason.
    pub(super) fn ended(&mut self, reason: &Gone) {
        if *reason == Gone::PeerDied {
            // What the process wrote last may have arrived since the last read.
            (self.is_dead, self.has_read) = (true, true);
        }
    }

    /// Something has arrived.
    #[inline(always)]
    pub(super) fn read(&mut self) {
        self.has_read = true;
    }

    /// Ends the link when its time is over.
    pub(super) fn check(&mut self, now: Duration, link: &mut NodeLink<'_>, waker: &Waker) {
        let has_read = std::mem::take(&mut self.has_read);
        let is_late = self.since.is_some_and(|since| now.saturating_sub(since) >= GRACE);
        if is_late || self.is_dead && !has_read {
            link.close(now, CloseReason::Aborted);
        } else if self.is_dead {
            waker.wake_by_ref();
        }
    }

    /// The connection has ended.
    pub(super) fn clear(&mut self) {
        *self = LostMemory::default();
    }
}
