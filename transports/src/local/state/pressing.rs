//! When a publisher's depth is compared with its threshold. The path of a message does not do it:
//! the publisher does it after a poll of its task, and only when it has sent enough messages that
//! the ring may have reached the upper mark. Readers do it when they wake publishers, and only
//! while the threshold is exceeded.

use super::PublisherState;

/// The position at which the publisher's side compares next: where the ring may have reached the
/// upper mark.
#[derive(Debug)]
pub(crate) struct PressureCheck {
    /// The position of the writer.
    at: usize,
}

impl PressureCheck {
    /// Creates the check of a publisher without unread messages.
    pub(crate) fn new(publisher: &PublisherState) -> PressureCheck {
        PressureCheck { at: publisher.ring.tail().wrapping_add(publisher.pressure.upper()) }
    }

    /// Compares the depth if the position is reached.
    #[inline]
    pub(crate) fn run(&mut self, publisher: &PublisherState) {
        let tail = publisher.ring.tail();
        if tail.wrapping_sub(self.at).cast_signed() >= 0 {
            self.at = tail.wrapping_add(publisher.compare_if_relieved());
        }
    }
}

impl PublisherState {
    /// Compares the depth after readers made room, or left. The caller has announced the change.
    #[inline]
    pub(crate) fn relieve(&self) {
        // The entry of a pump does not count, and may be any number of messages behind.
        let has_pump = || !self.pumps.lock().is_empty();
        let may_end = || self.ring.is_taken(self.room.relieved_at()) || has_pump();
        if self.room.is_exceeded() && may_end() {
            self.compare_depth();
        }
    }

    /// Returns the position that all readers have to reach until the threshold is no longer
    /// exceeded.
    pub(crate) fn relieved_at(&self) -> usize {
        self.room.relieved_at()
    }

    /// Compares the depth with the marks. Returns after how many messages the next comparison is
    /// due.
    #[cold]
    #[inline(never)]
    pub(crate) fn compare_depth(&self) -> usize {
        if !self.origin.is_local() {
            // The ring here is not the one that the publisher waits for, so there is nothing to
            // compare for a long time.
            return usize::MAX / 2;
        }
        self.evictions.check(&self.ring);
        self.pressure.compare(&self.room, &self.ring, || {
            self.import();
            self.depth()
        })
    }

    /// As [`compare_depth`](Self::compare_depth), for the publisher's side, which need not look for
    /// the end of an exceeded threshold: the readers of this process find it.
    #[cold]
    #[inline(never)]
    fn compare_if_relieved(&self) -> usize {
        // The threshold cannot be exceeded again before the ring has gone from the lower mark to
        // the upper one, so the next comparison is due only then.
        let finds_end = self.ring.storage().imports().is_some();
        if self.room.is_exceeded() && !finds_end {
            return self.pressure.distance();
        }
        self.compare_depth()
    }
}
