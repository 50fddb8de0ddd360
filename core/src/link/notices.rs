//! Received frames of a publisher: answers to subscriptions, and streams with their gaps and ends.

use core::time::Duration;

use super::Link;
use super::control::{Gap, Gone, Reject, Stream, text};
use super::error::{FragmentError, LinkError};
use super::event::Event;
use super::ids::{IncomingId, InterestId};
use super::reason::RejectReason;
use super::streams::{Incoming, IncomingState};
use super::topics::{InterestEntry, InterestState};
use crate::descriptor::Digest;

impl<const TOPICS: usize, const STREAMS: usize> Link<'_, TOPICS, STREAMS> {
    pub(super) fn on_left<'a>(&mut self, number: u32) -> Result<Option<Event<'a>>, LinkError> {
        let (interest, entry) = self.sent_interest(number)?;
        if entry.state != InterestState::Unsubscribing {
            return Err(LinkError::Subscription { number });
        }
        let discarded = entry.discarded;
        self.forget_interest(interest);
        Ok(Some(Event::Unsubscribed { interest, discarded }))
    }

    pub(super) fn on_accept<'a>(&mut self, number: u32) -> Result<Option<Event<'a>>, LinkError> {
        let (interest, entry) = self.sent_interest(number)?;
        let is_subscribed = entry.state == InterestState::Subscribed;
        Ok(is_subscribed.then_some(Event::Accepted { interest }))
    }

    pub(super) fn on_reject<'a>(
        &mut self,
        reject: &Reject,
    ) -> Result<Option<Event<'a>>, LinkError> {
        let (interest, entry) = self.sent_interest(reject.subscription.get())?;
        let (state, discarded) = (entry.state, entry.discarded);
        if state == InterestState::Subscribed {
            entry.state = InterestState::Rejected;
        }
        self.incoming.retain(|stream| stream.interest != interest);
        match state {
            InterestState::UnsubscribeDue => {
                self.forget_interest(interest);
                return Ok(Some(Event::Unsubscribed { interest, discarded }));
            }
            // The peer also answers the unsubscribe that is on its way.
            InterestState::Unsubscribing => return Ok(None),
            InterestState::Due
            | InterestState::SubscribeThenUnsubscribeDue
            | InterestState::Subscribed
            | InterestState::Rejected => {}
        }
        let (reason, digest) = (RejectReason::of(reject.reason.get()), Digest(reject.digest));
        Ok(Some(Event::Rejected { interest, reason, digest }))
    }

    pub(super) fn on_stream<'a>(
        &mut self,
        remote: u32,
        first: u64,
        frame: &'a Stream,
    ) -> Result<Option<Event<'a>>, LinkError> {
        let publisher = text(&frame.publisher)?;
        let (epoch, keeps) = (frame.epoch.get(), frame.keeps.get());
        let (interest, entry) = self.sent_interest(frame.subscription.get())?;
        let InterestEntry { type_id, window, state, .. } = *entry;
        if self.incoming.find(|known| known.remote == Some(remote)).is_some() {
            return Err(LinkError::SecondStream { number: remote });
        }
        if state == InterestState::Rejected {
            return Err(LinkError::Subscription { number: frame.subscription.get() });
        }
        if first == u64::MAX {
            return Err(LinkError::Sequence { stream: remote, expected: first - 1, found: first });
        }
        let unsubscribed = state != InterestState::Subscribed;
        let event =
            |stream, resumed| Event::Stream { stream, interest, publisher, epoch, first, resumed };
        let known = |known: &Incoming| known.interest == interest && known.epoch == epoch;
        if let Some((id, stream)) = self.incoming.find(known) {
            if stream.remote.is_some() {
                return Err(LinkError::SecondStream { number: remote });
            }
            let has_moved = stream.state == IncomingState::MoveDue;
            if first < stream.next || stream.finished || has_moved {
                stream.check_sequence(remote, first)?;
            }
            let missed = first - stream.next;
            stream.resume(remote, first);
            (stream.unsubscribed, stream.keeps) = (unsubscribed || stream.finished, keeps);
            return Ok((!stream.unsubscribed).then_some(event(id, Some(missed))));
        }
        let number = self.next_number().ok_or(LinkError::Numbers)?;
        let confirms = self.config.confirms;
        let mut stream = Incoming::new(number, interest, type_id, epoch, window, confirms);
        stream.begin(remote, first);
        (stream.unsubscribed, stream.keeps) = (unsubscribed, keeps);
        let id = self.insert_incoming(stream).ok_or(LinkError::TooMany { limit: STREAMS })?;
        self.last_number = number;
        Ok((!unsubscribed).then_some(event(id, None)))
    }

    /// Stores a stream, if necessary in the place of a finished one that is kept for the case of a
    /// lost connection.
    fn insert_incoming(&mut self, stream: Incoming) -> Option<IncomingId> {
        if self.incoming.iter().count() == STREAMS {
            // The oldest: the peer opens another stream, so it knows that this one has ended.
            let spare = self.incoming.iter().filter(|(_, stream)| stream.is_spare());
            let (oldest, _) = spare.min_by_key(|(_, stream)| stream.finish_order)?;
            self.incoming.remove(oldest);
        }
        self.incoming.insert(stream)
    }

    pub(super) fn on_gone<'a>(&mut self, gone: &Gone) -> Result<Option<Event<'a>>, LinkError> {
        let (interest, entry) = self.sent_interest(gone.subscription.get())?;
        let is_subscribed = entry.state == InterestState::Subscribed;
        let epoch = gone.epoch.get();
        let found = self.incoming.find(|known| {
            known.interest == interest && known.epoch == epoch && known.remote.is_none()
        });
        let (stream, known) = found.ok_or(LinkError::Stream { number: 0 })?;
        let is_news = is_subscribed && !known.finished;
        self.incoming.remove(stream);
        Ok(is_news.then_some(Event::Gone { stream }))
    }

    pub(super) fn on_gap<'a>(
        &mut self,
        now: Duration,
        number: u32,
        sequence: u64,
        gap: &Gap,
    ) -> Result<Option<Event<'a>>, LinkError> {
        let (id, stream) = self.live_stream(number)?;
        let missed = gap.missed.get();
        let next = stream.next.checked_add(missed).filter(|next| *next < u64::MAX);
        if next != Some(sequence) || missed == 0 {
            let expected = stream.next;
            return Err(LinkError::Sequence { stream: number, expected, found: sequence });
        }
        (stream.next, stream.open) = (sequence, None);
        stream.confirm_arrived(now);
        let event = (!stream.unsubscribed).then_some(Event::Gap {
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
        let found = self.incoming.find(|stream| stream.remote == Some(number));
        let (id, stream) = found.ok_or(LinkError::Stream { number })?;
        stream.check_end(number, sequence)?;
        if stream.open.is_some() {
            return Err(LinkError::Fragment { stream: number, error: FragmentError::Open });
        }
        let event = Event::End { stream: id, next: sequence };
        let event = (!stream.unsubscribed).then_some(event);
        // The peer must learn that all messages are confirmed, unless it knows already.
        stream.state = IncomingState::Ended;
        if stream.next == stream.confirmed_sent {
            stream.finish(&mut self.finished_streams);
        }
        Ok(event)
    }

    /// A stream that is open on this connection, and whose messages arrive over the link.
    pub(super) fn live_stream(
        &mut self,
        number: u32,
    ) -> Result<(IncomingId, &mut Incoming), LinkError> {
        let (id, stream) = self.known_stream(number)?;
        stream.check_live(number)?;
        Ok((id, stream))
    }

    /// A stream that was opened on this connection. Its number is not used again here.
    pub(super) fn known_stream(
        &mut self,
        number: u32,
    ) -> Result<(IncomingId, &mut Incoming), LinkError> {
        let found = self.incoming.find(|stream| stream.remote == Some(number));
        found.ok_or(LinkError::Stream { number })
    }

    /// An interest that the peer knows on this connection.
    fn sent_interest(
        &mut self,
        number: u32,
    ) -> Result<(InterestId, &mut InterestEntry), LinkError> {
        let found = self.interests.numbered(number).filter(|(_, entry)| !entry.is_due());
        found.ok_or(LinkError::Subscription { number })
    }
}
