//! The calls of the subscribing side: topics, credit and confirmations.

use core::time::Duration;

use super::control::{DEMAND, Demand, STARTS};
use super::error::SendError;
use super::ids::{IncomingId, InterestId};
use super::interest::{Interest, ReaderStart, UnsubscribeProgress};
use super::topics::{InterestEntry, InterestState};
use super::{Link, LinkPhase};

impl<const TOPICS: usize, const STREAMS: usize> Link<'_, TOPICS, STREAMS> {
    /// Subscribes to a topic, on this connection and all later ones, until
    /// [`unsubscribe`](Link::unsubscribe).
    ///
    /// # Errors
    /// [`SendError::Topics`] if this side has no room for another interest, [`SendError::Type`] if
    /// the type is 0, [`SendError::Numbers`] if the link has used all its numbers.
    pub fn subscribe(&mut self, interest: Interest) -> Result<InterestId, SendError> {
        let Interest { topic, type_id, digest, mode, start, window } = interest;
        if type_id == 0 {
            return Err(SendError::Type);
        }
        let number = self.next_number().ok_or(SendError::Numbers)?;
        let (state, window) = (InterestState::Due, window.max(1));
        let entry = InterestEntry {
            number,
            topic,
            type_id,
            digest,
            mode,
            start,
            window,
            state,
            discarded: 0,
        };
        let id = self.interests.insert(entry).ok_or(SendError::Topics { limit: TOPICS })?;
        self.last_number = number;
        self.topics_changed = true;
        Ok(id)
    }

    /// From the next connection on, streams of this interest that this side does not know start
    /// with the next message: this side has lost a stream that it had read from, and would get
    /// messages again.
    ///
    /// # Errors
    /// [`SendError::Gone`] if the interest does not exist.
    pub fn start_at_next(&mut self, id: InterestId) -> Result<(), SendError> {
        self.interests.get(id)?.start = ReaderStart::Next;
        Ok(())
    }

    /// Ends a subscription. Until the peer has confirmed, arriving messages are discarded and
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

    /// Grants credit for `count` more messages of a stream, at most up to its window.
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

    /// Confirms the messages of a stream before a sequence, so that their sender may forget them:
    /// for callers with [`Confirms::ByCaller`](super::Confirms::ByCaller). A confirmation stays
    /// valid on later connections and after the end of the stream. It is limited to the messages
    /// that have arrived over the link, and never moves back. Messages in [shared
    /// memory](super::Event::Region) are confirmed there.
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

    /// Whether messages of a stream are confirmed and the peer does not know it yet.
    #[must_use]
    pub fn has_unsent_confirmation(&mut self, stream: IncomingId) -> bool {
        self.incoming.get(stream).is_ok_and(|stream| stream.unconfirmed.is_some())
    }

    /// Signals to the peer that a reader of the stream is waiting for messages. Call it once a
    /// connection. It does nothing if the peer does not support it.
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

    /// Whether the link is up and the peer reads where a subscription [starts](ReaderStart). If
    /// not, each starts with the next message.
    #[must_use]
    pub fn peer_reads_starts(&self) -> bool {
        self.peer_has(STARTS)
    }

    /// Whether the link is up and the peer says when its readers wait for messages.
    #[must_use]
    pub fn peer_signals_demand(&self) -> bool {
        self.peer_has(DEMAND)
    }
}
