//! The newest message of each key, for a subscription with [`Policy::LatestByKey`].
//!
//! Each find first moves all that the rings have to a [`Table`], where a message replaces an
//! earlier one of its publisher and key. Messages are then delivered from the table, the key first
//! that has waited longest. The table is allocated once.
//!
//! [`Policy::LatestByKey`]: crate::local::Policy::LatestByKey

use std::collections::{HashMap, VecDeque};
use std::hash::{Hash, Hasher};

use zerocopy::IntoBytes;

use super::{Found, Header, Reader};
use crate::local::delivery::GapReason;
use crate::local::key::{KEY_BYTES, LatestByKey};

/// The newest message of each key, at most as many as the policy says.
pub(super) struct Table {
    by: LatestByKey,
    /// The size of a message.
    size: usize,
    places: HashMap<Key, usize>,
    entries: Box<[Entry]>,
    /// The words of all entries.
    words: Box<[usize]>,
    /// The entries that are not in use.
    free: Vec<usize>,
    /// The other entries, the one first that has waited longest.
    order: VecDeque<usize>,
}

/// A publisher and a key. Edges keep their places while the table has messages.
#[derive(Clone, Copy)]
struct Key {
    edge: usize,
    length: usize,
    bytes: [u8; KEY_BYTES],
}

#[derive(Clone, Copy)]
struct Entry {
    key: Key,
    sequence: u64,
    /// How many messages it has replaced that were not reported yet.
    replaced: usize,
}

/// Messages that the reader does not get.
struct Evicted {
    edge: usize,
    count: usize,
}

impl Table {
    pub(super) fn new(by: LatestByKey, size: usize) -> Table {
        let keys = by.keys().get() as usize;
        let entry = Entry { key: Key::new(0, &[]), sequence: 0, replaced: 0 };
        Table {
            by,
            size,
            // Twice as many: a map that is half empty reuses the room of removed keys in place.
            places: HashMap::with_capacity(2 * keys),
            entries: vec![entry; keys].into(),
            words: vec![0; keys * size.div_ceil(size_of::<usize>())].into(),
            free: (0..keys).rev().collect(),
            order: VecDeque::with_capacity(keys),
        }
    }

    /// How many messages of an edge wait, with those that were replaced and not reported.
    pub(super) fn depth(&self, edge: usize) -> usize {
        let entries = self.order.iter().map(|place| &self.entries[*place]);
        entries.filter(|entry| entry.key.edge == edge).map(|entry| 1 + entry.replaced).sum()
    }

    /// Adds a message. If the table has no room for its key, it loses its oldest one.
    fn put(&mut self, edge: usize, sequence: u64, message: &[usize]) -> Option<Evicted> {
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
            self.entries[place] = Entry { key, sequence, replaced: 0 };
            self.words_of(place).copy_from_slice(message);
            self.order.push_back(place);
        }
        evicted.map(|entry| Evicted { edge: entry.key.edge, count: 1 + entry.replaced })
    }

    /// The message that is delivered next, and its words.
    fn first(&mut self) -> Option<(&mut Entry, &[usize])> {
        let place = *self.order.front()?;
        let stride = self.size.div_ceil(size_of::<usize>());
        let words = &self.words[place * stride..(place + 1) * stride];
        Some((&mut self.entries[place], words))
    }

    fn pop(&mut self) -> Option<Entry> {
        let place = self.order.pop_front()?;
        let entry = self.entries[place];
        self.places.remove(&entry.key);
        self.free.push(place);
        Some(entry)
    }

    fn words_of(&mut self, place: usize) -> &mut [usize] {
        let stride = self.size.div_ceil(size_of::<usize>());
        &mut self.words[place * stride..(place + 1) * stride]
    }
}

impl Reader {
    /// The next message of the table, or a gap. `None` if nothing waits.
    pub(super) fn find_by_key(&mut self) -> Option<Found> {
        for index in 0..self.edges.len() {
            if let Some(gap) = self.fill_table(index) {
                return Some(gap);
            }
        }
        if let Some(index) = self.edges.iter().position(|edge| edge.passed > 0) {
            let evicted = std::mem::take(&mut self.edges[index].passed) as u64;
            return Some(Found::Gap(self.gap(index, evicted, GapReason::Overwritten)));
        }
        let (entry, words) = self.table.as_mut()?.first()?;
        let edge = entry.key.edge;
        match std::mem::take(&mut entry.replaced) as u64 {
            0 => {
                self.words.copy_from_slice(words);
                let sequence = entry.sequence;
                Some(Found::Message(Header { edge, sequence, redelivered: false }))
            }
            replaced => Some(Found::Gap(self.gap(edge, replaced, GapReason::Skipped))),
        }
    }

    /// The message that [`find_by_key`](Reader::find_by_key) returned is taken or invalid. False if
    /// the reader has no table.
    pub(super) fn remove_from_table(&mut self) -> bool {
        self.table.as_mut().map(Table::pop).is_some()
    }

    /// Moves what waits at an edge to the table. Returns a gap before the next message.
    fn fill_table(&mut self, index: usize) -> Option<Found> {
        // Not more than one ring: the publisher may be faster.
        let most = self.membership.topic.capacity();
        for _ in 0..most {
            match self.find_at(index) {
                Found::Message(header) => {
                    let table = self.table.as_mut()?;
                    if let Some(Evicted { edge, count }) =
                        table.put(index, header.sequence, &self.words)
                    {
                        self.edges[edge].passed += count;
                    }
                    let edge = &mut self.edges[index];
                    edge.consumer.advance();
                    edge.show_place();
                    if self.budget.count_operation() {
                        self.wake_publishers();
                    }
                }
                gap @ Found::Gap(_) => return Some(gap),
                Found::Empty | Found::Closed => break,
            }
        }
        None
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
