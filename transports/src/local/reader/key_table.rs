//! The table of the newest message of each key, for a subscription with [`Policy::LatestByKey`].
//!
//! A message in the [`Table`] replaces an earlier one with the same publisher and key. The key that
//! has waited longest is delivered first. The table is allocated once.
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
    /// The entries that are not in use.
    free: Vec<usize>,
    /// The entries in use. The first one has waited longest.
    order: VecDeque<usize>,
    /// The number of entries in use, by edge.
    waiting: Vec<usize>,
}

/// A publisher, by the index of its edge, and a key. Edges keep their indices while the table has
/// messages.
#[derive(Clone, Copy)]
struct Key {
    edge: usize,
    length: usize,
    bytes: [u8; KEY_BYTES],
}

#[derive(Clone, Copy)]
pub(crate) struct Entry {
    key: Key,
    /// The position in the ring of the first message since the last delivery of this key.
    place: usize,
    pub(crate) sequence: u64,
    /// The number of replaced messages that were not reported yet.
    pub(crate) replaced: usize,
}

/// Messages that were removed for lack of room, and that the reader does not get.
pub(crate) struct Evicted {
    pub(crate) edge: usize,
    pub(crate) count: usize,
}

impl Table {
    pub(crate) fn new(by: LatestByKey, size: usize) -> Table {
        let keys = by.keys().get() as usize;
        let entry = Entry { key: Key::new(0, &[]), place: 0, sequence: 0, replaced: 0 };
        Table {
            by,
            size,
            // Twice the capacity: a map that is half empty reuses the room of removed keys in
            // place.
            places: HashMap::with_capacity(2 * keys),
            entries: vec![entry; keys].into(),
            words: vec![0; keys * size.div_ceil(size_of::<usize>())].into(),
            free: (0..keys).rev().collect(),
            order: VecDeque::with_capacity(keys),
            waiting: Vec::new(),
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

    /// Adds a message at this position in the ring of its edge. If the table has no room for a new
    /// key, it evicts the oldest entry.
    pub(crate) fn put(
        &mut self,
        edge: usize,
        at: usize,
        sequence: u64,
        message: &[usize],
    ) -> Option<Evicted> {
        let bytes = message.as_bytes().get(..self.size).unwrap_or_default();
        let key = Key::new(edge, self.by.of_message(bytes));
        if let Some(&place) = self.places.get(&key) {
            let entry = &mut self.entries[place];
            (entry.sequence, entry.replaced) = (sequence, entry.replaced + 1);
            self.words_of(place).copy_from_slice(message);
            return None;
        }
        let evicted = if self.free.is_empty() { self.pop() } else { None };
        if let Some(place) = self.free.pop() {
            self.places.insert(key, place);
            self.entries[place] = Entry { key, place: at, sequence, replaced: 0 };
            self.words_of(place).copy_from_slice(message);
            self.order.push_back(place);
            if self.waiting.len() <= edge {
                self.waiting.resize(edge + 1, 0);
            }
            self.waiting[edge] += 1;
        }
        evicted.map(|entry| Evicted { edge: entry.key.edge, count: 1 + entry.replaced })
    }

    /// Returns the message that is delivered next, with its words.
    pub(crate) fn first(&mut self) -> Option<(&mut Entry, &[usize])> {
        let place = *self.order.front()?;
        let stride = self.size.div_ceil(size_of::<usize>());
        let words = &self.words[place * stride..(place + 1) * stride];
        Some((&mut self.entries[place], words))
    }

    pub(crate) fn pop(&mut self) -> Option<Entry> {
        let place = self.order.pop_front()?;
        let entry = self.entries[place];
        self.places.remove(&entry.key);
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
