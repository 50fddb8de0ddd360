//! The end of a link whose streams have lost their shared memory.
//!
//! The control connection ends with the peer's process, and so does the link's socket, unless a
//! child of that process has kept the socket open. Bytes that have arrived on the link are still
//! read: the peer may have ended in order. A dead process does not write, so its link ends when
//! nothing more has arrived for a moment. That moment is a timer of the executor, and not a count
//! of polls: an executor looks for bytes when it looks for timers, and a task that wakes itself can
//! be polled many times before that. If only the control connection has ended, the link gets a
//! short time to end by itself.

use std::task::Context;
use std::time::Duration;

use mycelium_core::link::CloseReason;
use mycelium_executor::{Executor, SendFuture};

use crate::memory::Gone;
use crate::stream::NodeLink;

/// How long a link may outlive the shared memory of its streams.
const GRACE: Duration = Duration::from_secs(1);
/// How often that time is checked: the interval of the link's pings.
const CHECK: Duration = Duration::from_millis(100);

/// How long nothing must arrive from a dead process before its link ends.
const QUIET: Duration = Duration::from_millis(1);

/// The state of a link since its streams have lost their shared memory.
#[derive(Default)]
pub(crate) struct LostMemory {
    since: Option<Duration>,
    /// The peer's process has ended.
    is_dead: bool,
    /// Bytes have arrived since the last check.
    has_read: bool,
    /// A timer that runs since the last arrival from a dead process.
    quiet: Option<SendFuture<()>>,
}

impl LostMemory {
    /// Notes that a stream has lost its shared memory. `silence` is the silence limit of the link.
    pub(crate) fn notice(&mut self, now: Duration, silence: Duration, link: &mut NodeLink<'_>) {
        if self.since.is_none() {
            self.since = Some(now);
            // The pings make sure that `check` is called in time.
            _ = link.set_times(CHECK.min(silence), silence);
        }
    }

    /// Notes that the control connection beside the link has ended, for this reason.
    pub(crate) fn ended(&mut self, reason: &Gone) {
        self.is_dead |= *reason == Gone::PeerDied;
    }

    /// Notes that bytes have arrived.
    #[inline(always)]
    pub(crate) fn read(&mut self) {
        self.has_read = true;
    }

    /// Ends the link when its time is up.
    pub(crate) fn check(
        &mut self,
        now: Duration,
        link: &mut NodeLink<'_>,
        executor: &dyn Executor,
        context: &mut Context<'_>,
    ) {
        let has_read = std::mem::take(&mut self.has_read);
        let is_late = self.since.is_some_and(|since| now.saturating_sub(since) >= GRACE);
        if is_late || self.is_dead && self.is_quiet(has_read, executor, context) {
            link.close(now, CloseReason::Aborted);
        }
    }

    /// Whether nothing has arrived for a moment. If not, the task is woken when to ask again.
    fn is_quiet(
        &mut self,
        has_read: bool,
        executor: &dyn Executor,
        context: &mut Context<'_>,
    ) -> bool {
        if has_read {
            self.quiet = None;
        }
        let quiet = || executor.sleep_until(executor.now().saturating_add(QUIET));
        self.quiet.get_or_insert_with(quiet).as_mut().poll(context).is_ready()
    }

    /// Forgets everything, as the connection has ended.
    pub(crate) fn clear(&mut self) {
        *self = LostMemory::default();
    }
}
