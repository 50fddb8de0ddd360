//! Tracks which messages of one publisher earlier processes of a reader may have had, and decides
//! what happens to these messages: they are redelivered, reported as a gap, or become dead letters.

use crate::counters::EdgeValue;
use crate::link::gap;

/// What happens to messages that were sent to a reader's process but not confirmed when it died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Redelivery {
    /// The messages are sent to the reader's next process, marked as redelivered. A message that
    /// may have caused `deaths` deaths becomes a dead letter of the link, if the last of these
    /// processes had no other message in flight.
    AtLeastOnce {
        /// The number of deaths. With 0, no message becomes a dead letter. 1 counts as 2, because
        /// after the first death it is unknown which message was in flight.
        deaths: u32,
    },
    /// The messages are not sent again: the next process gets a gap with their number.
    AtMostOnce,
}

impl Default for Redelivery {
    fn default() -> Redelivery {
        Redelivery::AtLeastOnce { deaths: 3 }
    }
}

impl Redelivery {
    /// Returns the number of deaths after which a message becomes a dead letter; `None` if messages
    /// are not sent again. For an observing reader it is always `None`.
    fn deaths(self, waited_for: bool) -> Option<u32> {
        match self {
            Redelivery::AtLeastOnce { deaths } if waited_for => Some(deaths),
            _ => None,
        }
    }
}

/// Messages that are skipped, and the gap that is reported instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Skip {
    /// The end of the skipped messages: all messages before this sequence are skipped.
    pub(super) before: u64,
    /// The reason in the gap frame.
    pub(super) reason: u16,
    /// The counter to which the skipped messages are added.
    pub(super) value: EdgeValue,
}

/// The messages of one stream that were sent to earlier processes of its reader.
#[derive(Debug, Default)]
pub(super) struct DeliveryHistory {
    /// Messages before this sequence were sent to the current process, on this connection or an
    /// earlier one.
    sent: u64,
    /// Messages before this sequence were sent to an earlier process.
    redelivered_before: u64,
    /// One entry for each process that died while it had the message that is now the first
    /// unconfirmed one: the sequence after the last message that was sent to that process.
    /// Descending, and at most as many entries as a suspect needs.
    deaths: Vec<u64>,
    /// Messages before this sequence are suspects: enough processes died that had them. They are
    /// sent one at a time.
    suspect_before: u64,
    skip: Option<Skip>,
    /// The current process may still read messages in shared memory: no message is sent until it
    /// requests messages.
    pub(super) is_in_doubt: bool,
}

/// What to do after the death of a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AfterDeath {
    Continue,
    /// The first message that is not confirmed becomes a dead letter.
    DeadLetter,
}

impl DeliveryHistory {
    /// Assumes that an earlier process had the messages before `next`. None of them are kept.
    pub(super) fn begin_again(&mut self, next: u64) {
        self.redelivered_before = self.redelivered_before.max(next);
    }

    /// Notes that the current process may have read messages in shared memory, and may do so until
    /// it requests messages on the link.
    pub(super) fn doubt(&mut self) {
        self.is_in_doubt = true;
    }

    /// Ends the doubt: the current process requests messages, so it has read none from `next` on.
    pub(super) fn settle(&mut self, next: u64) {
        self.sent = self.sent.max(next);
        self.skip_lost();
        self.is_in_doubt = false;
    }

    /// Records that the messages before `next` were sent to the current process.
    pub(super) fn sent(&mut self, next: u64) {
        self.sent = self.sent.max(next);
    }

    /// Whether every message before `next` may have been sent to the current process.
    pub(super) fn knows(&self, next: u64) -> bool {
        next <= self.sent
    }

    /// Handles the orderly end of the reader's process: it did not take the unconfirmed messages.
    pub(super) fn left(&mut self) {
        self.sent = 0;
        self.clear();
    }

    /// Handles the orderly end of a reader's process that could not confirm the messages that it
    /// had finished: it may have had all messages that were sent. Messages before `kept` are
    /// confirmed. `waited_for`: whether the publisher waits for this reader.
    pub(super) fn left_unconfirmed(&mut self, kept: u64, redelivery: Redelivery, waited_for: bool) {
        if self.sent > kept {
            match redelivery.deaths(waited_for) {
                Some(_) => self.redelivered_before = self.redelivered_before.max(self.sent),
                None => self.skip_lost(),
            }
        }
        self.left();
    }

    /// Handles the death of the reader's process. Messages before `kept` are confirmed.
    /// `waited_for`: whether the publisher waits for this reader.
    pub(super) fn died(
        &mut self,
        kept: u64,
        redelivery: Redelivery,
        waited_for: bool,
    ) -> AfterDeath {
        if self.sent <= kept {
            // The process had no unconfirmed message, so this death proves nothing and earlier ones
            // still count.
            self.sent = 0;
            return AfterDeath::Continue;
        }
        let Some(limit) = redelivery.deaths(waited_for) else {
            self.skip_lost();
            return AfterDeath::Continue;
        };
        let sent = std::mem::take(&mut self.sent);
        self.redelivered_before = self.redelivered_before.max(sent);
        // The message was certainly in flight at the death only if it was sent alone.
        if self.is_suspect(kept) && sent - kept == 1 {
            let (before, reason, value) = (kept + 1, gap::DEAD_LETTERED, EdgeValue::DeadLettered);
            self.skip = Some(Skip { before, reason, value });
            self.clear();
            return AfterDeath::DeadLetter;
        }
        if let Some(enough) = limit.checked_sub(1) {
            self.remember(kept, sent, (enough as usize).max(1));
        }
        AfterDeath::Continue
    }

    /// Remembers the death of a process that had the messages from `kept` to `sent`. After `enough`
    /// such deaths a message is a suspect.
    fn remember(&mut self, kept: u64, sent: u64, enough: usize) {
        self.deaths.retain(|before| *before > kept);
        self.deaths.push(sent);
        self.deaths.sort_unstable_by(|one, other| other.cmp(one));
        self.deaths.truncate(enough);
        self.suspect_before = self.deaths.get(enough - 1).copied().unwrap_or(0);
    }

    fn clear(&mut self) {
        self.deaths.clear();
        self.suspect_before = 0;
    }

    fn skip_lost(&mut self) {
        let before = self.skip.map_or(0, |skip| skip.before).max(self.sent);
        let (reason, value) = (gap::LOST, EdgeValue::Unknown);
        self.sent = 0;
        self.skip = Some(Skip { before, reason, value });
    }

    /// Returns the gap that replaces the messages from `next` on, if they are skipped.
    pub(super) fn skip(&self, next: u64) -> Option<Skip> {
        self.skip.filter(|skip| next < skip.before)
    }

    /// Whether a message may have been sent to an earlier process.
    pub(super) fn is_redelivered(&self, sequence: u64) -> bool {
        sequence < self.redelivered_before
    }

    /// Whether the history ends before `next`: later messages need no mark, no gap and no special
    /// care.
    pub(super) fn is_over(&self, next: u64) -> bool {
        let is_sent_later = self.is_in_doubt || self.is_suspect(next);
        !self.is_redelivered(next) && !is_sent_later && self.skip(next).is_none()
    }

    /// Whether a message may have killed earlier processes. It is sent only when its readers ask
    /// for it.
    pub(super) fn is_suspect(&self, sequence: u64) -> bool {
        sequence < self.suspect_before
    }

    /// Whether a message must wait until all messages before it are confirmed. A suspect is sent
    /// alone, so the suspect and the message after it wait. Messages before `kept` are confirmed.
    pub(super) fn waits(&self, sequence: u64, kept: u64) -> bool {
        self.is_suspect(kept) && sequence > kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THREE: Redelivery = Redelivery::AtLeastOnce { deaths: 3 };

    #[derive(Default)]
    struct Reader {
        history: DeliveryHistory,
        kept: u64,
    }

    impl Reader {
        /// Runs a process that gets all messages that may be sent, confirms the ones before
        /// `confirmed`, and dies.
        fn life(&mut self, ready: u64, confirmed: u64) -> AfterDeath {
            let Reader { history, kept } = self;
            let mut next = history.skip(*kept).map_or(*kept, |skip| skip.before);
            *kept = (*kept).max(next.min(confirmed));
            while next < ready {
                if history.waits(next, *kept) {
                    if *kept >= confirmed {
                        break;
                    }
                    *kept += 1;
                    continue;
                }
                next += 1;
                history.sent(next);
            }
            *kept = (*kept).max(confirmed.min(next));
            history.died(*kept, THREE, true)
        }
    }

    #[test]
    fn only_the_message_in_flight_at_three_deaths_is_dead_lettered() {
        let mut reader = Reader::default();
        // Message 5 kills the process, whose confirmations are late.
        assert_eq!(reader.life(10, 2), AfterDeath::Continue);
        assert!(reader.history.is_redelivered(9) && !reader.history.is_redelivered(10));
        assert_eq!(reader.life(10, 2), AfterDeath::Continue);
        assert_eq!(reader.life(10, 5), AfterDeath::DeadLetter);
        assert_eq!(reader.history.skip(5).map(|skip| skip.before), Some(6));
        assert_eq!((reader.history.skip(6), reader.kept), (None, 5));
    }

    #[test]
    fn a_reader_that_makes_progress_loses_nothing() {
        let mut reader = Reader::default();
        for round in 1..100 {
            assert_eq!(reader.life(10 * round + 10, 10 * round), AfterDeath::Continue);
        }
    }

    #[test]
    fn a_message_that_not_all_dead_processes_had_is_kept() {
        let mut reader = Reader::default();
        assert_eq!(reader.life(10, 0), AfterDeath::Continue);
        // The last of these messages kills the next process, which has got more messages by then.
        assert_eq!(reader.life(20, 9), AfterDeath::Continue);
        // This process gets past the messages of the first one. Message 15 can have killed only two
        // processes.
        assert_eq!(reader.life(20, 15), AfterDeath::Continue);
        assert_eq!([15, 16].map(|next| reader.history.waits(next, reader.kept)), [false, true]);
        assert_eq!(reader.life(20, 15), AfterDeath::DeadLetter);
        assert_eq!(reader.history.skip(15).map(|skip| skip.before), Some(16));
    }

    #[test]
    fn the_last_suspect_is_sent_alone_too() {
        let mut reader = Reader::default();
        assert_eq!([9, 9].map(|confirmed| reader.life(10, confirmed)), [AfterDeath::Continue; 2]);
        // More messages have arrived meanwhile.
        assert_eq!(reader.life(20, 9), AfterDeath::DeadLetter);
    }

    #[test]
    fn at_most_once_is_a_gap_and_no_redelivery() {
        let mut history = DeliveryHistory::default();
        history.sent(7);
        assert_eq!(history.died(3, Redelivery::AtMostOnce, true), AfterDeath::Continue);
        let skip = history.skip(3).unwrap();
        assert_eq!((skip.before, skip.reason), (7, gap::LOST));
        assert!(!history.is_redelivered(3));
    }
}
