//! Layouts of messages, asked for over the link: for an error that names the field in which two sides differ.
//!
//! Who asks says from which byte on; who is asked answers each question with one piece, and keeps nothing in between.

use core::time::Duration;

use super::control::{self, Describe, LAYOUTS, Name, PIECE, Piece, text};
use super::{Event, Link, LinkError, SendError};
use crate::descriptor::Descriptor;

impl<const TOPICS: usize, const STREAMS: usize> Link<'_, TOPICS, STREAMS> {
    /// Whether the link is up and the peer answers [`describe`](Link::describe). The peer says so
    /// right after its hello, before any other frame.
    #[must_use]
    pub fn peer_describes(&self) -> bool {
        self.peer_names(LAYOUTS)
    }

    /// Asks the peer how messages of a topic are laid out there, from byte `offset` of the canonical form on. One
    /// [`Event::Described`] answers. Ask for one piece after the other: a later question may replace an earlier one.
    ///
    /// # Errors
    /// [`SendError::Room`] if there is no room now, [`SendError::Down`] if the link is not up, [`SendError::Gone`] if the
    /// peer does not answer such questions.
    pub fn describe(&mut self, now: Duration, topic: Name, offset: u32) -> Result<(), SendError> {
        if self.is_up() && !self.peer_describes() {
            return Err(SendError::Gone);
        }
        self.send_control(now, 0, 0, &Describe::new(0, offset, topic))
    }

    /// Answers an [`Event::Describe`]: with a piece of the layout, or with nothing if the peer is not to know the topic.
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
        // No layout that can be compiled is longer than a frame can say.
        let (length, total) = (length as u16, u32::try_from(total).unwrap_or(u32::MAX));
        self.send_control(now, 0, 0, &Piece::new(length, offset, total, bytes))
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
        // Behind the last byte there is nothing, whoever asks for it.
        let end = offset.checked_add(found as u32);
        if found > 0 && end.is_none_or(|end| end > total) {
            return Err(LinkError::Piece { offset, total, length: piece.length.get() });
        }
        Ok(Some(Event::Described { offset, total, bytes }))
    }
}
