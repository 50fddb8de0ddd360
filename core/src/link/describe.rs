//! Layouts of messages over the link. If two sides differ, the error can name the field.
//!
//! The caller requests the canonical form piece by piece. The link keeps nothing between pieces.

use core::time::Duration;

use super::Link;
use super::control::{self, Describe, LAYOUTS, Name, PIECE, Piece, text};
use super::error::{LinkError, SendError};
use super::event::Event;
use crate::descriptor::Descriptor;

impl<const TOPICS: usize, const STREAMS: usize> Link<'_, TOPICS, STREAMS> {
    /// Whether the link is up and the peer answers [`describe`](Link::describe). The peer says so
    /// right after its hello, before any other frame.
    #[must_use]
    pub fn peer_describes(&self) -> bool {
        self.peer_has(LAYOUTS)
    }

    /// Requests the peer's layout of a topic's messages, from byte `offset` of the canonical form
    /// on; with an empty topic the peer's catalogue, from this byte on. One [`Event::Described`]
    /// answers. Wait for it before the next request, which may replace this one.
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

    /// Answers an [`Event::Describe`] with a piece of the layout, or with an empty one if the peer
    /// may not read the topic.
    ///
    /// # Errors
    /// [`SendError::Room`] and [`SendError::Down`] as [`describe`](Link::describe).
    pub fn answer(
        &mut self,
        now: Duration,
        descriptor: Option<&Descriptor>,
        offset: u32,
    ) -> Result<(), SendError> {
        let mut bytes = [0; PIECE];
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let (length, total) = descriptor.map_or((0, 0), |known| known.canonical(from, &mut bytes));
        // No layout that compiles is longer than 32 bits can say.
        let (length, total) = (length as u16, u32::try_from(total).unwrap_or(u32::MAX));
        self.send_control(now, 0, 0, &Piece::new(length, offset, total, bytes))
    }

    /// Answers an [`Event::Describe`] without a topic with a piece of the catalogue, whose bytes
    /// these are.
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

    pub(super) fn on_describe<'a>(
        &mut self,
        describe: &'a control::Describe,
    ) -> Result<Option<Event<'a>>, LinkError> {
        let (topic, offset) = (text(&describe.topic)?, describe.offset.get());
        Ok(Some(Event::Describe { topic, offset }))
    }

    pub(super) fn on_piece<'a>(
        &mut self,
        piece: &'a control::Piece,
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
}
