//! Retained values: each publisher of a topic keeps its last messages, or the last one of each key,
//! for subscriptions that join later.
//!
//! They lie in slots beside the ring ([`mycelium_core::ring::retained`]), so no message in the ring
//! stays longer. The publisher fills them as the last of its fast handlers. A subscription that
//! joins gets them in a ring of its own, which it reads before the publisher's ring.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::vec;

use mycelium_core::ring::CapacityError;
use mycelium_core::ring::retained::{RetainedSlots, RetainedWriter};
use zerocopy::IntoBytes;

use super::values::{LatestByKey, Refusal, Schema};
use crate::sync::AtomicBool;

const WORD: usize = size_of::<usize>();

/// Which messages of each publisher a topic retains for subscriptions that join later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Retain {
    /// The last messages, at most this number.
    Last(NonZeroU32),
    /// The last message of each key, for at most the number of keys that it has.
    ByKey {
        /// The key.
        key: LatestByKey,
        /// What happens to a message with one key more.
        when_full: WhenFull,
    },
}

/// What happens to a message with a new key if its publisher retains messages of as many keys as it
/// may.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhenFull {
    /// The message is refused ([`Refusal::Keys`]).
    #[default]
    Refuse,
    /// It replaces the oldest retained message, which is forgotten.
    ForgetOldest,
}

impl Retain {
    /// Returns the most messages that a publisher retains.
    #[must_use]
    pub fn most(self) -> usize {
        match self {
            Retain::Last(count) => count.get() as usize,
            Retain::ByKey { key, .. } => key.keys().get() as usize,
        }
    }

    /// Returns the bytes of memory that the values of one publisher take. Returns `None` if that is
    /// more than memory can hold.
    #[must_use]
    pub fn bytes(self, schema: &Schema) -> Option<usize> {
        schema.longest.checked_add(RetainedSlots::HEAD_BYTES)?.checked_mul(self.most())
    }

    /// Creates the slots of one publisher.
    pub(crate) fn slots(self, schema: &Schema) -> Result<KeptSlots, CapacityError> {
        let slots = RetainedSlots::new(self.most(), schema.longest)?;
        Ok(KeptSlots { slots: Arc::new(slots), retain: self, outlive: AtomicBool::new(false) })
    }
}

/// The writing side of a publisher's retained values.
pub(crate) struct Retainer {
    writer: RetainedWriter<Arc<RetainedSlots>>,
    retain: Retain,
    /// The slot of the next message, if the last ones are retained; otherwise the first slot that no
    /// key ever had.
    next: usize,
    places: HashMap<Arc<[u8]>, Place>,
    /// The keys by the turns of their last messages, if the oldest one may have to be forgotten.
    turns: BTreeMap<u64, Arc<[u8]>>,
    turn: u64,
    /// The slots of keys that were forgotten.
    free: Vec<usize>,
}

/// Where the message of a key is.
#[derive(Clone, Copy)]
struct Place {
    slot: usize,
    /// Messages have ascending turns.
    turn: u64,
}

impl Retainer {
    pub(crate) fn new(slots: &KeptSlots) -> Option<Retainer> {
        let (retain, writer) = (slots.retain, RetainedWriter::new(slots.slots.clone())?);
        let (places, turns, free) = (HashMap::new(), BTreeMap::new(), Vec::new());
        Some(Retainer { writer, retain, next: 0, places, turns, turn: 0, free })
    }

    /// Retains the message that is pushed next, at this position in the ring.
    ///
    /// # Errors
    /// If the message has a key more than there may be; nothing is retained then. A key that is too
    /// long was refused before.
    pub(crate) fn put(
        &mut self,
        position: usize,
        words: &[usize],
        length: usize,
    ) -> Result<(), Refusal> {
        let slot = match self.retain {
            Retain::Last(count) => {
                let next = (self.next + 1) % count.get() as usize;
                std::mem::replace(&mut self.next, next)
            }
            Retain::ByKey { key, when_full } => {
                let bytes = words.as_bytes().get(..length).unwrap_or_default();
                let most = key.keys().get();
                let slot = key.of_message(bytes).and_then(|key| self.slot_of(key, when_full));
                slot.ok_or(Refusal::Keys { most })?
            }
        };
        self.writer.put(slot, position, &words[..length.div_ceil(WORD)], length);
        Ok(())
    }

    /// Refuses a message that [`put`](Retainer::put) would refuse.
    pub(crate) fn check(&self, message: &[u8]) -> Result<(), Refusal> {
        let Retain::ByKey { key, when_full: WhenFull::Refuse } = self.retain else {
            return Ok(());
        };
        let most = key.keys().get();
        let is_full = self.free.is_empty() && self.next >= self.retain.most();
        let has_slot = |key: &[u8]| !is_full || self.places.contains_key(key);
        let known = key.of_message(message).filter(|key| has_slot(key));
        known.map(drop).ok_or(Refusal::Keys { most })
    }

    /// Returns the slot of a key, which may be new; `None` if there is none for it.
    fn slot_of(&mut self, key: &[u8], when_full: WhenFull) -> Option<usize> {
        let forgets = when_full == WhenFull::ForgetOldest;
        self.turn += 1;
        let turn = self.turn;
        if let Some(place) = self.places.get_mut(key) {
            let before = std::mem::replace(&mut place.turn, turn);
            if let Some(key) = self.turns.remove(&before) {
                self.turns.insert(turn, key);
            }
            return Some(place.slot);
        }
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None if self.next < self.retain.most() => {
                self.next += 1;
                self.next - 1
            }
            None => {
                let (_, oldest) = self.turns.pop_first()?;
                self.places.remove(&oldest)?.slot
            }
        };
        let key: Arc<[u8]> = key.into();
        if forgets {
            self.turns.insert(turn, key.clone());
        }
        self.places.insert(key, Place { slot, turn });
        Some(slot)
    }

    /// Forgets the message of a key. Returns whether there was one.
    pub(crate) fn forget(&mut self, key: KeyValue<'_>) -> bool {
        let Retain::ByKey { key: by_key, .. } = self.retain else { return false };
        let key = key.in_messages(by_key);
        let Some(place) = key.and_then(|key| self.places.remove(&*key)) else { return false };
        self.turns.remove(&place.turn);
        self.writer.clear(place.slot);
        self.free.push(place.slot);
        true
    }
}

/// The key of a retained message, which a service [forgets](crate::local::Publisher::forget): a
/// text, a number or an array of bytes, as the field of the message that is the key.
#[derive(Clone, Copy, Debug)]
pub struct KeyValue<'a>(Key<'a>);

#[derive(Clone, Copy, Debug)]
enum Key<'a> {
    Text(&'a str),
    Bytes(&'a [u8]),
    /// The little-endian bytes of a number, and how many it has.
    Number([u8; 16], usize),
}

impl KeyValue<'_> {
    /// Returns the bytes that [`LatestByKey::of_message`] returns for a message with this key;
    /// `None` if no message can have it.
    fn in_messages(self, by_key: LatestByKey) -> Option<Vec<u8>> {
        let bytes = match &self.0 {
            Key::Text(text) => text.as_bytes(),
            Key::Bytes(bytes) => bytes,
            Key::Number(bytes, count) => &bytes[..*count],
        };
        by_key.of_field(bytes, matches!(self.0, Key::Text(_)))
    }
}

impl<'a> From<&'a str> for KeyValue<'a> {
    fn from(text: &'a str) -> KeyValue<'a> {
        KeyValue(Key::Text(text))
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for KeyValue<'a> {
    fn from(bytes: &'a [u8; N]) -> KeyValue<'a> {
        KeyValue(Key::Bytes(bytes))
    }
}

macro_rules! number_keys {
    ($($ty:ty)*) => {$(
        impl From<$ty> for KeyValue<'_> {
            fn from(number: $ty) -> Self {
                let (mut bytes, count) = ([0; 16], size_of::<$ty>());
                bytes[..count].copy_from_slice(&number.to_le_bytes());
                KeyValue(Key::Number(bytes, count))
            }
        }
    )*};
}

number_keys!(u8 u16 u32 u64 u128 i8 i16 i32 i64 i128);

/// The slots of a publisher in this process.
#[derive(Debug)]
pub(crate) struct KeptSlots {
    slots: Arc<RetainedSlots>,
    retain: Retain,
    /// They are kept after the end of the publisher.
    pub(crate) outlive: AtomicBool,
}

/// Retained messages in the order in which they were sent.
#[derive(Debug, Default)]
pub(crate) struct Values(pub(crate) VecDeque<Value>);

/// A retained message.
#[derive(Clone, Debug)]
pub(crate) struct Value {
    pub(crate) sequence: u64,
    pub(crate) length: usize,
    pub(crate) words: Box<[usize]>,
}

impl Value {
    /// Creates a message of these bytes.
    pub(crate) fn new(sequence: u64, bytes: &[u8]) -> Value {
        let mut words = vec![0; bytes.len().div_ceil(WORD)];
        words.as_mut_bytes()[..bytes.len()].copy_from_slice(bytes);
        Value { sequence, length: bytes.len(), words: words.into() }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.words.as_bytes()[..self.length]
    }
}

impl KeptSlots {
    /// Begins to read the values for a subscription whose first message in the ring is at this
    /// position.
    pub(crate) fn read(&self, joined: usize, schema: &Schema) -> SlotReading {
        let mut reading = self.read_last(usize::MAX, joined, schema);
        reading.is_last = matches!(self.retain, Retain::Last(_));
        reading
    }

    /// Begins to read the values among the last `most` messages before this position.
    pub(crate) fn read_last(&self, most: usize, joined: usize, schema: &Schema) -> SlotReading {
        let slots = self.slots.clone();
        let aged = |slot| Some((age(slots.position(slot, joined)?, joined), slot));
        let mut left: Vec<_> = (0..slots.slots()).filter_map(aged).collect();
        left.retain(|(age, _)| *age < most);
        left.sort_unstable();
        let words = vec![0; schema.longest.div_ceil(WORD)].into();
        let (left, values) = (left.into_iter(), Values::default());
        SlotReading { slots, joined, is_last: false, left, place: 0, words, values }
    }
}

/// The reading of a publisher's values, one after the other.
///
/// Values of keys, and those of a gap, are read from the oldest on: a subscription gets each that
/// was not replaced before it was read. The last messages are read from the newest on, until one was
/// replaced meanwhile, as all before it were: so none is missing between those that are read and the
/// first in the ring.
#[derive(Debug)]
pub(crate) struct SlotReading {
    slots: Arc<RetainedSlots>,
    joined: usize,
    /// Whether the values are the last messages.
    is_last: bool,
    /// The ages and the slots that are left.
    left: vec::IntoIter<(usize, usize)>,
    /// How many of the last messages were read, which is the age of the next one.
    place: usize,
    words: Box<[usize]>,
    /// The last messages that were read.
    values: Values,
}

/// A step of reading values.
pub(crate) enum Step {
    /// The next value, in the order in which they were sent.
    Value(Value),
    /// This number of bytes was read, or a value was replaced meanwhile.
    Read(usize),
    /// No value is left.
    End,
}

impl SlotReading {
    /// Reads the next value.
    pub(crate) fn step(&mut self) -> Step {
        if !self.is_last {
            let Some((age, slot)) = self.left.next_back() else { return Step::End };
            return self.value(slot, age).map_or(Step::Read(0), Step::Value);
        }
        let Some((_, slot)) = self.left.next() else {
            return self.values.0.pop_front().map_or(Step::End, Step::Value);
        };
        let Some(value) = self.value(slot, self.place) else {
            self.left = vec::IntoIter::default();
            return Step::Read(0);
        };
        self.place += 1;
        let length = value.length;
        self.values.0.push_front(value);
        Step::Read(length)
    }

    /// Reads a slot, if it still has the value of this age.
    fn value(&mut self, slot: usize, expected: usize) -> Option<Value> {
        let (position, length) = self.slots.read(slot, self.joined, &mut self.words)?;
        if age(position, self.joined) != expected {
            return None;
        }
        let words = self.words[..length.div_ceil(WORD)].into();
        Some(Value { sequence: position as u64, length, words })
    }

    /// Reads all values.
    pub(crate) fn finish(mut self) -> Values {
        let mut values = Values::default();
        loop {
            match self.step() {
                Step::Value(value) => values.0.push_back(value),
                Step::Read(_) => {}
                Step::End => return values,
            }
        }
    }
}

/// Returns how many messages were sent between this position and the one where a subscription has
/// joined. Positions wrap.
fn age(position: usize, joined: usize) -> usize {
    joined.wrapping_sub(position).wrapping_sub(1)
}
