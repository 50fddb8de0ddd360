//! What the peer says of the topics that this side wants: whether they come, their streams, gaps and ends.

use core::time::Duration;

use super::control::{self, text};
use super::entries::{Incoming, InterestEntry, InterestState};
use super::{Event, FragmentError, IncomingId, InterestId, Link, LinkError, RejectReason};
use crate::descriptor::Digest;

impl<const TOPICS: usize, const STREAMS: usize> Link<'_, TOPICS, STREAMS> {
    pub(super) fn on_left<'a>(&mut self, number: u32) -> Result<Option<Event<'a>>, LinkError> {
        let (interest, entry) = self.sent_interest(number)?;
        if entry.state != InterestState::Leaving {
            return Err(LinkError::Subscription { number });
        }
        let discarded = entry.discarded;
        self.forget(interest);
        Ok(Some(Event::Unsubscribed { interest, discarded }))
    }

    pub(super) fn on_accept<'a>(&mut self, number: u32) -> Result<Option<Event<'a>>, LinkError> {
        let (interest, entry) = self.sent_interest(number)?;
        let state = entry.state;
        Ok((state == InterestState::Asked).then_some(Event::Accepted { interest }))
    }

    pub(super) fn on_reject<'a>(
        &mut self,
        reject: &control::Reject,
    ) -> Result<Option<Event<'a>>, LinkError> {
        let (interest, entry) = self.sent_interest(reject.subscription.get())?;
        let (state, discarded) = (entry.state, entry.discarded);
        if state == InterestState::Asked {
            entry.state = InterestState::Rejected;
        }
        self.incoming.retain(|stream| stream.interest != interest);
        match state {
            InterestState::LeaveDue => {
                self.forget(interest);
                return Ok(Some(Event::Unsubscribed { interest, discarded }));
            }
            // The peer answers what it was told meanwhile, too.
            InterestState::Leaving => return Ok(None),
            InterestState::Due
            | InterestState::SubscribeThenUnsubscribeDue
            | InterestState::Asked
            | InterestState::Rejected => {}
        }
        let (reason, digest) = (RejectReason::of(reject.reason.get()), Digest(reject.digest));
        Ok(Some(Event::Rejected { interest, reason, digest }))
    }

    pub(super) fn on_stream<'a>(
        &mut self,
        remote: u32,
        first: u64,
        stream: &'a control::Stream,
    ) -> Result<Option<Event<'a>>, LinkError> {
        let publisher = text(&stream.publisher)?;
        let epoch = stream.epoch.get();
        let (interest, entry) = self.sent_interest(stream.subscription.get())?;
        let InterestEntry { type_id, window, state, .. } = *entry;
        if self.incoming.find(|known| known.remote == Some(remote)).is_some() {
            return Err(LinkError::SecondStream { number: remote });
        }
        if state == InterestState::Rejected {
            return Err(LinkError::Subscription { number: stream.subscription.get() });
        }
        let leaving = state != InterestState::Asked;
        let keeps = stream.keeps.get();
        if first == u64::MAX {
            return Err(LinkError::Sequence { stream: remote, expected: first - 1, found: first });
        }
        if let Some((id, known)) =
            self.incoming.find(|known| known.interest == interest && known.epoch == epoch)
        {
            if known.remote.is_some() {
                return Err(LinkError::SecondStream { number: remote });
            }
            if first < known.next {
                let expected = known.next;
                return Err(LinkError::Sequence { stream: remote, expected, found: first });
            }
            if known.over && first != known.next {
                let expected = known.next;
                return Err(LinkError::Sequence { stream: remote, expected, found: first });
            }
            let missed = first - known.next;
            known.resume(remote, first);
            let leaving = leaving || known.over;
            (known.leaving, known.keeps) = (leaving, keeps);
            let resumed = Some(missed);
            let event = Event::Stream { stream: id, interest, publisher, epoch, first, resumed };
            return Ok((!leaving).then_some(event));
        }
        let number = self.next_number().ok_or(LinkError::Numbers)?;
        let confirms = self.config.confirms;
        let mut entry = Incoming::new(number, interest, type_id, epoch, window, confirms);
        entry.begin(remote, first);
        (entry.leaving, entry.keeps) = (leaving, keeps);
        let Some(id) = self.put(entry) else {
            return Err(LinkError::TooMany { limit: STREAMS });
        };
        self.last_number = number;
        let event = Event::Stream { stream: id, interest, publisher, epoch, first, resumed: None };
        Ok((!leaving).then_some(event))
    }

    /// Puts a stream where none is, or one that has ended and is kept for a connection that may be lost.
    pub(super) fn put(&mut self, stream: Incoming) -> Option<IncomingId> {
        if self.incoming.iter().count() == STREAMS {
            // The one that ended first: since the peer begins another, it has heard what was said of that one.
            let spare = self.incoming.iter().filter(|(_, stream)| stream.is_spare());
            let (over, _) = spare.min_by_key(|(_, stream)| stream.finished)?;
            self.incoming.remove(over);
        }
        self.incoming.put(stream)
    }

    pub(super) fn on_gone<'a>(
        &mut self,
        gone: &control::Gone,
    ) -> Result<Option<Event<'a>>, LinkError> {
        let (interest, entry) = self.sent_interest(gone.subscription.get())?;
        let left = entry.state != InterestState::Asked;
        let epoch = gone.epoch.get();
        let known = |known: &Incoming| {
            known.interest == interest && known.epoch == epoch && known.remote.is_none()
        };
        let Some((stream, known)) = self.incoming.find(known) else {
            return Err(LinkError::Stream { number: 0 });
        };
        let told = left || known.over;
        self.incoming.remove(stream);
        Ok((!told).then_some(Event::Gone { stream }))
    }

    pub(super) fn on_gap<'a>(
        &mut self,
        now: Duration,
        number: u32,
        sequence: u64,
        gap: &control::Gap,
    ) -> Result<Option<Event<'a>>, LinkError> {
        let (id, stream) = self.live_stream(number)?;
        let missed = gap.missed.get();
        let next = stream.next.checked_add(missed).filter(|next| *next < u64::MAX);
        if next != Some(sequence) || missed == 0 {
            return Err(LinkError::Sequence {
                stream: number,
                expected: stream.next,
                found: sequence,
            });
        }
        (stream.next, stream.open) = (sequence, None);
        stream.arrived(now);
        let event = (!stream.leaving).then_some(Event::Gap {
            stream: id,
            missed,
            reason: gap.reason.get(),
        });
        self.schedule_confirm(now);
        Ok(event)
    }

    pub(super) fn on_end<'a>(
        &mut self,
        number: u32,
        sequence: u64,
    ) -> Result<Option<Event<'a>>, LinkError> {
        let mut ends = self.ends;
        let (id, stream) = self.live_stream(number)?;
        if sequence != stream.next {
            return Err(LinkError::Sequence {
                stream: number,
                expected: stream.next,
                found: sequence,
            });
        }
        if stream.open.is_some() {
            return Err(LinkError::Fragment { stream: number, error: FragmentError::Open });
        }
        let leaving = stream.leaving;
        // First the peer is told that all is confirmed, unless it already knows.
        stream.ended = true;
        if stream.next == stream.confirmed {
            stream.finish(&mut ends);
        }
        self.ends = ends;
        Ok((!leaving).then_some(Event::End { stream: id }))
    }

    /// A stream that has begun on this connection and has not ended.
    pub(super) fn live_stream(
        &mut self,
        number: u32,
    ) -> Result<(IncomingId, &mut Incoming), LinkError> {
        let found = self.incoming.find(|stream| stream.is_live(number));
        found.ok_or(LinkError::Stream { number })
    }

    /// A want that the peer knows of.
    pub(super) fn sent_interest(
        &mut self,
        number: u32,
    ) -> Result<(InterestId, &mut InterestEntry), LinkError> {
        match self.interests.numbered(number) {
            Some((id, interest)) if !interest.is_due() => Ok((id, interest)),
            _ => Err(LinkError::Subscription { number }),
        }
    }
}
