//! Streams and messages for the tests.

use std::collections::BTreeMap;
use std::sync::Arc;

use mycelium_core::{Message, TraceContext, encode, encoded_len, message};
use mycelium_record::{Entry, ReadError, Reader, Recorded, Recording, Stream, StreamId};
use mycelium_transports::untyped::MessageType;

#[message(topic = "ticks", id = 1)]
#[derive(Debug)]
pub(crate) struct Tick {
    pub(crate) number: u64,
    pub(crate) price: f64,
}

#[message]
#[derive(Debug)]
pub(crate) enum Kind {
    Market,
    Limit { cents: i64 },
    Named(String),
}

/// A message with bodies.
#[message(topic = "orders", id = 2)]
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) number: u64,
    pub(crate) name: String,
    pub(crate) note: Option<String>,
    pub(crate) levels: Vec<u32>,
    pub(crate) kind: Kind,
    pub(crate) tags: BTreeMap<String, u16>,
}

/// Returns the type of a message.
pub(crate) fn type_of<M: Message>() -> Arc<MessageType> {
    let (_, length) = M::DESCRIPTOR.canonical(0, &mut []);
    let mut form = vec![0; length];
    _ = M::DESCRIPTOR.canonical(0, &mut form);
    Arc::new(MessageType { id: M::ID, form })
}

pub(crate) fn bytes_of<M: Message>(message: &M) -> Vec<u8> {
    let mut words = vec![0_u64; encoded_len(message).unwrap().div_ceil(8)];
    let bytes = zerocopy::IntoBytes::as_mut_bytes(&mut words[..]);
    let length = encode(message, bytes).unwrap();
    bytes[..length].to_vec()
}

pub(crate) fn tick(number: u64) -> Vec<u8> {
    bytes_of(&Tick { number, price: number as f64 / 100.0 })
}

pub(crate) fn order(number: u64) -> Vec<u8> {
    let kind = match number % 3 {
        0 => Kind::Market,
        1 => Kind::Limit { cents: -7 },
        _ => Kind::Named("x".into()),
    };
    bytes_of(&Order {
        number,
        name: "n".repeat(number as usize % 40),
        note: number.is_multiple_of(2).then(|| "even".into()),
        levels: (0..number as u32 % 9).collect(),
        kind,
        tags: [("a\"b".to_owned(), number as u16)].into(),
    })
}

pub(crate) fn stream_of<M: Message>(publisher: &str, epoch: u64) -> Stream {
    Stream {
        node: "feed".into(),
        topic: M::TOPIC.into(),
        publisher: publisher.into(),
        epoch,
        message: type_of::<M>(),
    }
}

/// Returns a message that was received a microsecond after it was sent.
pub(crate) fn received(sequence: u64, bytes: &[u8]) -> Recorded<'_> {
    let sent_at = Some(1_000_000 + sequence * 1000);
    let received_at = 1_001_000 + sequence * 1000;
    Recorded { sequence, received_at, sent_at, trace: None, retained: false, bytes }
}

/// Records ticks with these numbers, which are their sequences, too.
pub(crate) fn ticks(recording: &mut Recording, id: StreamId, numbers: std::ops::Range<u64>) {
    for number in numbers {
        recording.message(id, &received(number, &tick(number))).unwrap();
    }
}

pub(crate) fn trace(byte: u8) -> TraceContext {
    TraceContext { trace_id: [byte; 16], span_id: [byte; 8], flags: 1 }
}

/// What a test reads from a file.
#[derive(Debug)]
pub(crate) struct Contents {
    pub(crate) entries: Vec<String>,
    pub(crate) error: Option<ReadError>,
    pub(crate) is_whole: bool,
    pub(crate) offset: u64,
}

/// Reads a file to its end, or to an error.
pub(crate) fn read(bytes: &[u8]) -> Contents {
    let mut contents = Contents { entries: Vec::new(), error: None, is_whole: false, offset: 0 };
    let mut reader = match Reader::new(bytes) {
        Ok(reader) => reader,
        Err(error) => return Contents { error: Some(error), ..contents },
    };
    loop {
        match reader.next() {
            Ok(Some(entry)) => contents.entries.push(text(&entry)),
            Ok(None) => break,
            Err(error) => {
                contents.error = Some(error);
                break;
            }
        }
    }
    assert!(matches!(reader.next(), Ok(None)), "nothing follows the end");
    (contents.is_whole, contents.offset) = (reader.is_whole(), reader.offset());
    contents
}

/// Returns everything that an entry has, as text.
pub(crate) fn text(entry: &Entry<'_>) -> String {
    match entry {
        Entry::Began { id, stream, first, at, .. } => {
            let Stream { node, topic, publisher, epoch, message } = &***stream;
            let digest = message.digest();
            let n = id.index();
            format!("{n} began {node} {topic} {publisher} {epoch} {digest} {first} at {at}")
        }
        Entry::Message { id, message, .. } => format!("{} {message:?}", id.index()),
        Entry::Gap { id, next, missed, reason, at, .. } => {
            format!("{} gap {next} {missed} {reason:?} at {at}", id.index())
        }
        Entry::Ended { id, next, at, .. } => format!("{} ended {next} at {at}", id.index()),
        Entry::Lost { id, next, at, .. } => format!("{} lost {next} at {at}", id.index()),
        Entry::Disconnected { node, topic, reason, at } => {
            format!("disconnected {node} {topic} {reason} at {at}")
        }
        _ => unreachable!(),
    }
}
