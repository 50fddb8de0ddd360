//! Long messages in fragments, so that they delay other messages by one fragment only, and need no
//! buffer of their own length.
//!
//! A stream has at most one open message, its next one. The message's sequence and credit are used
//! with its last fragment. Until then no other frame of the stream follows, except a gap that
//! starts with this message and replaces the rest of it.

use core::time::Duration;

use super::Rest;
use crate::envelope::Envelope;
use crate::frame::{
    Fragment, FrameError, FrameView, head_len, write_fragment, write_fragment_head,
};
use crate::link::Link;
use crate::link::control::CONTROL_RESERVE;
use crate::link::error::{FragmentError, LinkError, SendError};
use crate::link::event::{Event, Input, LentBytes};
use crate::link::tables::{Id, IncomingId, OutgoingId};

/// The longest part of a message that is sent without a copy, in bytes.
const MAX_LENT: usize = 64 << 10;

impl<const TOPICS: usize, const STREAMS: usize> Link<'_, TOPICS, STREAMS> {
    /// Sends a part of the next message of a stream: as much of `bytes`, which start at
    /// `fragment.offset`, as the link accepts now. Returns the number of sent bytes. The caller
    /// sends the rest in later calls, until `fragment.total` is reached. A short message is sent
    /// whole. The envelope goes with the first part.
    ///
    /// The buffer contains at most one fragment, which uses at most half of it, so a caller with
    /// messages for several streams sends them in turn. Other frames may be sent in between; of the
    /// same stream only [`skip`](Link::skip), which aborts the message. A lost connection aborts it
    /// too: start again at offset 0.
    ///
    /// # Errors
    /// The call has no effect then. As [`send`](Link::send); [`SendError::Fragments`] until another
    /// fragmented message is complete; [`SendError::Fragment`] if the bytes do not continue the
    /// message, or are fewer than 8 and not the last.
    pub fn send_fragment(
        &mut self,
        now: Duration,
        stream: OutgoingId,
        envelope: &Envelope,
        fragment: Fragment,
        bytes: &[u8],
    ) -> Result<usize, SendError> {
        let rest = fragment.total.saturating_sub(fragment.offset) as usize;
        let bytes = bytes.get(..rest).unwrap_or(bytes);
        if self.begin_fragment(stream, envelope, fragment)? && bytes.len() == rest {
            return self.send(now, stream, envelope, fragment.fixed_len, bytes).map(|()| rest);
        }
        self.check_fragmented(now, fragment)?;
        // The fragment takes at most half of the buffer, so that other messages have room.
        let half = ((self.out.capacity() - CONTROL_RESERVE) / 2) & !7;
        let envelope = envelope_of(envelope, fragment);
        let head = head_len(&envelope, Some(fragment));
        let limit = half.min(self.peer.max_frame as usize);
        let most = limit.saturating_sub(head).min(self.config.fragment);
        let fits = bytes.len().min(most);
        // All fragments but the last have a multiple of 8 bytes.
        let count = if fits == rest { rest } else { fits & !7 };
        if count == 0 {
            return Err(match most {
                0..8 => SendError::TooLong { length: head + 8, limit: limit as u32 },
                _ => SendError::Fragment { expected: fragment.offset },
            });
        }
        let needed = (head + count).next_multiple_of(8);
        self.check_room(needed, self.out.has_fragment())?;
        let envelope = self.sent_fragment(stream, envelope, fragment, count)?;
        let bytes = bytes.get(..count).unwrap_or(bytes);
        self.out.append_fragment(now, needed, |place| {
            // Cannot fail, because the fragment fits.
            _ = write_fragment(place, &envelope, fragment, bytes);
        });
        Ok(count)
    }

    /// Sends a part of the next message of a stream, as [`send_fragment`](Link::send_fragment) does,
    /// but without a copy: until the part is written, [`poll_vectored`](Link::poll_vectored) returns
    /// its bytes, as it does for a [run](Link::send_run), and the caller must keep them unchanged.
    /// Returns the number of bytes in the part; 0 if the message is short: send it by
    /// [`send_fragment`](Link::send_fragment).
    ///
    /// # Errors
    /// As [`send_fragment`](Link::send_fragment); [`SendError::Room`] also until the previous run or
    /// part is written.
    pub fn lend_fragment(
        &mut self,
        now: Duration,
        stream: OutgoingId,
        envelope: &Envelope,
        fragment: Fragment,
    ) -> Result<usize, SendError> {
        if self.begin_fragment(stream, envelope, fragment)? {
            return Ok(0);
        }
        self.check_fragmented(now, fragment)?;
        let Fragment { offset, total, .. } = fragment;
        let envelope = envelope_of(envelope, fragment);
        let head = head_len(&envelope, Some(fragment));
        let limit = self.peer.max_frame;
        let most = (limit as usize).saturating_sub(head).min(MAX_LENT) & !7;
        if most == 0 {
            return Err(SendError::TooLong { length: head + 8, limit });
        }
        // Parts of about the same length, at least two.
        let part = total.div_ceil(total.div_ceil(most as u32).max(2)).next_multiple_of(8);
        let count = (total - offset).min(part) as usize;
        // The header, and zeros after the last part.
        self.check_room(head + 8, self.out.has_lent())?;
        let envelope = self.sent_fragment(stream, envelope, fragment, count)?;
        self.out.append(now, head, |place| {
            // Cannot fail, because the header fits.
            _ = write_fragment_head(place, &envelope, fragment, count);
        });
        let (first, offset) = (envelope.sequence, offset as usize);
        self.out.append_lent(LentBytes { stream, first, shape: None, offset, length: count });
        self.out.append(now, count.next_multiple_of(8) - count, |place| place.fill(0));
        Ok(count)
    }

    /// Checks that the next fragment of a stream can be this one. Returns whether the message fits
    /// into a frame that is not a fragment.
    fn begin_fragment(
        &mut self,
        stream: OutgoingId,
        envelope: &Envelope,
        fragment: Fragment,
    ) -> Result<bool, SendError> {
        let Fragment { offset, total, fixed_len } = fragment;
        if !self.is_up() {
            return Err(SendError::Down);
        }
        let entry = self.outgoing.get(stream)?;
        entry.check(total as usize)?;
        let open = entry.open;
        if open.map_or(offset != 0, |open| open != fragment) {
            return Err(SendError::Fragment { expected: open.map_or(0, |open| open.offset) });
        }
        if u32::from(fixed_len) > total {
            let payload = total.saturating_sub(offset) as usize;
            return Err(SendError::Fixed { fixed: fixed_len.into(), payload });
        }
        let length = head_len(envelope, None).saturating_add(total as usize);
        Ok(open.is_none() && length <= self.longest(envelope))
    }

    /// Checks that the buffer has room for `needed` bytes, and that the place of the fragment is not
    /// taken.
    fn check_room(&mut self, needed: usize, is_taken: bool) -> Result<(), SendError> {
        let (needed, capacity) = (needed + CONTROL_RESERVE, self.out.capacity());
        if self.stalled || is_taken || self.out.room() < needed {
            self.out.flush();
            return Err(SendError::Room { needed, capacity });
        }
        Ok(())
    }

    /// Counts a fragment of `count` bytes as sent, and returns its envelope.
    fn sent_fragment(
        &mut self,
        stream: OutgoingId,
        envelope: Envelope,
        fragment: Fragment,
        count: usize,
    ) -> Result<Envelope, SendError> {
        let entry = self.outgoing.get(stream)?;
        let (type_id, stream, sequence) = (entry.type_id, stream.number(), entry.next);
        let next = Fragment { offset: fragment.offset + count as u32, ..fragment };
        if next.offset == fragment.total {
            entry.sent_one(fragment.total as usize);
        } else {
            entry.open = Some(next);
        }
        Ok(Envelope { type_id, stream, sequence, ..envelope })
    }

    /// Checks that the peer accepts another fragmented message, unless this one is open already.
    fn check_fragmented(&mut self, now: Duration, fragment: Fragment) -> Result<(), SendError> {
        let Fragment { offset, total, .. } = fragment;
        if offset > 0 {
            return Ok(());
        }
        // A peer that accepts no fragments now will not accept them later.
        let limit = if self.peer.max_open == 0 { 0 } else { self.peer.max_message };
        if total > limit {
            return Err(SendError::TooLong { length: total as usize, limit });
        }
        // Queues due frames first: they tell the peer which streams with open messages are gone.
        self.queue_due(now);
        let limit = self.peer.max_open;
        if self.outgoing.iter().filter(|(_, stream)| stream.open.is_some()).count() >= limit {
            return Err(SendError::Fragments { limit });
        }
        Ok(())
    }

    /// Handles a fragment, or a message without a fragment extension where a fragment is expected.
    #[cold]
    pub(in crate::link) fn input_fragment<'a>(
        &mut self,
        now: Duration,
        number: u32,
        frame: FrameView<'a>,
        (fragment, whole): (Option<Fragment>, usize),
    ) -> Result<Option<Event<'a>>, LinkError> {
        let wrong = |error| LinkError::Fragment { stream: number, error };
        let fragment = fragment.ok_or(wrong(FragmentError::Open))?;
        let (most, limit) = (self.config.max_message, self.config.max_open.into());
        let open = self.incoming.iter().filter(|(_, stream)| stream.open.is_some()).count();
        let (_, stream) = self.live_stream(number)?;
        let Fragment { offset, total, fixed_len } = fragment;
        match stream.open {
            Some(open) if (open.total, open.fixed_len) != (total, fixed_len) => {
                return Err(wrong(FragmentError::Changed));
            }
            Some(Fragment { offset: expected, .. }) if expected != offset => {
                return Err(wrong(FragmentError::Offset { expected, found: offset }));
            }
            None if offset != 0 => {
                return Err(wrong(FragmentError::Offset { expected: 0, found: offset }));
            }
            None if total > most => {
                return Err(wrong(FragmentError::TooLong { limit: most, found: total }));
            }
            None if open >= limit => return Err(LinkError::TooMany { limit }),
            _ => {}
        }
        let rest = (total - offset) as usize;
        let ends = whole == rest;
        let fits = ends && offset > 0 || whole > 0 && whole < rest && whole.is_multiple_of(8);
        if !fits || u32::from(fixed_len) > total || frame.header().fixed_len() != 0 {
            return Err(wrong(FragmentError::Length));
        }
        stream.open = Some(fragment);
        if frame.is_redelivered() {
            stream.redelivered_before = stream.next + 1;
        }
        let bytes = frame.payload();
        let left = whole - bytes.len();
        self.rest = (left > 0).then_some(Rest::Fragment { number, left });
        let event = self.receive_part(now, number, bytes)?;
        Ok(event.map(|(stream, fragment)| {
            let envelope = frame.envelope();
            Event::Fragment { stream, fragment, envelope, bytes }
        }))
    }

    /// Handles bytes of a fragment whose start was handled before; `left` bytes of it are missing.
    pub(in crate::link) fn input_part<'a>(
        &mut self,
        now: Duration,
        bytes: &'a [u8],
        number: u32,
        left: usize,
    ) -> Result<Input<'a>, LinkError> {
        let padded = left.next_multiple_of(8);
        let used = if bytes.len() < padded { bytes.len() & !7 } else { padded };
        let least = padded.min(self.least_part());
        if used < least {
            return Ok(self.incomplete(now, bytes, least));
        }
        (self.last_received, self.partial) = (now, 0);
        let (bytes, padding) = bytes.split_at(used.min(left));
        if padding.iter().take(used - bytes.len()).any(|byte| *byte != 0) {
            return Err(self.fail(now, FrameError::Padding.into()));
        }
        let left = left - bytes.len();
        self.rest = (left > 0).then_some(Rest::Fragment { number, left });
        let sequence = self.live_stream(number).map_or(0, |(_, stream)| stream.next);
        let event = match self.receive_part(now, number, bytes) {
            Ok(event) => event.map(|(stream, fragment)| {
                let envelope = Envelope { stream: number, sequence, ..Envelope::default() };
                Event::Fragment { stream, fragment, envelope, bytes }
            }),
            Err(error) => return Err(self.fail(now, error)),
        };
        Ok(Input { used, needed: 0, event })
    }

    /// Returns how many bytes of a fragment are handled before the others are there, at least.
    pub(in crate::link) fn least_part(&self) -> usize {
        (self.config.fragment / 4).max(8) & !7
    }

    /// Counts bytes of the open message of a stream as received. Returns their place, unless they
    /// are to be discarded.
    fn receive_part(
        &mut self,
        now: Duration,
        number: u32,
        bytes: &[u8],
    ) -> Result<Option<(IncomingId, Fragment)>, LinkError> {
        let (id, stream) = self.live_stream(number)?;
        // Cannot fail: the message was open at the header of the fragment.
        let Some(fragment) = stream.open else { return Ok(None) };
        let (unsubscribed, offset) = (stream.unsubscribed, fragment.offset + bytes.len() as u32);
        let is_last = offset == fragment.total;
        if is_last {
            stream.open = None;
            stream.received_many(now, 1, fragment.total as usize);
            self.schedule_confirm(now);
        } else {
            stream.open = Some(Fragment { offset, ..fragment });
        }
        if unsubscribed && is_last {
            self.discard(number, 1)?;
        }
        Ok((!unsubscribed).then_some((id, fragment)))
    }
}

/// Returns the envelope of a fragment: only the first one has that of the message.
fn envelope_of(message: &Envelope, fragment: Fragment) -> Envelope {
    if fragment.offset == 0 { *message } else { Envelope::default() }
}
