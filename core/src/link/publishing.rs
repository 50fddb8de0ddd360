//! The calls of the publishing side: answers to subscriptions, streams and messages.

use core::time::Duration;

use super::Link;
use super::control::{CONTROL_RESERVE, End, Gap, Gone, Name, Stream};
use super::error::SendError;
use super::ids::{ExportId, OutgoingId};
use super::reason::RejectReason;
use super::streams::{Outgoing, OutgoingState};
use super::topics::{ExportEntry, ExportState};
use crate::descriptor::Digest;
use crate::envelope::Envelope;
use crate::frame::{head_len, write_frame};

impl<const TOPICS: usize, const STREAMS: usize> Link<'_, TOPICS, STREAMS> {
    /// Accepts a subscription: the topic is sent, or will be.
    ///
    /// # Errors
    /// [`SendError::Gone`] if the peer is no longer subscribed.
    pub fn accept(&mut self, export: ExportId) -> Result<(), SendError> {
        let entry = self.open_export(export)?;
        if entry.state == ExportState::Undecided {
            entry.state = ExportState::AcceptDue;
        }
        self.topics_changed = true;
        Ok(())
    }

    /// Rejects a subscription, or ends an accepted one. The reject follows all frames of its
    /// streams. `digest` is this side's if the layout is the reason, else zero.
    ///
    /// # Errors
    /// [`SendError::Gone`] if the peer is no longer subscribed.
    pub fn reject(
        &mut self,
        export: ExportId,
        reason: RejectReason,
        digest: Digest,
    ) -> Result<(), SendError> {
        self.open_export(export)?.state = ExportState::RejectDue(reason, digest);
        self.topics_changed = true;
        self.forget_streams(export);
        Ok(())
    }

    /// Opens a stream of a topic: one start of a publisher, whose next message is `first`, and
    /// which can keep `keeps` unconfirmed messages. Accepts the subscription. If the peer wants to
    /// resume this stream ([`Event::Resume`](super::Event::Resume)), `first` is the peer's sequence
    /// or after it.
    ///
    /// # Errors
    /// [`SendError::Gone`] if the peer is no longer subscribed, [`SendError::Streams`] if the peer
    /// has no room for another stream beside those that it wants to resume,
    /// [`SendError::Exhausted`] if `first` is `u64::MAX`, [`SendError::Numbers`] as
    /// [`subscribe`](Link::subscribe), [`SendError::Room`] as [`send`](Link::send).
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
        let known = self.resumes.find(|entry| entry.export == export && entry.epoch == epoch);
        let known = known.map(|(id, _)| id);
        let limit = STREAMS.min(self.peer.streams);
        // Streams that the peer has not named yet already use a place there.
        let taken = self.outgoing.iter().count() + self.resumes.iter().count() + self.peer.known;
        if known.is_none() && taken >= limit {
            return Err(SendError::Streams { limit });
        }
        self.queue_due(now);
        let ExportEntry { type_id, window, number: subscription, .. } =
            *self.exports.get(export)?;
        let number = self.next_number().ok_or(SendError::Numbers)?;
        let stream = Stream::new(0, subscription, epoch, keeps, 0, publisher);
        self.send_control(now, number, first, &stream)?;
        self.last_number = number;
        // A resumed stream has no credit until a window frame says how much is left.
        let granted = if known.is_some() { 0 } else { u64::from(window) };
        known.into_iter().for_each(|id| self.resumes.remove(id));
        // The peer confirms a resumed stream at once. Until then it must not count as confirmed, or
        // an end would remove the entry too early.
        let confirmed = if known.is_some() { first.saturating_sub(1) } else { first };
        let (next, sent, state, open) = (first, 0, OutgoingState::Live, None);
        let stream =
            Outgoing { number, export, type_id, next, confirmed, granted, sent, state, open };
        self.outgoing.insert(stream).ok_or(SendError::Streams { limit })
    }

    /// For a resumed stream: its messages from `sequence` on are not confirmed yet, even if some of
    /// them arrived on an earlier connection. Without this call, all messages before its first one
    /// count as confirmed. Of a stream that [moved](Link::move_stream), name the first message that
    /// is not confirmed over the link.
    ///
    /// # Errors
    /// [`SendError::Gone`] if the stream does not exist.
    pub fn unconfirmed_from(&mut self, stream: OutgoingId, sequence: u64) -> Result<(), SendError> {
        let stream = self.outgoing.get(stream)?;
        stream.confirmed = stream.confirmed.min(sequence);
        Ok(())
    }

    /// Answers an [`Event::Resume`](super::Event::Resume): the stream no longer exists.
    ///
    /// # Errors
    /// [`SendError::Gone`] if the peer did not ask to resume it, or is no longer subscribed,
    /// [`SendError::Room`] as [`send`](Link::send).
    pub fn refuse_resume(
        &mut self,
        now: Duration,
        export: ExportId,
        epoch: u64,
    ) -> Result<(), SendError> {
        let known = self.resumes.find(|entry| entry.export == export && entry.epoch == epoch);
        let (id, _) = known.ok_or(SendError::Gone)?;
        let subscription = self.open_export(export)?.number;
        self.send_control(now, 0, 0, &Gone::new(0, subscription, epoch))?;
        self.resumes.remove(id);
        Ok(())
    }

    /// The credit of a stream: how many messages it may send now.
    #[must_use]
    #[inline]
    pub fn credit(&mut self, stream: OutgoingId) -> u64 {
        self.outgoing.get(stream).map_or(0, |stream| stream.granted - stream.sent)
    }

    /// The sequence of a stream's next message; of one that [moved](Link::move_stream), the
    /// sequence at which it moved.
    ///
    /// # Errors
    /// [`SendError::Gone`] if the stream does not exist.
    pub fn sequence(&mut self, stream: OutgoingId) -> Result<u64, SendError> {
        self.outgoing.get(stream).map(|stream| stream.next)
    }

    /// Sends the next message of a stream. The stream sets type, stream and sequence of the
    /// envelope.
    ///
    /// # Errors
    /// The call has no effect then. [`SendError::Credit`] until
    /// [`Event::Window`](super::Event::Window), [`SendError::Room`] until bytes are transmitted,
    /// [`SendError::Open`] until a message that was sent [in part](Link::send_fragment) is
    /// complete. [`SendError::TooLong`], [`SendError::Moved`], [`SendError::Gone`] and
    /// [`SendError::Down`] are final.
    // Inlined, so that a new envelope stays in registers.
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
        // As the peer's limit: without the padding.
        let length = head_len(&envelope, None) + payload.len();
        if length > longest {
            return Err(SendError::TooLong { length, limit: longest as u32 });
        }
        let needed = length.next_multiple_of(8);
        if self.stalled || self.out.room() < needed + CONTROL_RESERVE {
            self.out.flush();
            return Err(SendError::Room { needed: needed + CONTROL_RESERVE, capacity });
        }
        // It fits.
        self.out.append(now, needed, |place| _ = write_frame(place, &envelope, fixed_len, payload));
        entry.sent_one();
        Ok(())
    }

    /// The longest frame of a message that is sent whole, without its padding.
    #[inline]
    pub(super) fn longest(&self, envelope: &Envelope) -> usize {
        let buffer = (self.out.capacity() - CONTROL_RESERVE) & !7;
        let fragment = self.config.fragment.saturating_add(head_len(envelope, None));
        buffer.min(self.peer.max_frame as usize).min(fragment)
    }

    /// Sends a gap: the next `missed` messages of a stream are not sent. The first of them may be
    /// one that was sent [in part](Link::send_fragment).
    ///
    /// # Errors
    /// [`SendError::Room`], [`SendError::Moved`] and [`SendError::Gone`] as [`send`](Link::send).
    pub fn skip(
        &mut self,
        now: Duration,
        stream: OutgoingId,
        missed: u64,
        reason: u16,
    ) -> Result<(), SendError> {
        let entry = self.outgoing.get(stream)?;
        entry.check_live()?;
        let next = entry.next.checked_add(missed).filter(|next| *next < u64::MAX);
        let (number, next) = (entry.number, next.ok_or(SendError::Exhausted)?);
        if missed == 0 {
            return Ok(());
        }
        self.send_control(now, number, next, &Gap::new(reason, 0, missed))?;
        let entry = self.outgoing.get(stream)?;
        (entry.next, entry.open) = (next, None);
        Ok(())
    }

    /// Ends a stream, after all that was sent of it. [`Event::Window`] says when all its messages
    /// are confirmed, unless they are already ([`unconfirmed`](Link::unconfirmed)).
    ///
    /// # Errors
    /// [`SendError::Room`], [`SendError::Open`], [`SendError::Moved`] and [`SendError::Gone`] as
    /// [`send`](Link::send).
    ///
    /// [`Event::Window`]: super::Event::Window
    pub fn end_stream(&mut self, now: Duration, stream: OutgoingId) -> Result<(), SendError> {
        let entry = self.outgoing.get(stream)?;
        entry.check_live()?;
        if entry.open.is_some() {
            return Err(SendError::Open);
        }
        let next = entry.next;
        self.send_end(now, stream, next)
    }

    /// Ends a stream before a sequence.
    pub(super) fn send_end(
        &mut self,
        now: Duration,
        stream: OutgoingId,
        before: u64,
    ) -> Result<(), SendError> {
        let Outgoing { number, next, confirmed, .. } = *self.outgoing.get(stream)?;
        self.send_control(now, number, before, &End::new([0; 6]))?;
        if confirmed == next {
            self.outgoing.remove(stream);
        } else {
            self.outgoing.get(stream)?.state = OutgoingState::Ended;
        }
        Ok(())
    }

    /// How many messages of a stream are not confirmed, gaps included; 0 if it does not exist. Of
    /// one that [moved](Link::move_stream), these are messages before it moved.
    #[must_use]
    pub fn unconfirmed(&mut self, stream: OutgoingId) -> u64 {
        self.outgoing.get(stream).map_or(0, |stream| stream.next - stream.confirmed)
    }

    /// Removes the streams of an export.
    pub(super) fn forget_streams(&mut self, export: ExportId) {
        self.outgoing.retain(|stream| stream.export != export);
        self.resumes.retain(|stream| stream.export != export);
    }

    /// An export that is not rejected and not unsubscribed.
    fn open_export(&mut self, export: ExportId) -> Result<&mut ExportEntry, SendError> {
        let entry = self.exports.get(export)?;
        if entry.is_open() { Ok(entry) } else { Err(SendError::Gone) }
    }
}
