//! One line of counters, for its writer, and the places of lines whose writers are gone.

use std::collections::VecDeque;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, MutexGuard};

use super::segment::Segment;
use super::values::{VALUES, Value};
use crate::memory::Part;
use crate::sync::{AtomicU64, Ordering, lock};

/// The values of one line, with one writer.
#[derive(Debug)]
pub struct Line<V> {
    words: Part<VALUES>,
    /// The line's place; `None` if readers of the region cannot see it.
    place: Option<Place>,
    retired: Arc<Retired>,
    values: PhantomData<fn(V)>,
}

impl<V> Drop for Line<V> {
    fn drop(&mut self) {
        self.place.into_iter().for_each(|place| self.retired.lock().push_back(place));
    }
}

impl<V: Value> Line<V> {
    /// Creates the line with this index in a segment.
    pub(super) fn new(
        retired: &Arc<Retired>,
        segment: &Segment,
        index: usize,
        place: Option<Place>,
    ) -> Line<V> {
        let words = segment.values(index);
        Line { words, place, retired: retired.clone(), values: PhantomData }
    }

    /// A value.
    #[inline]
    #[must_use]
    pub fn get(&self, value: V) -> u64 {
        self.word(value).load(Ordering::Relaxed)
    }

    /// Sets a value.
    #[inline]
    pub fn set(&self, value: V, to: u64) {
        self.word(value).store(to, Ordering::Relaxed);
    }

    /// Adds to a value. Only the line's writer may call it: it is a load and a store.
    #[inline]
    pub fn add(&self, value: V, count: u64) {
        let word = self.word(value);
        word.store(word.load(Ordering::Relaxed).wrapping_add(count), Ordering::Relaxed);
    }

    /// Adds one to a value. Any thread may call it, if none calls [`add`](Line::add) for this
    /// value.
    #[inline]
    pub fn count(&self, value: V) {
        self.count_many(value, 1);
    }

    /// As [`count`](Line::count), but adds `count`.
    #[inline]
    pub fn count_many(&self, value: V, count: u64) {
        self.word(value).fetch_add(count, Ordering::Relaxed);
    }

    /// Advances a value to `position`, a count of the same thing in fewer bits, which wraps. It
    /// never moves a value back, so any thread may call it.
    pub fn follow(&self, value: V, position: usize) {
        let (word, relaxed) = (self.word(value), Ordering::Relaxed);
        let mut value = word.load(relaxed);
        loop {
            let ahead = position.wrapping_sub(value as usize);
            if ahead.cast_signed() <= 0 {
                return;
            }
            match word.compare_exchange(value, value.wrapping_add(ahead as u64), relaxed, relaxed) {
                Ok(_) => return,
                Err(now) => value = now,
            }
        }
    }

    #[inline]
    fn word(&self, value: V) -> &AtomicU64 {
        &self.words[value.index() % VALUES]
    }
}

/// The place of a line in a region.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) segment: u32,
    pub(super) index: u32,
}

/// The places of lines whose writers are gone, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Retired(Mutex<VecDeque<Place>>);

impl Retired {
    pub(super) fn lock(&self) -> MutexGuard<'_, VecDeque<Place>> {
        lock(&self.0)
    }
}
