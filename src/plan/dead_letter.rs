//! Dead letters: messages about messages that could not be handled.

use mycelium_core::{FixedStr, Message};
use mycelium_macros::message;
use mycelium_transports::local::Undelivered;

/// A message that failed at each delivery, or whose readers' processes died of it. Read it like any
/// other message, in the node that wrote it: dead letters do not cross links. Their reader gets
/// `None` when all other services of the node have ended and the node's links have delivered all
/// sent messages.
///
/// Texts that are too long for their fields are truncated, and so are payloads of almost 2 MiB and
/// more. `length` is the full length of the payload.
#[message(topic = "mycelium.dead-letters", max = "2 MiB")]
#[derive(Debug)]
pub struct DeadLetter {
    /// The epoch of the publisher: the number that identifies its start.
    pub epoch: u64,
    /// The sequence of the message in this epoch of its publisher.
    pub sequence: u64,
    /// The length of the payload in bytes.
    pub length: u32,
    /// The message's id.
    pub type_id: u16,
    /// The topic.
    pub topic: FixedStr<62>,
    /// The publisher.
    pub publisher: FixedStr<62>,
    /// The subscription that could not handle the message.
    pub reader: FixedStr<62>,
    /// The bytes of the message.
    pub payload: Vec<u8>,
}

/// More than the bytes of a dead letter beside its payload.
const REST: usize = 512;
/// The most bytes of the arena of one writer of dead letters.
const ARENA: usize = 4 << 20;

impl DeadLetter {
    /// Returns the longest dead letter in a node whose messages have at most `longest` bytes, and
    /// the size of the arena for them.
    pub(crate) fn sizes(longest: usize) -> (usize, usize) {
        let longest = longest.saturating_add(REST).min(DeadLetter::MAX);
        (longest, longest.saturating_mul(16).min(ARENA))
    }

    /// Creates a dead letter of at most `longest` bytes.
    pub(crate) fn new(undelivered: &Undelivered, longest: usize) -> DeadLetter {
        let bytes = &undelivered.payload;
        DeadLetter {
            epoch: undelivered.epoch,
            sequence: undelivered.sequence,
            length: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
            type_id: undelivered.type_id,
            topic: cut(&undelivered.topic),
            publisher: cut(&undelivered.publisher),
            reader: cut(&undelivered.reader),
            payload: bytes[..bytes.len().min(longest.saturating_sub(REST))].to_vec(),
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
