//! The publishing side: its calls (answers to subscriptions, streams, messages and layouts), and
//! the handling of a subscriber's frames.

use core::time::Duration;

use super::Link;
use super::config::{ReaderMode, ReaderStart, StreamStart, Unit};
use super::control::{
    CONTROL_RESERVE, End, Gap, Gone, Name, PIECE, Piece, Resume, Stream, Subscribe, text,
};
use super::error::{LinkError, RejectReason, SendError};
use super::event::Event;
use super::streams::{ExportEntry, ExportState, Outgoing, OutgoingState, PendingResume};
use super::tables::{ExportId, Id, OutgoingId};
use crate::descriptor::{Descriptor, Digest};
use crate::envelope::Envelope;
use crate::frame::{head_len, write_frame};

impl<const TOPICS: usize, const STREAMS: usize> Link<'_, TOPICS, STREAMS> {
    /// Accepts a subscription: the topic's streams may be opened now or later.
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

    /// Rejects a subscription, or ends an accepted one. The reject frame follows all frames of its
    /// streams. `digest` is this side's digest if the layout is the reason, otherwise zero.
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

    /// Opens a stream of a topic: one run of a publisher. Accepts the subscription.
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
        StreamStart { epoch, first, keeps, retains }: StreamStart,
    ) -> Result<OutgoingId, SendError> {
        if first == u64::MAX {
            return Err(SendError::Exhausted);
        }
        self.accept(export)?;
        let resume = PendingResume { export, epoch };
        let known = self.resumes.iter().position(|known| *known == resume);
        let limit = STREAMS.min(self.peer.streams);
        // Streams that the peer has not named in a resume yet already use places at the peer.
        let taken = self.outgoing.iter().count() + self.resumes.len() + self.peer.known;
        if known.is_none() && taken >= limit {
            return Err(SendError::Streams { limit });
        }
        self.queue_due(now);
        let ExportEntry { type_id, window, unit, .. } = *self.exports.get(export)?;
        let number = self.next_number().ok_or(SendError::Numbers)?;
        let stream = Stream::new(u16::from(retains), export.number(), epoch, keeps, 0, publisher);
        self.send_control(now, number, first, &stream)?;
        self.last_number = number;
        // A resumed stream has no credit until a window frame says how much is left.
        let granted = if known.is_some() { 0 } else { u64::from(window) };
        if let Some(index) = known {
            self.resumes.swap_remove(index);
        }
        // The peer soon confirms a resumed stream. Until then the stream must not count as
        // confirmed, or an end would remove the entry too early.
        let confirmed = if known.is_some() { first.saturating_sub(1) } else { first };
        let (next, sent, state, open) = (first, 0, OutgoingState::Live, None);
        let stream =
            Outgoing { export, type_id, next, confirmed, window, granted, sent, unit, state, open };
        self.outgoing.insert(number, stream).ok_or(SendError::Streams { limit })
    }

    /// Sets the first unconfirmed message of a resumed stream, even if it or later ones arrived on
    /// an earlier connection. Without this call, all messages before the stream's first one count
    /// as confirmed. For a stream that [moved](Link::move_stream), name the first message that is
    /// not confirmed over the link.
    ///
    /// # Errors
    /// [`SendError::Gone`] if the stream does not exist.
    pub fn unconfirmed_from(&mut self, stream: OutgoingId, sequence: u64) -> Result<(), SendError> {
        let stream = self.outgoing.get(stream)?;
        stream.confirmed = stream.confirmed.min(sequence);
        Ok(())
    }

    /// Answers an [`Event::Resume`]: the stream no longer exists.
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
        let resume = PendingResume { export, epoch };
        let known = self.resumes.iter().position(|known| *known == resume);
        let index = known.ok_or(SendError::Gone)?;
        self.open_export(export)?;
        self.send_control(now, 0, 0, &Gone::new(0, export.number(), epoch))?;
        self.resumes.swap_remove(index);
        Ok(())
    }

    /// Returns the credit of a stream, in its [unit](super::Unit).
    #[must_use]
    #[inline]
    pub fn credit(&mut self, stream: OutgoingId) -> u64 {
        self.outgoing.get(stream).map_or(0, |stream| stream.granted - stream.sent)
    }

    /// Returns the sequence of a stream's next message; for a stream that
    /// [moved](Link::move_stream), the sequence at which it moved.
    ///
    /// # Errors
    /// [`SendError::Gone`] if the stream does not exist.
    pub fn sequence(&mut self, stream: OutgoingId) -> Result<u64, SendError> {
        self.outgoing.get(stream).map(|stream| stream.next)
    }

    /// Sends the next message of a stream. The link sets the type, stream and sequence of the
    /// envelope.
    ///
    /// # Errors
    /// The call has no effect then. [`SendError::Credit`] until [`Event::Window`],
    /// [`SendError::Room`] until bytes are transmitted, [`SendError::Open`] until a message that
    /// was sent [in part](Link::send_fragment) is complete. [`SendError::TooLong`],
    /// [`SendError::Moved`], [`SendError::Gone`] and [`SendError::Down`] are final.
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
        entry.check(payload.len())?;
        if entry.open.is_some() {
            return Err(SendError::Open);
        }
        let (type_id, stream, sequence) = (entry.type_id, stream.number(), entry.next);
        let envelope = Envelope { type_id, stream, sequence, ..*envelope };
        let fixed = usize::from(fixed_len);
        if fixed > payload.len() {
            return Err(SendError::Fixed { fixed, payload: payload.len() });
        }
        // Counts no padding, because the peer's limit does not include it.
        let length = head_len(&envelope, None) + payload.len();
        if length > longest {
            return Err(SendError::TooLong { length, limit: longest as u32 });
        }
        let needed = length.next_multiple_of(8);
        if self.stalled || self.out.room() < needed + CONTROL_RESERVE {
            self.out.flush();
            return Err(SendError::Room { needed: needed + CONTROL_RESERVE, capacity });
        }
        // Cannot fail, because the frame fits.
        self.out.append(now, needed, |place| _ = write_frame(place, &envelope, fixed_len, payload));
        entry.sent_one(payload.len());
        Ok(())
    }

    /// Returns the size limit of a frame with a whole message, without its padding, in bytes.
    #[inline]
    pub(super) fn longest(&self, envelope: &Envelope) -> usize {
        let buffer = (self.out.capacity() - CONTROL_RESERVE) & !7;
        let fragment = self.config.fragment.saturating_add(head_len(envelope, None));
        buffer.min(self.peer.max_frame as usize).min(fragment)
    }

    /// Sends a gap: the next `missed` messages of a stream are not sent. The first of them may have
    /// been sent [in part](Link::send_fragment).
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
        let next = next.ok_or(SendError::Exhausted)?;
        if missed == 0 {
            return Ok(());
        }
        self.send_control(now, stream.number(), next, &Gap::new(reason, 0, missed))?;
        let entry = self.outgoing.get(stream)?;
        (entry.next, entry.open) = (next, None);
        Ok(())
    }

    /// Ends a stream after all its messages that were sent. [`Event::Window`] reports when all of
    /// them are confirmed, unless they are already ([`unconfirmed`](Link::unconfirmed)).
    ///
    /// # Errors
    /// [`SendError::Room`], [`SendError::Open`], [`SendError::Moved`] and [`SendError::Gone`] as
    /// [`send`](Link::send).
    pub fn end_stream(&mut self, now: Duration, stream: OutgoingId) -> Result<(), SendError> {
        let entry = self.outgoing.get(stream)?;
        entry.check_live()?;
        if entry.open.is_some() {
            return Err(SendError::Open);
        }
        let next = entry.next;
        self.send_end(now, stream, next)
    }

    /// Ends a stream before this sequence.
    pub(super) fn send_end(
        &mut self,
        now: Duration,
        stream: OutgoingId,
        before: u64,
    ) -> Result<(), SendError> {
        let Outgoing { next, confirmed, .. } = *self.outgoing.get(stream)?;
        self.send_control(now, stream.number(), before, &End::new([0; 6]))?;
        if confirmed == next {
            self.outgoing.remove(stream);
        } else {
            self.outgoing.get(stream)?.state = OutgoingState::Ended;
        }
        Ok(())
    }

    /// Returns how many messages of a stream are not confirmed, including gaps; 0 if the stream
    /// does not exist. For a stream that [moved](Link::move_stream), only messages before the move
    /// count.
    #[must_use]
    pub fn unconfirmed(&mut self, stream: OutgoingId) -> u64 {
        self.outgoing.get(stream).map_or(0, |stream| stream.next - stream.confirmed)
    }

    /// Answers an [`Event::Describe`] with a piece of the layout, or with an empty piece if the
    /// peer may not read the topic. The peer requests the canonical form piece by piece; the link
    /// stores nothing between pieces. Returns whether no piece follows.
    ///
    /// # Errors
    /// [`SendError::Room`] and [`SendError::Down`] as [`describe`](Link::describe).
    pub fn answer(
        &mut self,
        now: Duration,
        descriptor: Option<&Descriptor>,
        offset: u32,
    ) -> Result<bool, SendError> {
        let mut bytes = [0; PIECE];
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let (length, total) = descriptor.map_or((0, 0), |known| known.canonical(from, &mut bytes));
        let is_last = from.saturating_add(length) >= total;
        // Cannot overflow, because no layout that compiles has more bytes than 32 bits can count.
        let (length, total) = (length as u16, u32::try_from(total).unwrap_or(u32::MAX));
        self.send_control(now, 0, 0, &Piece::new(length, offset, total, bytes))?;
        Ok(is_last)
    }

    /// Answers an [`Event::Describe`] without a topic with a piece of `catalogue`, which is the
    /// whole catalogue.
    ///
    /// # Errors
    /// [`SendError::Room`] and [`SendError::Down`] as [`describe`](Link::describe).
    pub fn answer_catalogue(
        &mut self,
        now: Duration,
        catalogue: &[u8],
        offset: u32,
    ) -> Result<(), SendError> {
        let mut bytes = [0; PIECE];
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let rest = catalogue.get(from..).unwrap_or_default();
        let length = rest.len().min(PIECE);
        bytes[..length].copy_from_slice(&rest[..length]);
        let total = u32::try_from(catalogue.len()).unwrap_or(u32::MAX);
        self.send_control(now, 0, 0, &Piece::new(length as u16, offset, total, bytes))
    }

    /// Removes the streams of an export.
    fn forget_streams(&mut self, export: ExportId) {
        self.outgoing.retain(|stream| stream.export != export);
        self.resumes.retain(|stream| stream.export != export);
    }

    /// Returns an export that is neither rejected nor unsubscribed.
    pub(super) fn open_export(&mut self, export: ExportId) -> Result<&mut ExportEntry, SendError> {
        let entry = self.exports.get(export)?;
        if entry.is_open() { Ok(entry) } else { Err(SendError::Gone) }
    }
}

/// Handles the received frames of a subscriber: subscriptions, streams to resume, credit and
/// confirmations.
impl<const TOPICS: usize, const STREAMS: usize> Link<'_, TOPICS, STREAMS> {
    pub(super) fn on_subscribe<'a>(
        &mut self,
        subscribe: &'a Subscribe,
    ) -> Result<Option<Event<'a>>, LinkError> {
        let number = subscribe.subscription.get();
        if self.exports.numbered(number).is_some() || subscribe.type_id.get() == 0 {
            return Err(LinkError::Subscription { number });
        }
        let topic = text(&subscribe.topic)?;
        let (type_id, resumes) = (subscribe.type_id.get(), subscribe.resumes.get());
        let (window, state) = (subscribe.window.get(), ExportState::Undecided);
        let unit = self.next_unit.take().filter(|(subscription, _)| *subscription == number);
        let unit = unit.map_or(Unit::MESSAGE, |(_, unit)| unit);
        let entry = ExportEntry { type_id, window, unit, resumes, state };
        let export =
            self.exports.insert(number, entry).ok_or(LinkError::TooMany { limit: TOPICS })?;
        let digest = Digest(subscribe.digest);
        let (mode, start) = (ReaderMode::of(subscribe.mode), ReaderStart::of(subscribe.start));
        Ok(Some(Event::Subscribe { export, topic, type_id, digest, mode, start, resumes }))
    }

    pub(super) fn on_resume<'a>(
        &mut self,
        resume: &Resume,
    ) -> Result<Option<Event<'a>>, LinkError> {
        self.peer.known = self.peer.known.saturating_sub(1);
        let number = resume.subscription.get();
        let found = self.exports.numbered(number).filter(|(_, entry)| entry.resumes > 0);
        let (export, entry) = found.ok_or(LinkError::Subscription { number })?;
        entry.resumes -= 1;
        if !entry.is_open() {
            // The subscription was answered before all its resumes arrived. If it was rejected, its
            // entry is removed with the last of them.
            if entry.resumes == 0 && entry.state == ExportState::Rejected {
                self.exports.remove(export);
            }
            return Ok(None);
        }
        let (epoch, next) = (resume.epoch.get(), resume.next.get());
        if next == u64::MAX {
            return Err(LinkError::Sequence { stream: 0, expected: next - 1, found: next });
        }
        let pending = PendingResume { export, epoch };
        if self.resumes.contains(&pending) {
            return Err(LinkError::SecondStream { number: 0 });
        }
        self.resumes.push(pending).map_err(|_| LinkError::TooMany { limit: STREAMS })?;
        let has_moved = resume.moved.get() == 1;
        Ok(Some(Event::Resume { export, epoch, next, has_moved }))
    }

    pub(super) fn on_unsubscribe<'a>(
        &mut self,
        number: u32,
    ) -> Result<Option<Event<'a>>, LinkError> {
        let Some((export, entry)) = self.exports.numbered(number) else {
            // A reject frame crossed this frame on the way. `Left` must be sent all the same.
            let state = ExportState::LeftDue;
            let entry =
                ExportEntry { type_id: 0, window: 0, unit: Unit::MESSAGE, resumes: 0, state };
            return match self.exports.insert(number, entry) {
                Some(_) => Ok(None),
                None => Err(LinkError::TooMany { limit: TOPICS }),
            };
        };
        // If a reject is due, the caller already knows that the export has ended.
        let was_open = entry.is_open();
        entry.state = ExportState::LeftDue;
        // The peer discards messages of this topic, so zeros may replace the rest of a run. A run
        // of a topic that this side has rejected keeps its bytes, because the peer still reads it.
        let Link { out, outgoing, .. } = self;
        out.discard_lent(|stream| outgoing.get(stream).is_ok_and(|stream| stream.export == export));
        self.forget_streams(export);
        Ok(was_open.then_some(Event::Unsubscribe { export }))
    }

    pub(super) fn on_window<'a>(
        &mut self,
        number: u32,
        confirmed: u64,
        granted: u64,
    ) -> Result<Option<Event<'a>>, LinkError> {
        let Some((id, stream)) = self.outgoing.numbered(number) else {
            return self.unknown_stream(number);
        };
        // Messages of a run count as sent, but untransmitted ones cannot have arrived.
        let transmitted = self.out.first_untransmitted(id).unwrap_or(stream.next);
        if confirmed < stream.confirmed || confirmed > transmitted || granted < stream.granted {
            return Err(LinkError::Window { stream: number });
        }
        (stream.confirmed, stream.granted) = (confirmed, granted);
        if stream.state == OutgoingState::Ended && confirmed == stream.next {
            self.outgoing.remove(id);
        }
        Ok(Some(Event::Window { stream: id, confirmed }))
    }

    /// Handles a frame about a stream that does not exist. The frame is valid if the number was
    /// used on this connection: the stream ended, or its topic was unsubscribed, while the frame
    /// was on its way.
    #[cold]
    pub(super) fn unknown_stream<'a>(&self, number: u32) -> Result<Option<Event<'a>>, LinkError> {
        if number > self.last_number_before && number <= self.last_number {
            return Ok(None);
        }
        Err(LinkError::Stream { number })
    }
}
