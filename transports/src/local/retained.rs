//! Retained values: each publisher of a topic keeps its last messages, or the last one of each key,
//! for subscriptions that join later.
//!
//! They lie in slots beside the ring ([`mycelium_core::ring::retained`]), so no message in the ring
//! stays longer. The publisher fills them as the last of its fast handlers. A subscription that
//! joins gets them in a ring of its own, which it reads before the publisher's ring.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, OnceLock};

use mycelium_core::ring::CapacityError;
use mycelium_core::ring::broadcast::{ArenaWriter, Broadcast, CONTENT, Layout, LayoutError};
use mycelium_core::ring::retained::{RetainedSlots, RetainedWriter};
use zerocopy::IntoBytes;

use super::ring;
use super::state::{Edge, Origin, PublisherState, RetainedOrigin, SubscriberState};
use super::trace::TraceArea;
use super::values::{LatestByKey, Policy, Refusal, Schema};
use crate::counters::{EdgeValue, Region};

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
    pub(crate) fn slots(self, schema: &Schema) -> Result<Arc<RetainedSlots>, CapacityError> {
        RetainedSlots::new(self.most(), schema.longest).map(Arc::new)
    }
}

/// The writing side of a publisher's retained values.
pub(crate) struct Retainer {
    writer: RetainedWriter<Arc<RetainedSlots>>,
    retain: Retain,
    /// The slot of the next message, if the last ones are retained.
    next: usize,
    /// The slot of each key.
    places: HashMap<Box<[u8]>, usize>,
    /// The position of the last message in each slot that a key has, or had.
    positions: Vec<usize>,
    /// The slots of keys that were forgotten.
    free: Vec<usize>,
}

impl Retainer {
    pub(crate) fn new(retain: Retain, slots: &Arc<RetainedSlots>) -> Option<Retainer> {
        let writer = RetainedWriter::new(slots.clone())?;
        let (places, positions, free) = (HashMap::new(), Vec::new(), Vec::new());
        Some(Retainer { writer, retain, next: 0, places, positions, free })
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
                let key = key.of_message(bytes);
                let slot = key.and_then(|key| self.slot_of(key, position, when_full));
                let slot = slot.ok_or(Refusal::Keys { most })?;
                self.positions[slot] = position;
                slot
            }
        };
        self.writer.put(slot, position, &words[..length.div_ceil(WORD)], length);
        Ok(())
    }

    /// Returns the slot of a key, which may be new; `None` if there is none for it.
    fn slot_of(&mut self, key: &[u8], position: usize, when_full: WhenFull) -> Option<usize> {
        if let Some(slot) = self.places.get(key) {
            return Some(*slot);
        }
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None if self.positions.len() < self.retain.most() => {
                self.positions.push(0);
                self.positions.len() - 1
            }
            None if when_full == WhenFull::Refuse => return None,
            None => {
                let age = |slot: usize| position.wrapping_sub(self.positions[slot]);
                let oldest = self.places.iter().max_by_key(|(_, slot)| age(**slot));
                let (oldest, slot) = oldest.map(|(key, slot)| (key.clone(), *slot))?;
                self.places.remove(&oldest);
                slot
            }
        };
        self.places.insert(key.into(), slot);
        Some(slot)
    }

    /// Forgets the message of a key. Returns whether there was one.
    pub(crate) fn forget(&mut self, key: KeyValue<'_>) -> bool {
        let Retain::ByKey { key: by_key, .. } = self.retain else { return false };
        let key = key.in_messages(by_key);
        let Some(slot) = key.and_then(|key| self.places.remove(&*key)) else { return false };
        self.writer.clear(slot);
        self.free.push(slot);
        true
    }
}

/// The key of a retained message, which a service [forgets](crate::local::Publisher::forget): a
/// text, a number or an array of bytes, as the field of the message that is the key.
#[derive(Clone, Copy, Debug)]
pub struct KeyValue<'a>(Value<'a>);

#[derive(Clone, Copy, Debug)]
enum Value<'a> {
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
            Value::Text(text) => text.as_bytes(),
            Value::Bytes(bytes) => bytes,
            Value::Number(bytes, count) => &bytes[..*count],
        };
        by_key.of_field(bytes, matches!(self.0, Value::Text(_)))
    }
}

impl<'a> From<&'a str> for KeyValue<'a> {
    fn from(text: &'a str) -> KeyValue<'a> {
        KeyValue(Value::Text(text))
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for KeyValue<'a> {
    fn from(bytes: &'a [u8; N]) -> KeyValue<'a> {
        KeyValue(Value::Bytes(bytes))
    }
}

macro_rules! number_keys {
    ($($ty:ty)*) => {$(
        impl From<$ty> for KeyValue<'_> {
            fn from(number: $ty) -> Self {
                let (mut bytes, count) = ([0; 16], size_of::<$ty>());
                bytes[..count].copy_from_slice(&number.to_le_bytes());
                KeyValue(Value::Number(bytes, count))
            }
        }
    )*};
}

number_keys!(u8 u16 u32 u64 u128 i8 i16 i32 i64 i128);

/// What a publisher retained until its end, for subscriptions that join later.
pub(crate) struct Ended {
    pub(crate) name: Arc<str>,
    epoch: u64,
    /// The position after the publisher's last message.
    end: usize,
    slots: Arc<RetainedSlots>,
}

impl Ended {
    /// Returns what a publisher that ends retains.
    pub(crate) fn of(publisher: &PublisherState) -> Option<Ended> {
        let slots = publisher.retained.get()?.clone();
        let (name, epoch) = (publisher.name.clone(), publisher.epoch);
        Some(Ended { name, epoch, end: publisher.ring.tail(), slots })
    }

    /// Returns the edge with the retained values; `None` if there are none for the subscription.
    ///
    /// # Errors
    /// If memory cannot hold them.
    pub(crate) fn attach(
        &self,
        topic: &str,
        subscriber: &Arc<SubscriberState>,
        schema: &Schema,
        counters: &Arc<Region>,
    ) -> Result<Option<Edge>, LayoutError> {
        let values = Values::read(&self.slots, self.end, subscriber.policy, schema);
        let Some(values) = values else { return Ok(None) };
        let count = values.0.len() as u64;
        let state = values.into_state((topic, &self.name, self.epoch), schema)?;
        let line = state.new_line(subscriber, counters);
        line.add(EdgeValue::Retained, count);
        if let Origin::Retained(values) = &state.origin {
            _ = values.line.set(line);
        }
        Ok(attach(&state, subscriber))
    }
}

impl Edge {
    /// Returns an edge with what the publisher had retained when the subscription joined; `None` if
    /// it has nothing for the subscription. This edge follows it.
    ///
    /// # Errors
    /// If memory cannot hold the values.
    pub(crate) fn retained_before(
        &mut self,
        subscriber: &Arc<SubscriberState>,
        schema: &Schema,
    ) -> Result<Option<Edge>, LayoutError> {
        let Some(slots) = self.retained_slots() else { return Ok(None) };
        // A message of a publisher of this process has its position as its sequence. The cast is
        // lossless.
        let joined = self.sequence(self.consumer.cursor()) as usize;
        let values = Values::read(slots, joined, subscriber.policy, schema);
        let Some(values) = values else { return Ok(None) };
        let PublisherState { topic, name, epoch, .. } = &*self.publisher;
        let count = values.0.len() as u64;
        let state = values.into_state((topic, name, *epoch), schema)?;
        self.line.add(EdgeValue::Retained, count);
        self.after = Some(Arc::downgrade(&state));
        Ok(attach(&state, subscriber))
    }
}

/// Joins the only subscription to retained values. Its counters are not listed: what it delivers is
/// counted apart.
fn attach(state: &Arc<PublisherState>, subscriber: &Arc<SubscriberState>) -> Option<Edge> {
    PublisherState::attach(state, subscriber, &Region::new(1), None)
}

/// Retained messages in the order in which they were sent: their positions, lengths and words.
struct Values(Vec<(usize, usize, Box<[usize]>)>);

impl Values {
    /// Reads the values for a subscription that has joined at this position. Returns `None` if
    /// there are none for it: one that samples gets none, and one that gets the latest message gets
    /// the last.
    fn read(
        slots: &RetainedSlots,
        joined: usize,
        policy: Policy,
        schema: &Schema,
    ) -> Option<Values> {
        if policy.every().is_some() {
            return None;
        }
        let mut words = vec![0; schema.longest.div_ceil(WORD)];
        let values = (0..slots.slots()).filter_map(|slot| {
            let (position, length) = slots.read(slot, joined, &mut words)?;
            Some((position, length, words[..length.div_ceil(WORD)].into()))
        });
        let mut values: Vec<_> = values.collect();
        values.sort_unstable_by_key(|(position, ..)| Reverse(joined.wrapping_sub(*position)));
        if policy.skips() {
            values.drain(..values.len().saturating_sub(1));
        }
        (!values.is_empty()).then_some(Values(values))
    }

    /// Puts the values into a ring of their own, which ends after them. Returns its publisher, with
    /// the names and the epoch of the one that retains them.
    ///
    /// # Errors
    /// If memory cannot hold the ring.
    fn into_state(
        self,
        (topic, name, epoch): (&str, &str, u64),
        schema: &Schema,
    ) -> Result<Arc<PublisherState>, LayoutError> {
        let capacity = self.0.len().next_power_of_two().max(2);
        let size = if schema.is_fixed { schema.size } else { size_of::<[usize; CONTENT]>() };
        let layout = Layout::exact(capacity, size);
        let all: usize = self.0.iter().map(|(_, length, _)| length.next_multiple_of(8)).sum();
        let layout = match schema.is_fixed {
            true => layout,
            // A message takes at most half of an arena.
            false => layout.with_arena(all.max(2 * schema.longest)),
        };
        let ring = ring::private(layout).ok_or(LayoutError::TooLarge)?;
        if let Some(mut producer) = Broadcast::producer(ring.clone()) {
            let mut arena = ArenaWriter::new(&producer);
            for (_, length, words) in &self.0 {
                // Nobody reads the ring yet, so nothing refuses a message.
                _ = match &mut arena {
                    Some(arena) => arena.try_push(&mut producer, words, *length, &[]),
                    None => producer.try_push(words, *length),
                };
            }
            producer.close();
        }
        let sequences = self.0.iter().map(|(position, ..)| *position as u64);
        let sequences = sequences.collect();
        let origin = Origin::Retained(RetainedOrigin { sequences, line: OnceLock::new() });
        let (area, file) = (TraceArea::Absent, Err(OF_VALUES.to_owned()));
        Ok(PublisherState::over(topic, ring, area, file, name, epoch, origin))
    }
}

/// The reason why the ring of retained values has no descriptor.
const OF_VALUES: &str = "the ring has retained values";
