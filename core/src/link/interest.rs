//! What a side says of a topic when it subscribes.

use super::control::Name;
use crate::descriptor::Digest;
use crate::fixed::TooLong;
use crate::message::Message;

/// A topic to subscribe to.
#[derive(Clone, Copy, Debug)]
pub struct Interest {
    /// The topic.
    pub topic: Name,
    /// The type of its messages.
    pub type_id: u16,
    /// The digest of their layout.
    pub digest: Digest,
    /// What its publishers do when this side is slower.
    pub mode: ReaderMode,
    /// The first message of publishers that exist already.
    pub start: ReaderStart,
    /// How many messages of each stream this side has room for, at least one.
    pub window: u32,
}

impl Interest {
    /// Interest in the messages `M` on their own topic, from the next one on.
    ///
    /// # Errors
    /// If the topic's name is longer than a [`Name`].
    pub fn of<M: Message>(mode: ReaderMode, window: u32) -> Result<Interest, TooLong> {
        let topic = Name::try_from(M::TOPIC)?;
        let start = ReaderStart::Next;
        Ok(Interest { topic, type_id: M::ID, digest: M::DIGEST, mode, start, window })
    }
}

/// How far [`Link::unsubscribe`](super::Link::unsubscribe) has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnsubscribeProgress {
    /// The interest is removed.
    Done,
    /// The peer must confirm: [`Event::Unsubscribed`](super::Event::Unsubscribed) follows.
    Pending,
}

/// What a publisher does when a reader is slower.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReaderMode {
    /// It waits for the reader.
    Gating,
    /// It does not wait. The reader learns how many messages it missed.
    Observing,
    /// It does not wait, and does not overwrite: a publish fails until the reader has room. The
    /// reader misses no message that was published.
    Rejecting,
}

impl ReaderMode {
    pub(super) fn code(self) -> u8 {
        match self {
            ReaderMode::Gating => 0,
            ReaderMode::Observing => 1,
            ReaderMode::Rejecting => 2,
        }
    }

    /// A mode of a later version counts as observing: no publisher waits for such a reader.
    pub(super) fn of(code: u8) -> ReaderMode {
        match code {
            0 => ReaderMode::Gating,
            2 => ReaderMode::Rejecting,
            _ => ReaderMode::Observing,
        }
    }
}

/// The first message of a publisher whose stream the reader does not know, if the writer keeps none
/// for this reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReaderStart {
    /// The next one.
    Next,
    /// The oldest one that the publisher still has.
    Oldest,
}

impl ReaderStart {
    pub(super) fn code(self) -> u8 {
        match self {
            ReaderStart::Next => 0,
            ReaderStart::Oldest => 1,
        }
    }

    /// A start of a later version counts as the next message: nothing is sent twice.
    pub(super) fn of(code: u8) -> ReaderStart {
        match code {
            1 => ReaderStart::Oldest,
            _ => ReaderStart::Next,
        }
    }
}
