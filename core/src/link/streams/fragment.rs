//! Long messages in fragments, so that they delay other messages by one fragment only, and need no
//! buffer of their own length.
//!
//! A stream has at most one open message, its next one. The message's sequence and credit are used
//! with its last fragment. Until then no other frame of the stream follows, except a gap that
//! starts with this message and replaces the rest of it.

use core::time::Duration;

use crate::envelope::Envelope;
use crate::frame::{Fragment, FrameView, head_len, write_fragment};
use crate::link::Link;
use crate::link::control::CONTROL_RESERVE;
use crate::link::error::{FragmentError, LinkError, SendError};
use crate::link::event::Event;
use crate::link::tables::{Id, OutgoingId};

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
        let rest = total.saturating_sub(offset) as usize;
        let bytes = bytes.get(..rest).unwrap_or(bytes);
        if u32::from(fixed_len) > total {
            return Err(SendError::Fixed { fixed: fixed_len.into(), payload: rest });
        }
        if open.is_none() {
            let length = head_len(envelope, None).saturating_add(rest);
            if length <= self.longest(envelope) && bytes.len() == rest {
                return self.send(now, stream, envelope, fixed_len, bytes).map(|()| rest);
            }
            self.check_new_fragmented(now, total)?;
        }

        let attached = if open.is_none() { *envelope } else { Envelope::default() };
        let head = head_len(&attached, Some(fragment));
        // The fragment takes at most half of the buffer, so that other messages have room.
        let half = ((self.out.capacity() - CONTROL_RESERVE) / 2) & !7;
        let limit = (self.peer.max_frame as usize).min(half);
        let most = limit.saturating_sub(head).min(self.config.fragment);
        let fits = bytes.len().min(most);
        // All fragments but the last have a multiple of 8 bytes.
        let count = if fits == rest { rest } else { fits & !7 };
        if count == 0 {
            return Err(match most {
                0..8 => SendError::TooLong { length: head + 8, limit: limit as u32 },
                _ => SendError::Fragment { expected: offset },
            });
        }
        let (needed, capacity) = ((head + count).next_multiple_of(8), self.out.capacity());
        if self.stalled || self.out.has_fragment() || self.out.room() < needed + CONTROL_RESERVE {
            self.out.flush();
            return Err(SendError::Room { needed: needed + CONTROL_RESERVE, capacity });
        }
        let entry = self.outgoing.get(stream)?;
        let (type_id, stream, sequence) = (entry.type_id, stream.number(), entry.next);
        let envelope = Envelope { type_id, stream, sequence, ..attached };
        let bytes = bytes.get(..count).unwrap_or(bytes);
        self.out.append_fragment(now, needed, |place| {
            // Cannot fail, because the fragment fits.
            _ = write_fragment(place, &envelope, fragment, bytes);
        });
        if count == rest {
            entry.sent_one(total as usize);
        } else {
            entry.open = Some(Fragment { offset: offset + count as u32, ..fragment });
        }
        Ok(count)
    }

    /// Checks that the peer accepts another fragmented message, of `total` bytes.
    fn check_new_fragmented(&mut self, now: Duration, total: u32) -> Result<(), SendError> {
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
        fragment: Option<Fragment>,
    ) -> Result<Option<Event<'a>>, LinkError> {
        let wrong = |error| LinkError::Fragment { stream: number, error };
        let fragment = fragment.ok_or(wrong(FragmentError::Open))?;
        let (most, limit) = (self.config.max_message, self.config.max_open.into());
        let open = self.incoming.iter().filter(|(_, stream)| stream.open.is_some()).count();
        let (id, stream) = self.live_stream(number)?;
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
        let (length, rest) = (frame.payload().len(), (total - offset) as usize);
        let is_last = length == rest;
        let fits = is_last && offset > 0 || length > 0 && length < rest && length.is_multiple_of(8);
        if !fits || u32::from(fixed_len) > total || frame.header().fixed_len() != 0 {
            return Err(wrong(FragmentError::Length));
        }
        let unsubscribed = stream.unsubscribed;
        if is_last {
            stream.received_one(now, &frame, total as usize);
            self.schedule_confirm(now);
        } else {
            stream.open = Some(Fragment { offset: offset + length as u32, ..fragment });
        }
        if unsubscribed && is_last {
            self.discard(number, 1)?;
        }
        Ok((!unsubscribed).then_some(Event::Fragment { stream: id, fragment, frame }))
    }
}
