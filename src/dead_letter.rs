//! Messages that were given up.

use mycelium_core::{FixedStr, FixedVec};
use mycelium_macros::message;
use mycelium_transports::local::Undelivered;

/// A message that a service failed at each time it was delivered, or that a link gave up as processes of its reader died of it.
/// Read it like any other message, in the node that gave it up: dead letters do not cross links. Their reader gets `None`
/// once all other services of the node have ended and its links have delivered what was sent.
///
/// Texts and payload that are longer than their fields are cut; `length` says how long the payload was.
#[message(topic = "mycelium.dead-letters", id = 0xFFFF)]
#[derive(Debug)]
pub struct DeadLetter {
    /// Which start of the publisher.
    pub epoch: u64,
    /// Its number among all that its publisher emitted in this epoch.
    pub sequence: u64,
    /// Bytes of the payload.
    pub length: u32,
    /// The message's id.
    pub type_id: u16,
    /// The topic.
    pub topic: FixedStr<62>,
    /// Who emitted it.
    pub publisher: FixedStr<62>,
    /// Which subscription gave it up.
    pub reader: FixedStr<62>,
    /// The message.
    pub payload: FixedVec<u8, 1024>,
}

impl From<&Undelivered> for DeadLetter {
    fn from(undelivered: &Undelivered) -> DeadLetter {
        let bytes = &undelivered.payload;
        let payload = FixedVec::from_slice(&bytes[..bytes.len().min(1024)]).unwrap_or_default();
        DeadLetter {
            epoch: undelivered.epoch,
            sequence: undelivered.sequence,
            length: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
            type_id: undelivered.type_id,
            topic: cut(&undelivered.topic),
            publisher: cut(&undelivered.publisher),
            reader: cut(&undelivered.reader),
            payload,
        }
    }
}

fn cut<const N: usize>(text: &str) -> FixedStr<N> {
    let mut end = text.len().min(N);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    FixedStr::try_from(&text[..end]).unwrap_or_default()
}
