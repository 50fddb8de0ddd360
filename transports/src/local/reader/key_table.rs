//! The table of the newest message of each key, for a subscription with [`Policy::LatestByKey`].
//!
//! A message in the [`Table`] replaces an earlier one with the same publisher and key. The key that
//! has waited longest is delivered first. The table is allocated once, except for messages that are
//! not fixed: each is a copy of its own.
//!
//! [`Policy::LatestByKey`]: crate::local::Policy::LatestByKey

use std::collections::{HashMap, VecDeque};
use std::hash::{Hash, Hasher};

use zerocopy::IntoBytes;

use crate::local::values::{KEY_BYTES, LatestByKey};

/// The newest message of each key. The policy sets the number of keys.
pub(crate) struct Table {
    by: LatestByKey,
    /// The size of a message in bytes.
    size: usize,
    places: HashMap<Key, usize>,
    entries: Box<[Entry]>,
    /// The words of all entries.
    words: Box<[usize]>,
    /// The messages of all entries that are not fixed, with their lengths.
    bodies: Box<[(usize, Box<[usize]>)]>,
    /// The number of words in all bodies, and its limit.
    body_words: usize,
    most_words: usize,
    /// The entries that are not in use.
    free: Vec<usize>,
    /// The entries in use. The first one has waited longest.
    order: VecDeque<usize>,
    /// The number of entries in use, by edge.
    waiting: Vec<usize>,
    /// The last delivery was a gap, so a message of the table follows before others are moved to it.
    /// Otherwise a reader that is always too slow would get only gaps.
    pub(super) follows_gap: bool,
    /// The edge from which on messages are moved next. There may be fewer edges by now.
    pub(super) next_edge: usize,
}

/// A publisher, by the index of its edge, and a key. Edges keep their indices while the table has
/// messages.
#[derive(Clone, Copy)]
pub(crate) struct Key {
    edge: usize,
    length: usize,
    bytes: [u8; KEY_BYTES],
}

/// A message that is not fixed; empty for all others.
#[derive(Clone, Copy, Default)]
pub(crate) struct Body<'a> {
    /// The number of bytes.
    pub(crate) length: usize,
    pub(crate) words: &'a [usize],
}

#[derive(Clone, Copy)]
pub(crate) struct Entry {
    key: Key,
    /// The position in the ring of the first message since the last delivery of this key.
    place: usize,
    pub(crate) sequence: u64,
    /// Whether an earlier process may have received the message.
    pub(crate) redelivered: bool,
    /// The number of replaced messages that were not reported yet.
    pub(crate) replaced: usize,
}

/// Messages that were removed for lack of room, and that the reader does not get.
pub(crate) struct Evicted {
    pub(crate) edge: usize,
    pub(crate) count: usize,
}

impl Table {
    /// Creates an empty table. `bodies` is the most bytes of messages that are not fixed.
    pub(crate) fn new(by: LatestByKey, size: usize, bodies: usize) -> Table {
        let keys = by.keys().get() as usize;
        let entry =
            Entry { key: Key::new(0, &[]), place: 0, sequence: 0, redelivered: false, replaced: 0 };
        Table {
            by,
            size,
            // Twice the capacity: a map that is half empty reuses the room of removed keys in
            // place.
            places: HashMap::with_capacity(2 * keys),
            entries: vec![entry; keys].into(),
            words: vec![0; keys * size.div_ceil(size_of::<usize>())].into(),
            bodies: vec![Default::default(); if bodies > 0 { keys } else { 0 }].into(),
            body_words: 0,
            most_words: bodies / size_of::<usize>(),
            free: (0..keys).rev().collect(),
            order: VecDeque::with_capacity(keys),
            waiting: Vec::new(),
            follows_gap: false,
            next_edge: 0,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Returns the number of messages of an edge that wait, including replaced ones that were not
    /// reported.
    pub(crate) fn depth(&self, edge: usize) -> usize {
        let entries = self.order.iter().map(|place| &self.entries[*place]);
        entries.filter(|entry| entry.key.edge == edge).map(|entry| 1 + entry.replaced).sum()
    }

    /// Returns the position of the first message of an edge that was neither delivered nor
    /// reported.
    pub(crate) fn first_place(&self, edge: usize) -> Option<usize> {
        if self.waiting.get(edge).is_none_or(|waiting| *waiting == 0) {
            return None;
        }
        // The entries of an edge are in the order of their positions, so the first one is the
        // oldest.
        let mut entries = self.order.iter().map(|place| &self.entries[*place]);
        entries.find(|entry| entry.key.edge == edge).map(|entry| entry.place)
    }

    /// Evicts the oldest entry if a message has no room: it has a new key and all entries are in
    /// use, or it is not fixed and has too many bytes. Call it until it returns `None`.
    pub(crate) fn make_room(&mut self, key: &Key, body: &Body<'_>) -> Option<Evicted> {
        let replaced = self.places.get(key);
        let is_full = self.free.is_empty() && replaced.is_none();
        let given_up = replaced.and_then(|place| self.bodies.get(*place));
        let kept = self.body_words - given_up.map_or(0, |(_, words)| words.len());
        if !is_full && kept + body.words.len() <= self.most_words {
            return None;
        }
        let entry = self.pop()?;
        Some(Evicted { edge: entry.key.edge, count: 1 + entry.replaced })
    }

    /// Returns the key of a message; `None` if it is too long.
    pub(crate) fn key_of(&self, edge: usize, slot: &[usize], body: &Body<'_>) -> Option<Key> {
        let (bytes, size) = match self.bodies.is_empty() {
            true => (slot, self.size),
            false => (body.words, body.length),
        };
        let bytes = bytes.as_bytes().get(..size).unwrap_or_default();
        Some(Key::new(edge, self.by.of_message(bytes)?))
    }

    /// Adds a message at this position in the ring of its edge. There must be
    /// [room](Table::make_room).
    pub(crate) fn put(
        &mut self,
        key: Key,
        at: usize,
        (sequence, redelivered): (u64, bool),
        slot: &[usize],
        body: &Body<'_>,
    ) {
        let place = match self.places.get(&key) {
            Some(&place) => {
                let entry = &mut self.entries[place];
                (entry.sequence, entry.redelivered) = (sequence, redelivered);
                entry.replaced += 1;
                place
            }
            None => {
                let Some(place) = self.free.pop() else { return };
                self.places.insert(key, place);
                self.entries[place] = Entry { key, place: at, sequence, redelivered, replaced: 0 };
                self.order.push_back(place);
                if self.waiting.len() <= key.edge {
                    self.waiting.resize(key.edge + 1, 0);
                }
                self.waiting[key.edge] += 1;
                place
            }
        };
        self.words_of(place).copy_from_slice(slot);
        if let Some((length, words)) = self.bodies.get_mut(place) {
            self.body_words -= words.len();
            if words.len() != body.words.len() {
                *words = vec![0; body.words.len()].into();
            }
            words.copy_from_slice(body.words);
            *length = body.length;
            self.body_words += words.len();
        }
    }

    /// Returns the message that is delivered next: its entry, its slot and its body.
    pub(crate) fn first(&mut self) -> Option<(&mut Entry, &[usize], Body<'_>)> {
        let place = *self.order.front()?;
        let stride = self.size.div_ceil(size_of::<usize>());
        let slot = &self.words[place * stride..(place + 1) * stride];
        let body = self.bodies.get(place);
        let body = body.map_or(Body::default(), |(length, words)| Body { length: *length, words });
        Some((&mut self.entries[place], slot, body))
    }

    pub(crate) fn pop(&mut self) -> Option<Entry> {
        let place = self.order.pop_front()?;
        let entry = self.entries[place];
        self.places.remove(&entry.key);
        if let Some(body) = self.bodies.get_mut(place) {
            self.body_words -= std::mem::take(body).1.len();
        }
        self.free.push(place);
        self.waiting[entry.key.edge] -= 1;
        Some(entry)
    }

    fn words_of(&mut self, place: usize) -> &mut [usize] {
        let stride = self.size.div_ceil(size_of::<usize>());
        &mut self.words[place * stride..(place + 1) * stride]
    }
}

impl Entry {
    /// Returns the publisher's edge.
    pub(crate) fn edge(&self) -> usize {
        self.key.edge
    }
}

impl Key {
    fn new(edge: usize, key: &[u8]) -> Key {
        let (mut bytes, length) = ([0; KEY_BYTES], key.len().min(KEY_BYTES));
        bytes[..length].copy_from_slice(&key[..length]);
        Key { edge, length, bytes }
    }

    fn used(&self) -> (usize, &[u8]) {
        (self.edge, &self.bytes[..self.length])
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Key) -> bool {
        self.used() == other.used()
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.used().hash(state);
    }
}
