//! The subscribing side: its calls (topics, credit, confirmations and requests for layouts), and
//! the handling of a publisher's frames.

use core::time::Duration;

use super::config::{Confirms, Interest, ReaderStart, UnsubscribeProgress};
use super::control::{
    DEMAND, Demand, Describe, Gap, Gone, LAYOUTS, Name, Piece, Reject, STARTS, Stream, text,
};
use super::error::{FragmentError, LinkError, RejectReason, SendError};
use super::event::Event;
use super::streams::{Incoming, IncomingState, InterestEntry, InterestState};
use super::tables::{IncomingId, InterestId};
use super::{Link, LinkPhase};
use crate::descriptor::Digest;

impl<const TOPICS: usize, const STREAMS: usize> Link<'_, TOPICS, STREAMS> {
    /// Subscribes to a topic, on this connection and all later ones, until
    /// [`unsubscribe`](Link::unsubscribe).
    ///
    /// # Errors
    /// [`SendError::Topics`] if this side has no room for another interest, [`SendError::Type`] if
    /// the type is 0, [`SendError::Numbers`] if the link has used all its numbers.
    pub fn subscribe(&mut self, interest: Interest) -> Result<InterestId, SendError> {
        if interest.type_id == 0 {
            return Err(SendError::Type);
        }
        let number = self.next_number().ok_or(SendError::Numbers)?;
        let interest = Interest { window: interest.window.max(1), ..interest };
        let entry = InterestEntry { interest, state: InterestState::Due, discarded: 0 };
        let id = self.interests.insert(number, entry).ok_or(SendError::Topics { limit: TOPICS })?;
        self.last_number = number;
        self.topics_changed = true;
        Ok(id)
    }

    /// Makes unknown streams of this interest start with the next message, from the next connection
    /// on. Call it if this side has lost a stream that it had read from: otherwise it would get
    /// messages again.
    ///
    /// # Errors
    /// [`SendError::Gone`] if the interest does not exist.
    pub fn start_at_next(&mut self, id: InterestId) -> Result<(), SendError> {
        self.interests.get(id)?.interest.start = ReaderStart::Next;
        Ok(())
    }

    /// Ends a subscription. Messages that arrive before the peer's confirmation are discarded and
    /// counted.
    ///
    /// # Errors
    /// [`SendError::Gone`] if the interest does not exist.
    pub fn unsubscribe(&mut self, id: InterestId) -> Result<UnsubscribeProgress, SendError> {
        let down = self.phase == LinkPhase::Down;
        self.topics_changed = true;
        let entry = self.interests.get(id)?;
        let is_known = self.incoming.iter().any(|(_, stream)| stream.interest == id);
        let state = match entry.state {
            _ if down => None,
            InterestState::Due => is_known.then_some(InterestState::SubscribeThenUnsubscribeDue),
            InterestState::Subscribed | InterestState::Rejected => {
                Some(InterestState::UnsubscribeDue)
            }
            other => Some(other),
        };
        let Some(state) = state else {
            self.forget_interest(id);
            return Ok(UnsubscribeProgress::Done);
        };
        entry.state = state;
        let streams = self.incoming.iter_mut().filter(|(_, stream)| stream.interest == id);
        streams.for_each(|(_, stream)| stream.unsubscribed = true);
        Ok(UnsubscribeProgress::Pending)
    }

    /// Grants `count` more credit to a stream, in its [unit](super::Unit), at most up to its
    /// window.
    ///
    /// # Errors
    /// [`SendError::Gone`] if the stream does not exist or has ended.
    #[inline]
    pub fn grant(&mut self, stream: IncomingId, count: u32) -> Result<(), SendError> {
        let stream = self.incoming.get(stream)?;
        if stream.has_ended() || stream.finished {
            return Err(SendError::Gone);
        }
        let most = stream.used + u64::from(stream.window);
        stream.granted = stream.granted.saturating_add(u64::from(count)).min(most);
        self.streams_changed = true;
        Ok(())
    }

    /// Confirms the messages of a stream before a sequence, so that their sender may drop them: for
    /// callers with [`Confirms::ByCaller`]. A confirmation stays valid on later connections and
    /// after the end of the stream. It is limited to the messages that have arrived over the link,
    /// and never moves back. Messages in [shared memory](Event::Region) are confirmed there.
    ///
    /// # Errors
    /// [`SendError::Gone`] if the stream does not exist.
    pub fn confirm(
        &mut self,
        now: Duration,
        stream: IncomingId,
        before: u64,
    ) -> Result<(), SendError> {
        let stream = self.incoming.get(stream)?;
        if stream.confirm(now, before) {
            self.schedule_confirm(now);
        }
        Ok(())
    }

    /// Returns whether the peer has yet to learn of a confirmation of this stream.
    #[must_use]
    pub fn has_unsent_confirmation(&mut self, stream: IncomingId) -> bool {
        self.incoming.get(stream).is_ok_and(|stream| stream.unconfirmed.is_some())
    }

    /// Signals to the peer that a reader of the stream waits for messages. Call it once per
    /// connection. Does nothing if the peer does not support it.
    ///
    /// # Errors
    /// [`SendError::Room`] until bytes are transmitted, [`SendError::Gone`] if the stream is not
    /// open on this connection, [`SendError::Down`] if the link is not up.
    pub fn signal_demand(&mut self, now: Duration, stream: IncomingId) -> Result<(), SendError> {
        let remote = self.incoming.get(stream)?.remote.ok_or(SendError::Gone)?;
        if self.is_up() && !self.peer_signals_demand() {
            return Ok(());
        }
        self.send_control(now, remote, 0, &Demand::new([0; 6]))
    }

    /// Returns whether the link is up and the peer reads where a subscription
    /// [starts](ReaderStart). If not, each starts with the next message.
    #[must_use]
    pub fn peer_reads_starts(&self) -> bool {
        self.peer_has(STARTS)
    }

    /// Returns whether the link is up and the peer signals when its readers wait for messages.
    #[must_use]
    pub fn peer_signals_demand(&self) -> bool {
        self.peer_has(DEMAND)
    }

    /// Returns whether the link is up and the peer answers [`describe`](Link::describe). The peer's
    /// features frame, its first after the hello, says so.
    #[must_use]
    pub fn peer_describes(&self) -> bool {
        self.peer_has(LAYOUTS)
    }

    /// Requests the peer's layout of a topic's messages, from byte `offset` of its [canonical
    /// form](crate::Descriptor::canonical) on; with an empty topic the peer's catalogue, from this
    /// byte on. One [`Event::Described`] answers. Wait for it before the next request, which may
    /// replace this one.
    ///
    /// # Errors
    /// [`SendError::Room`] until bytes are transmitted, [`SendError::Down`] if the link is not up,
    /// [`SendError::Gone`] if the peer does not answer such requests.
    pub fn describe(&mut self, now: Duration, topic: Name, offset: u32) -> Result<(), SendError> {
        if self.is_up() && !self.peer_describes() {
            return Err(SendError::Gone);
        }
        self.send_control(now, 0, 0, &Describe::new(0, offset, topic))
    }
}

/// Handles the received frames of a publisher: answers to subscriptions, streams with their gaps
/// and ends, and layouts.
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
            // The peer will also answer the unsubscribe, which is on its way.
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
        let InterestEntry { interest: Interest { type_id, window, unit, .. }, state, .. } = *entry;
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
        let retains = frame.retains.get() != 0;
        let event = |stream, resumed| Event::Stream {
            stream,
            interest,
            publisher,
            epoch,
            first,
            resumed,
            retains,
        };
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
        let stream = Incoming {
            remote: Some(remote),
            interest,
            type_id,
            epoch,
            next: first,
            window,
            unit,
            // The peer has credit for the whole window.
            granted: window.into(),
            granted_sent: window.into(),
            used: 0,
            confirmed: first,
            confirmed_sent: first,
            unconfirmed: None,
            by_caller: self.config.confirms == Confirms::ByCaller,
            redelivered_before: 0,
            unsubscribed,
            state: IncomingState::Live,
            in_memory: false,
            left: None,
            finished: false,
            last_confirmation: 0,
            keeps,
            open: None,
        };
        let id =
            self.insert_incoming(number, stream).ok_or(LinkError::TooMany { limit: STREAMS })?;
        self.last_number = number;
        Ok((!unsubscribed).then_some(event(id, None)))
    }

    /// Stores a stream. If no place is free, replaces a finished stream that is kept in case of a
    /// lost connection.
    fn insert_incoming(&mut self, number: u32, stream: Incoming) -> Option<IncomingId> {
        if self.incoming.iter().count() == STREAMS {
            // The peer opens another stream, so it knows of at least one of these that it is
            // confirmed, and learns that of the others later.
            let spare =
                self.incoming.iter().filter_map(|(id, it)| Some((it.forgettable_since()?, id)));
            let (_, first) = spare.min_by_key(|(since, _)| *since)?;
            self.incoming.remove(first);
        }
        self.incoming.insert(number, stream)
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
        // The peer must learn that all messages are confirmed, unless it already knows.
        stream.state = IncomingState::Ended;
        if stream.next == stream.confirmed_sent {
            stream.finish();
        }
        Ok(event)
    }

    pub(super) fn on_piece<'a>(
        &mut self,
        piece: &'a Piece,
    ) -> Result<Option<Event<'a>>, LinkError> {
        let found = usize::from(piece.length.get());
        let (offset, total) = (piece.offset.get(), piece.total.get());
        let Some(bytes) = piece.bytes.get(..found) else {
            return Err(LinkError::Piece { offset, total, length: piece.length.get() });
        };
        // An empty piece is valid at any offset.
        let end = offset.checked_add(found as u32);
        if found > 0 && end.is_none_or(|end| end > total) {
            return Err(LinkError::Piece { offset, total, length: piece.length.get() });
        }
        Ok(Some(Event::Described { offset, total, bytes }))
    }

    /// Returns a stream that is open on this connection, and whose messages arrive over the link.
    pub(super) fn live_stream(
        &mut self,
        number: u32,
    ) -> Result<(IncomingId, &mut Incoming), LinkError> {
        let (id, stream) = self.known_stream(number)?;
        stream.check_live(number)?;
        Ok((id, stream))
    }

    /// Returns the stream that was opened on this connection with this number. No later stream of
    /// the connection gets the same number.
    pub(super) fn known_stream(
        &mut self,
        number: u32,
    ) -> Result<(IncomingId, &mut Incoming), LinkError> {
        let found = self.incoming.find(|stream| stream.remote == Some(number));
        found.ok_or(LinkError::Stream { number })
    }

    /// Returns an interest that the peer knows on this connection.
    pub(super) fn sent_interest(
        &mut self,
        number: u32,
    ) -> Result<(InterestId, &mut InterestEntry), LinkError> {
        let found = self.interests.numbered(number).filter(|(_, entry)| !entry.is_due());
        found.ok_or(LinkError::Subscription { number })
    }
}
