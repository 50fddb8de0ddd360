//! What earlier processes of a reader may have had of one publisher's messages, and what becomes of these.

use super::gap;
use crate::counters::EdgeValue;

/// What becomes of messages that were sent to a process of a reader and not confirmed when it died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Redelivery {
    /// They are sent to its next process, marked as redelivered. A message that may be the cause of `deaths` deaths is
    /// given up if it was alone with the last of the processes: it becomes a dead letter of the link.
    AtLeastOnce {
        /// The number of deaths. With 0 no message is given up. 1 counts as 2: at the first death nobody knows which
        /// message was in hand.
        deaths: u32,
    },
    /// They are not sent again: the next process is told how many they are.
    AtMostOnce,
}

impl Default for Redelivery {
    fn default() -> Redelivery {
        Redelivery::AtLeastOnce { deaths: 3 }
    }
}

impl Redelivery {
    /// The number of deaths after which a message is given up, or `None` if messages are not sent
    /// again. They never are to a reader that its publisher does not wait for.
    fn deaths(self, waited_for: bool) -> Option<u32> {
        match self {
            Redelivery::AtLeastOnce { deaths } if waited_for => Some(deaths),
            _ => None,
        }
    }
}

/// Messages that are not sent any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Skip {
    /// All before this sequence.
    pub(super) before: u64,
    /// Why, as a gap says it.
    pub(super) reason: u16,
    /// How they are counted.
    pub(super) value: EdgeValue,
}

/// What is remembered of one source from one process of its reader to the next.
#[derive(Debug, Default)]
pub(super) struct DeliveryHistory {
    /// Messages before this sequence were sent to the present process, on this connection or an earlier one.
    sent: u64,
    /// Those before this one were sent to a process that is gone.
    redelivered_before: u64,
    /// How far messages had been sent to each process that died with the first one that is not confirmed now, the farthest
    /// first. At most as many as it takes to suspect a message.
    deaths: Vec<u64>,
    /// Messages before this sequence were with as many dead processes as are allowed. They are sent one at a time.
    suspect_before: u64,
    skip: Option<Skip>,
}

/// What is to be done about a message after a death of its reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AfterDeath {
    Continue,
    /// The first message that is not confirmed is given up.
    DeadLetter,
}

impl DeliveryHistory {
    /// Messages before `next` were sent.
    pub(super) fn sent(&mut self, next: u64) {
        self.sent = self.sent.max(next);
    }

    /// Whether messages before `next` may have been sent.
    pub(super) fn knows(&self, next: u64) -> bool {
        next <= self.sent
    }

    /// The reader's process has ended in order: what it did not confirm it has not had.
    pub(super) fn left(&mut self) {
        self.sent = 0;
        self.clear();
    }

    /// The reader's process has ended in order, and could not say what it is done with: it may have had what was sent.
    /// Messages before `kept` are confirmed. `waited_for`: the publisher waits for this reader.
    pub(super) fn left_unheard(&mut self, kept: u64, redelivery: Redelivery, waited_for: bool) {
        if self.sent > kept {
            match redelivery.deaths(waited_for) {
                Some(_) => self.redelivered_before = self.redelivered_before.max(self.sent),
                None => self.skip_lost(),
            }
        }
        self.left();
    }

    /// The reader's process has died; its messages before `kept` are confirmed. `waited_for`: the publisher waits for this
    /// reader.
    pub(super) fn died(
        &mut self,
        kept: u64,
        redelivery: Redelivery,
        waited_for: bool,
    ) -> AfterDeath {
        if self.sent <= kept {
            // It had none of them. What is known of earlier deaths stays.
            self.sent = 0;
            return AfterDeath::Continue;
        }
        let Some(limit) = redelivery.deaths(waited_for) else {
            self.skip_lost();
            return AfterDeath::Continue;
        };
        let sent = std::mem::take(&mut self.sent);
        self.redelivered_before = self.redelivered_before.max(sent);
        // Only of one that was alone is it known that it was in hand.
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

    /// A process has died that had messages from `kept` on and before `sent`. With `enough` such deaths a message is a
    /// suspect.
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

    /// What is to be said instead of the messages from `next` on.
    pub(super) fn skip(&self, next: u64) -> Option<Skip> {
        self.skip.filter(|skip| next < skip.before)
    }

    /// Whether an earlier process may have had a message.
    pub(super) fn is_redelivered(&self, sequence: u64) -> bool {
        sequence < self.redelivered_before
    }

    /// Whether nothing is to be said of the messages from `next` on, beside what they are.
    pub(super) fn is_over(&self, next: u64) -> bool {
        !self.is_redelivered(next) && !self.is_suspect(next) && self.skip(next).is_none()
    }

    /// Whether a message is one of those that an earlier process may have died of: it is sent when its readers ask for it.
    pub(super) fn is_suspect(&self, sequence: u64) -> bool {
        sequence < self.suspect_before
    }

    /// Whether a message waits until all before it are confirmed, of which those from `kept` on are not: a suspect is alone,
    /// whatever comes behind it.
    pub(super) fn waits(&self, sequence: u64, kept: u64) -> bool {
        self.is_suspect(kept) && sequence > kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THREE: Redelivery = Redelivery::AtLeastOnce { deaths: 3 };

    /// A process to which messages are sent as far as they may be, which confirms all before `confirmed`, and dies.
    fn life(past: &mut DeliveryHistory, kept: &mut u64, ready: u64, confirmed: u64) -> AfterDeath {
        let mut next = past.skip(*kept).map_or(*kept, |skip| skip.before);
        *kept = (*kept).max(next.min(confirmed));
        while next < ready {
            if past.waits(next, *kept) {
                if *kept >= confirmed {
                    break;
                }
                *kept = (*kept + 1).min(confirmed);
                continue;
            }
            next += 1;
            past.sent(next);
        }
        *kept = (*kept).max(confirmed.min(next));
        past.died(*kept, THREE, true)
    }

    #[test]
    fn the_message_in_hand_at_three_deaths_is_given_up_and_no_other() {
        let (mut past, mut kept) = (DeliveryHistory::default(), 0);
        // It dies of message 5, and confirms late what it did before.
        assert_eq!(life(&mut past, &mut kept, 10, 2), AfterDeath::Continue);
        assert!(past.is_redelivered(9) && !past.is_redelivered(10));
        assert_eq!(life(&mut past, &mut kept, 10, 2), AfterDeath::Continue);
        assert_eq!(life(&mut past, &mut kept, 10, 5), AfterDeath::DeadLetter);
        assert_eq!(past.skip(5).map(|skip| skip.before), Some(6));
        assert_eq!(past.skip(6), None);
        assert_eq!(kept, 5);
    }

    #[test]
    fn who_gets_on_gives_nothing_up() {
        let (mut past, mut kept) = (DeliveryHistory::default(), 0);
        for round in 1..100 {
            assert_eq!(
                life(&mut past, &mut kept, 10 * round + 10, 10 * round),
                AfterDeath::Continue
            );
        }
    }

    #[test]
    fn a_message_that_was_not_with_all_of_the_dead_is_not_given_up() {
        let (mut past, mut kept) = (DeliveryHistory::default(), 0);
        assert_eq!(life(&mut past, &mut kept, 10, 0), AfterDeath::Continue);
        // The next one dies of the last of these, and has more by then.
        assert_eq!(life(&mut past, &mut kept, 20, 9), AfterDeath::Continue);
        // It gets beyond what the first one had: of message 15 only two of them can have died.
        assert_eq!(life(&mut past, &mut kept, 20, 15), AfterDeath::Continue);
        assert!(past.waits(16, kept) && !past.waits(15, kept));
        assert_eq!(life(&mut past, &mut kept, 20, 15), AfterDeath::DeadLetter);
        assert_eq!(past.skip(15).map(|skip| skip.before), Some(16));
    }

    #[test]
    fn the_last_message_that_was_with_all_of_the_dead_is_alone_too() {
        let (mut past, mut kept) = (DeliveryHistory::default(), 0);
        assert_eq!(life(&mut past, &mut kept, 10, 9), AfterDeath::Continue);
        assert_eq!(life(&mut past, &mut kept, 10, 9), AfterDeath::Continue);
        // Others have come meanwhile.
        assert_eq!(life(&mut past, &mut kept, 20, 9), AfterDeath::DeadLetter);
    }

    #[test]
    fn what_is_delivered_at_most_once_is_told_and_not_sent_again() {
        let mut past = DeliveryHistory::default();
        past.sent(7);
        assert_eq!(past.died(3, Redelivery::AtMostOnce, true), AfterDeath::Continue);
        let skip = past.skip(3).unwrap();
        assert_eq!((skip.before, skip.reason), (7, gap::LOST));
        assert!(!past.is_redelivered(3));
    }
}
