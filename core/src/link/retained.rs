//! Retained messages: what a publisher keeps for readers that join later. They are not messages of
//! its stream: they have no credit, are not confirmed, and are sent anew on each connection.

use core::time::Duration;

use zerocopy::IntoBytes;

use super::Link;
use super::control::{CONTROL_RESERVE, MAX_CONTROL, RETAINED, Recall, Retained};
use super::error::{LinkError, SendError};
use super::event::Event;
use super::tables::{ExportId, Id, InterestId};
use crate::envelope::Envelope;
use crate::frame::{HEADER_LEN, write_head};

/// The most bytes of a retained message in one frame.
const MOST: usize = 16 << 10;
const HEAD: usize = HEADER_LEN + size_of::<Retained>();

impl<const TOPICS: usize, const STREAMS: usize> Link<'_, TOPICS, STREAMS> {
    /// Returns whether the link is up and the peer sends and reads retained messages.
    #[must_use]
    pub fn peer_retains(&self) -> bool {
        self.peer_has(RETAINED)
    }

    /// Requests what the publisher with this epoch retains, for readers whose first message is
    /// before the sequence `before`. [`Event::Retained`]s and an [`Event::RetainedEnd`] answer. A
    /// later request for the topic replaces one that is not answered.
    ///
    /// # Errors
    /// [`SendError::Gone`] if the peer has no subscription to the topic on this connection, or does
    /// not [send](Link::peer_retains) retained messages,
    /// [`SendError::Room`] until bytes are transmitted, [`SendError::Down`] if the link is not up.
    pub fn recall(
        &mut self,
        now: Duration,
        interest: InterestId,
        epoch: u64,
        before: u64,
    ) -> Result<(), SendError> {
        let is_due = self.interests.get(interest)?.is_due();
        if self.is_up() && (is_due || !self.peer_retains()) {
            return Err(SendError::Gone);
        }
        self.send_control(now, 0, 0, &Recall::new(0, interest.number(), epoch, before))
    }

    /// Sends a part of a message that the publisher with this epoch retains: `message` from `offset`
    /// on. Returns the offset of the next part; the length of the message if there is none. All
    /// parts of a message are sent in order, before those of another one of the publisher.
    ///
    /// # Errors
    /// [`SendError::Gone`] if the peer is no longer subscribed, [`SendError::TooLong`] if `message`
    /// has more than 4 GiB, [`SendError::Room`] and [`SendError::Down`] as [`send`](Link::send).
    pub fn send_retained(
        &mut self,
        now: Duration,
        export: ExportId,
        epoch: u64,
        sequence: u64,
        (message, offset): (&[u8], usize),
    ) -> Result<usize, SendError> {
        let most = (self.peer.max_frame as usize).min(self.out.capacity() - CONTROL_RESERVE);
        let most = MOST.min(most.saturating_sub(HEAD).max(1));
        let rest = message.get(offset..).unwrap_or_default();
        let part = rest.get(..most).unwrap_or(rest);
        let too_long = SendError::TooLong { length: message.len(), limit: u32::MAX };
        let total = u32::try_from(message.len()).map_err(|_| too_long)?;
        // No larger than the total.
        let frame = Retained::new(0, self.open_number(export)?, epoch, total, offset as u32);
        self.send_part(now, sequence, &frame, part)?;
        Ok(offset + part.len())
    }

    /// Reports that all retained messages of the publisher with this epoch were sent, maybe none.
    ///
    /// # Errors
    /// As [`send_retained`](Link::send_retained).
    pub fn end_retained(
        &mut self,
        now: Duration,
        export: ExportId,
        epoch: u64,
    ) -> Result<(), SendError> {
        let frame = Retained::new(1, self.open_number(export)?, epoch, 0, 0);
        self.send_part(now, 0, &frame, &[])
    }

    fn open_number(&mut self, export: ExportId) -> Result<u32, SendError> {
        self.open_export(export).map(|_| export.number())
    }

    fn send_part(
        &mut self,
        now: Duration,
        sequence: u64,
        frame: &Retained,
        part: &[u8],
    ) -> Result<(), SendError> {
        if !self.is_up() {
            return Err(SendError::Down);
        }
        self.queue_due(now);
        let needed = (HEAD + part.len()).next_multiple_of(8);
        if self.stalled || self.out.room() < needed + CONTROL_RESERVE {
            self.out.flush();
            let capacity = self.out.capacity();
            return Err(SendError::Room { needed: needed + CONTROL_RESERVE, capacity });
        }
        let envelope = Envelope { sequence, ..Envelope::default() };
        let fields = size_of::<Retained>();
        self.out.append(now, needed, |place| {
            // Cannot fail, because the frame fits.
            _ = write_head(place, &envelope, fields as u16, fields + part.len());
            place[HEADER_LEN..HEAD].copy_from_slice(frame.as_bytes());
            place[HEAD..HEAD + part.len()].copy_from_slice(part);
            place[HEAD + part.len()..].fill(0);
        });
        self.out.flush();
        Ok(())
    }

    pub(super) fn on_recall<'a>(&mut self, frame: &Recall) -> Option<Event<'a>> {
        // A reject frame may have crossed this frame on the way.
        let (export, entry) = self.exports.numbered(frame.subscription.get())?;
        let (epoch, before) = (frame.epoch.get(), frame.before.get());
        entry.is_open().then_some(Event::Recall { export, epoch, before })
    }

    pub(super) fn on_retained<'a>(
        &mut self,
        sequence: u64,
        frame: &Retained,
        bytes: &'a [u8],
    ) -> Result<Option<Event<'a>>, LinkError> {
        let (interest, entry) = self.sent_interest(frame.subscription.get())?;
        let is_subscribed = entry.state == super::InterestState::Subscribed;
        let epoch = frame.epoch.get();
        let (offset, total) = (frame.offset.get(), frame.total.get());
        if frame.end.get() != 0 {
            return Ok(is_subscribed.then_some(Event::RetainedEnd { interest, epoch }));
        }
        let end = u32::try_from(bytes.len()).ok().and_then(|length| offset.checked_add(length));
        if end.is_none_or(|end| end > total) || bytes.is_empty() && total > 0 {
            return Err(LinkError::Retained { offset, total, length: bytes.len() });
        }
        let event = Event::Retained { interest, epoch, sequence, offset, total, bytes };
        Ok(is_subscribed.then_some(event))
    }
}

const _: () = assert!(HEAD < MAX_CONTROL);
