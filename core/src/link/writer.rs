//! What a side does for the topics that the peer wants: it answers, begins streams, and sends.

use core::time::Duration;

use super::control::{End, Gap, Gone, Stream};
use super::entries::{ExportEntry, ExportState, Outgoing};
use super::{CONTROL_RESERVE, ExportId, Link, Name, OutgoingId, RejectReason, SendError};
use crate::descriptor::Digest;
use crate::envelope::Envelope;
use crate::frame::{head_len, write_frame};

impl<const TOPICS: usize, const STREAMS: usize> Link<'_, TOPICS, STREAMS> {
    /// Sends the topic from now on.
    ///
    /// # Errors
    /// [`SendError::Gone`] if the peer does not want it any more.
    pub fn accept(&mut self, export: ExportId) -> Result<(), SendError> {
        match self.exports.get(export)? {
            entry if !is_open(entry.state) => return Err(SendError::Gone),
            entry if entry.state == ExportState::Open => entry.state = ExportState::AcceptDue,
            _ => {}
        }
        self.topics_changed = true;
        Ok(())
    }

    /// Does not send the topic, or does so no more: behind all that was said of its streams. `digest` is this side's,
    /// where the layout is why, and zero otherwise.
    ///
    /// # Errors
    /// [`SendError::Gone`] if the peer does not want it any more.
    pub fn reject(
        &mut self,
        export: ExportId,
        reason: RejectReason,
        digest: Digest,
    ) -> Result<(), SendError> {
        let entry = self.exports.get(export)?;
        if !is_open(entry.state) {
            return Err(SendError::Gone);
        }
        entry.state = ExportState::RejectDue(reason, digest);
        self.topics_changed = true;
        self.forget_export(export);
        Ok(())
    }

    /// Begins a stream for a topic that the peer wants: one start of a publisher, whose next message is
    /// `first`, and which keeps `keeps` messages that are not confirmed. Accepts the topic. A stream
    /// that the peer wants to go on with ([`Event::Resume`](super::Event::Resume)) goes on, at the
    /// peer's sequence or behind it.
    ///
    /// # Errors
    /// [`SendError::Gone`] if the peer does not want it any more, [`SendError::Streams`] if it takes no further stream
    /// while those that it wants to go on with are not answered, [`SendError::Exhausted`] if `first` is the last sequence
    /// of all, [`SendError::Numbers`] as [`want`](Link::want), [`SendError::Room`] as [`send`](Link::send).
    pub fn open_stream(
        &mut self,
        now: Duration,
        export: ExportId,
        publisher: Name,
        epoch: u64,
        first: u64,
        keeps: u32,
    ) -> Result<OutgoingId, SendError> {
        if first == u64::MAX {
            return Err(SendError::Exhausted);
        }
        self.accept(export)?;
        let known = self.resumed.find(|entry| entry.export == export && entry.epoch == epoch);
        let known = known.map(|(id, _)| id);
        let limit = STREAMS.min(self.peer.streams);
        // What it will name yet has a place there already.
        let confirmed =
            self.outgoing.iter().count() + self.resumed.iter().count() + self.peer.known;
        if known.is_none() && confirmed >= limit {
            return Err(SendError::Streams { limit });
        }
        self.queue_due(now);
        let ExportEntry { type_id, window, number: subscription, .. } =
            *self.exports.get(export)?;
        let number = self.next_number().ok_or(SendError::Numbers)?;
        let stream = Stream::new(0, subscription, epoch, keeps, 0, publisher);
        self.send_control(now, number, first, &stream)?;
        self.last_number = number;
        // A stream that goes on has what room its reader has left, and is told how much that is.
        let granted = if known.is_some() { 0 } else { u64::from(window) };
        known.into_iter().for_each(|id| self.resumed.remove(id));
        // Its place is free again when its reader has said what is confirmed, which it says at once.
        let confirmed = if known.is_some() { first.saturating_sub(1) } else { first };
        let (next, sent, ended, open) = (first, 0, false, None);
        let stream =
            Outgoing { number, export, type_id, next, confirmed, granted, sent, ended, open };
        self.outgoing.put(stream).ok_or(SendError::Streams { limit })
    }

    /// Says of a stream that goes on that its messages from `sequence` on are not confirmed yet, though some of them have
    /// arrived on an earlier connection. Without this call all before its first message count as confirmed.
    ///
    /// # Errors
    /// [`SendError::Gone`] if there is no such stream.
    pub fn unconfirmed_from(&mut self, stream: OutgoingId, sequence: u64) -> Result<(), SendError> {
        let stream = self.outgoing.get(stream)?;
        stream.confirmed = stream.confirmed.min(sequence);
        Ok(())
    }

    /// Says that a stream that the peer wants to go on with is no more.
    ///
    /// # Errors
    /// [`SendError::Gone`] if the peer does not want to go on with it, or does not want the topic any more,
    /// [`SendError::Room`] as [`send`](Link::send).
    pub fn refuse_resume(
        &mut self,
        now: Duration,
        export: ExportId,
        epoch: u64,
    ) -> Result<(), SendError> {
        let known = self.resumed.find(|entry| entry.export == export && entry.epoch == epoch);
        let (id, _) = known.ok_or(SendError::Gone)?;
        let entry = self.exports.get(export)?;
        if !is_open(entry.state) {
            return Err(SendError::Gone);
        }
        let subscription = entry.number;
        self.send_control(now, 0, 0, &Gone::new(0, subscription, epoch))?;
        self.resumed.remove(id);
        Ok(())
    }

    /// How many messages of a stream the peer has room for.
    #[must_use]
    #[inline]
    pub fn credit(&mut self, stream: OutgoingId) -> u64 {
        self.outgoing.get(stream).map_or(0, |stream| stream.granted - stream.sent)
    }

    /// The sequence of a stream's next message.
    ///
    /// # Errors
    /// [`SendError::Gone`] if there is no such stream.
    pub fn sequence(&mut self, stream: OutgoingId) -> Result<u64, SendError> {
        self.outgoing.get(stream).map(|stream| stream.next)
    }

    /// Sends the next message of a stream. Of the envelope, what is not optional is given by the stream.
    ///
    /// # Errors
    /// With nothing changed: [`SendError::Credit`] until [`Event::Window`](super::Event::Window), [`SendError::Room`] until bytes have been
    /// transmitted, [`SendError::Open`] until a message that was begun [in parts](Link::send_fragment) is sent,
    /// [`SendError::TooLong`], [`SendError::Gone`] and [`SendError::Down`] for good.
    // Inlined, an envelope that the caller has just made is never written to memory, only to be copied from there.
    #[inline(always)]
    pub fn send(
        &mut self,
        now: Duration,
        stream: OutgoingId,
        envelope: &Envelope,
        fixed_len: u16,
        payload: &[u8],
    ) -> Result<(), SendError> {
        if !self.is_up() {
            return Err(SendError::Down);
        }
        let longest = self.longest(envelope);
        let capacity = self.out.capacity();
        let entry = self.outgoing.get(stream)?;
        entry.check()?;
        if entry.open.is_some() {
            return Err(SendError::Open);
        }
        let (type_id, stream, sequence) = (entry.type_id, entry.number, entry.next);
        let envelope = Envelope { type_id, stream, sequence, ..*envelope };
        let fixed = usize::from(fixed_len);
        if fixed > payload.len() {
            return Err(SendError::Fixed { fixed, payload: payload.len() });
        }
        // The header counts what the peer's limit counts: all but the padding.
        let length = head_len(&envelope, None) + payload.len();
        if length > longest {
            return Err(SendError::TooLong { length, limit: longest as u32 });
        }
        let needed = length.next_multiple_of(8);
        if self.stalled || self.out.room() < needed + CONTROL_RESERVE {
            self.out.flush();
            return Err(SendError::Room { needed: needed + CONTROL_RESERVE, capacity });
        }
        // It fits, so it is written.
        self.out.append(now, needed, |place| _ = write_frame(place, &envelope, fixed_len, payload));
        entry.sent_one();
        Ok(())
    }

    /// The longest frame of a message that goes whole, without its padding.
    #[inline]
    pub(super) fn longest(&self, envelope: &Envelope) -> usize {
        let buffer = (self.out.capacity() - CONTROL_RESERVE) & !7;
        let fragment = self.config.fragment.saturating_add(head_len(envelope, None));
        buffer.min(self.peer.max_frame as usize).min(fragment)
    }

    /// Says that the next `missed` messages of a stream are not sent, and why. The first of them may be one of which some
    /// [parts](Link::send_fragment) were sent.
    ///
    /// # Errors
    /// [`SendError::Room`] and [`SendError::Gone`] as [`send`](Link::send).
    pub fn skip(
        &mut self,
        now: Duration,
        stream: OutgoingId,
        missed: u64,
        reason: u16,
    ) -> Result<(), SendError> {
        let entry = self.outgoing.get(stream)?;
        let next = entry.next.checked_add(missed).filter(|next| *next < u64::MAX);
        let (number, next) = (entry.number, next.ok_or(SendError::Exhausted)?);
        if entry.ended {
            return Err(SendError::Gone);
        }
        if missed == 0 {
            return Ok(());
        }
        self.send_control(now, number, next, &Gap::new(reason, 0, missed))?;
        let entry = self.outgoing.get(stream)?;
        (entry.next, entry.open) = (next, None);
        Ok(())
    }

    /// Says that the stream has ended, behind what was sent of it. It takes no more; [`Event::Window`] says when all has
    /// arrived, unless it has already ([`unconfirmed`](Link::unconfirmed)).
    ///
    /// # Errors
    /// [`SendError::Room`], [`SendError::Open`] and [`SendError::Gone`] as [`send`](Link::send).
    ///
    /// [`Event::Window`]: super::Event::Window
    pub fn end_stream(&mut self, now: Duration, stream: OutgoingId) -> Result<(), SendError> {
        let Outgoing { number, next, confirmed, ended, open, .. } = *self.outgoing.get(stream)?;
        if ended {
            return Err(SendError::Gone);
        }
        if open.is_some() {
            return Err(SendError::Open);
        }
        self.send_control(now, number, next, &End::new([0; 6]))?;
        if confirmed == next {
            self.outgoing.remove(stream);
        } else {
            self.outgoing.get(stream)?.ended = true;
        }
        Ok(())
    }

    /// How many messages of a stream have not been confirmed, gaps counted; 0 of one that is not there.
    #[must_use]
    pub fn unconfirmed(&mut self, stream: OutgoingId) -> u64 {
        self.outgoing.get(stream).map_or(0, |stream| stream.next - stream.confirmed)
    }

    /// The peer wants the topic no more, or does not get it.
    pub(super) fn forget_export(&mut self, export: ExportId) {
        self.outgoing.retain(|stream| stream.export != export);
        self.resumed.retain(|stream| stream.export != export);
    }
}

/// Whether the peer still waits for what this side says of its topic.
pub(super) fn is_open(state: ExportState) -> bool {
    matches!(state, ExportState::Open | ExportState::AcceptDue | ExportState::Accepted)
}
