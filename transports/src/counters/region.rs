//! Counters in pages: the place of each line, and the growth of a region.

mod histogram;

use std::cell::Cell;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, TryLockError};

pub use self::histogram::{HistogramLines, LatencyLines};
use super::reading::{LONGEST_LABEL, Reading};
use super::values::{Kind, NAME, VALUES, Value, second_word};
use super::view::{FIRST_NAME, FURTHER_NAME, MADE_BY, MAGIC, REPLACED, VERSION};
use crate::memory::{Found, MemoryError, PAGE_WORDS, Part, Words};
use crate::sync::{AtomicU64, Ordering, fence, lock};

/// The least number of lines of a further segment.
const FEWEST: usize = 64;
/// The number of lines without a writer that stay readable. Beyond it, the oldest are replaced.
const RETIRED: usize = 1024;
/// The limit on lines without a writer while all lines are read.
const RETIRED_WHILE_READ: usize = 2 * RETIRED;
/// The default limit on the lines of a region. A region of this size has 512 MiB.
const MOST: usize = 1 << 20;

/// Counters in pages, which grow with the number of lines. See the [module](super).
pub struct Region {
    first: Segment,
    more: Box<[OnceLock<Segment>]>,
    /// Locked while a line is made.
    places: Mutex<Places>,
    /// Locked while all lines are read and, after `places`, while a line is replaced: otherwise a
    /// replaced line could be read twice, or not at all.
    lines: Mutex<()>,
    /// Locked while a line is made or dropped.
    retired: Arc<Retired>,
    /// Whether other processes can find the segments.
    shared: bool,
}

/// Which places of a region are in use.
#[derive(Debug)]
struct Places {
    /// The first place that was never used.
    next: Place,
    /// The number of lines in all segments.
    capacity: usize,
    /// The limit on the lines of all segments.
    most: usize,
    /// Memory for lines that readers cannot see, and the number of its used places.
    hidden: Option<(Segment, usize)>,
    /// The lines with the totals of replaced lines, by kind and label. Only the thread that holds
    /// the lock writes them.
    totals: HashMap<(Kind, String), Place>,
}

impl Region {
    /// Creates a region with room for at least `lines` lines. It grows up to a million lines.
    #[must_use]
    pub fn new(lines: usize) -> Arc<Region> {
        Region::with_most(lines, MOST)
    }

    /// Creates a region as [`new`](Region::new) does, but with a limit of `most` lines. Both
    /// numbers are rounded up to whole pages, of 8 lines each.
    ///
    /// ```
    /// use mycelium_transports::counters::{Region, ServiceValue};
    ///
    /// let region = Region::with_most(16, 32);
    /// let lines: Vec<_> = (0..33).map(|_| region.line::<ServiceValue>("service=x")).collect();
    /// // The last one counts, too, but readers cannot see it.
    /// assert_eq!((region.read().len(), region.unseen()), (32, 1));
    /// ```
    #[must_use]
    pub fn with_most(lines: usize, most: usize) -> Arc<Region> {
        Region::of(Shape::first(whole_pages(lines)).on_heap(), most, false)
    }

    /// Creates a region as [`new`](Region::new) does, which other processes of this user can read
    /// as long as it or one of its lines exists. Its segments are memfds whose descriptors stay
    /// open; `Attached::of_process` finds them. If no descriptor is left for a further segment,
    /// only this process can read that segment.
    ///
    /// Each node has such a region. A region that only its own program reads needs no descriptor.
    ///
    /// # Errors
    /// If the memory cannot be created or shared. Sharing needs 64-bit Linux.
    pub fn shared(lines: usize) -> Result<Arc<Region>, MemoryError> {
        Ok(Region::of(Shape::first(whole_pages(lines)).shared(FIRST_NAME)?, MOST, true))
    }

    fn of(first: Segment, most: usize, shared: bool) -> Arc<Region> {
        let lines = first.lines();
        let more = (1..SEGMENTS).map(|_| OnceLock::new()).collect();
        let (next, capacity) = (Place { segment: 0, index: 0 }, lines);
        let most = whole_pages(most.max(lines));
        let places = Places { next, capacity, most, hidden: None, totals: HashMap::new() };
        let places = Mutex::new(places);
        let retired = Arc::default();
        let region = Region { first, more, places, lines: Mutex::default(), retired, shared };
        for (word, value) in [
            (1, VERSION),
            (5, Kind::ALL.len() as u64),
            (6, LIST as u64),
            (7, LISTED as u64),
            (9, DESCRIPTOR as u64),
            (10, VALUES as u64),
            (11, FIXED as u64),
            (12, KIND as u64),
            (13, NAME as u64),
            (MADE_BY, u64::from(std::process::id())),
        ] {
            region.first.word(word).store(value, Ordering::Relaxed);
        }
        region.list(0, &region.first, lines);
        Kind::ALL.into_iter().for_each(|kind| region.name(kind));
        region.first.word(0).store(MAGIC, Ordering::Release);
        Arc::new(region)
    }

    /// Writes a kind into the table of kinds.
    fn name(&self, kind: Kind) {
        let first = FIXED + KIND * kind as usize;
        self.first.word(first).store(kind.values().len() as u64, Ordering::Relaxed);
        for (index, name) in [kind.name()].iter().chain(kind.values()).enumerate() {
            self.first.write_bytes(first + 1 + NAME * index, name.as_bytes());
        }
    }

    /// Writes a segment into the list of segments. All segments have room for `capacity` lines.
    fn list(&self, number: usize, segment: &Segment, capacity: usize) {
        let entry = LIST + LISTED * number;
        for (index, value) in segment.listed().into_iter().enumerate() {
            self.first.word(entry + index).store(value, Ordering::Relaxed);
        }
        self.first.word(2).store(capacity as u64, Ordering::Relaxed);
        // Release: a reader that sees the number also sees the entry.
        self.first.word(8).store(number as u64 + 1, Ordering::Release);
    }

    /// Creates a line at a place of its own, for which the region may grow. If more than 1,024
    /// lines have no writer, or the region cannot grow, the line replaces the one that lost its
    /// writer first. The values of the replaced line are added to the total of its kind and topic,
    /// a line of the region's own. If no line can be replaced either, the new line works but is
    /// invisible; the header counts such lines. A label is cut at 360 bytes.
    ///
    /// ```
    /// use mycelium_transports::counters::{PublisherValue, Region};
    ///
    /// let region = Region::with_most(16, 16);
    /// for epoch in 0..100 {
    ///     let line = region.line(&format!("topic=swaps publisher=Feed epoch={epoch}"));
    ///     line.set(PublisherValue::Sent, 7);
    /// }
    /// let lines = region.read();
    /// assert_eq!(lines.iter().map(|line| line.value("sent")).sum::<u64>(), 700);
    /// assert!(lines.iter().any(|line| line.label == "topic=swaps"), "the total of most of them");
    /// ```
    #[must_use]
    pub fn line<V: Value>(&self, label: &str) -> Line<V> {
        self.line_with(label, &[])
    }

    /// Creates a line as [`line`](Region::line) does. Readers never see it without these values.
    #[must_use]
    pub fn line_with<V: Value>(&self, label: &str, first: &[(V, u64)]) -> Line<V> {
        let mut values = [0; VALUES];
        first.iter().for_each(|(value, count)| values[value.index() % VALUES] = *count);
        let mut places = lock(&self.places);
        let lines = match self.lines.try_lock() {
            Ok(lines) => Some(lines),
            Err(TryLockError::Poisoned(error)) => Some(error.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        };
        let (place, lines) = match (self.free_place(&mut places, lines.is_some()), lines) {
            (None, None) => {
                let lines = lock(&self.lines);
                (self.free_place(&mut places, true), Some(lines))
            }
            found => found,
        };
        if let Some(place) = place {
            let segment = self.segment(place);
            segment.describe(place.index as usize, V::KIND, label, &values);
            self.end_replacing();
            drop(lines);
            return Line::new(&self.retired, segment, place.index as usize, Some(place));
        }
        self.first.word(4).fetch_add(1, Ordering::Relaxed);
        let (hidden, used) = match places.hidden.take() {
            Some((hidden, used)) if used < hidden.lines() => (hidden, used),
            _ => (Shape::further(0, LINES_OF_PAGE).on_heap(), 0),
        };
        hidden.set_values(used, &values);
        let line = Line::new(&self.retired, &hidden, used, None);
        places.hidden = Some((hidden, used + 1));
        line
    }

    /// Returns a place for a new line: an unused one, or the place of a line without a writer.
    /// Returns `None` if there is no place. While all lines are read no line is replaced, so more
    /// lines without a writer may exist.
    fn free_place(&self, places: &mut Places, may_replace: bool) -> Option<Place> {
        let mut retired = self.retired.lock();
        loop {
            let is_over = retired.len() > if may_replace { RETIRED } else { RETIRED_WHILE_READ };
            let has_next = (places.next.index as usize) < self.segment(places.next).lines();
            if !is_over && (has_next || self.grow(places)) {
                let place = places.next;
                places.next.index += 1;
                // Readers skip the line until it is described, because its generation is 0.
                self.first.word(3).fetch_add(1, Ordering::Release);
                return Some(place);
            }
            if !may_replace {
                return None;
            }
            let place = retired.pop_front()?;
            self.begin_replacing();
            if self.is_in_total(place, places) {
                return Some(place);
            }
            self.end_replacing();
        }
    }

    /// Tells readers in other processes that a line is replaced, which the locks tell those of this
    /// process. Called with `places` locked.
    fn begin_replacing(&self) {
        self.first.word(REPLACED).fetch_or(1, Ordering::Relaxed);
        // Release: a reader that sees any of the later stores also sees the odd number, or a later
        // one.
        fence(Ordering::Release);
    }

    /// Ends what [`begin_replacing`](Region::begin_replacing) began, if it was called.
    fn end_replacing(&self) {
        let replaced = self.first.word(REPLACED).load(Ordering::Relaxed);
        // Release: a reader that sees the even number also sees the stores before.
        self.first.word(REPLACED).store(replaced.next_multiple_of(2), Ordering::Release);
    }

    /// Adds the values of a line without a writer to the total of its kind and label, so that its
    /// place is free. If this total does not exist yet, the line becomes the total, and this
    /// returns false.
    fn is_in_total(&self, place: Place, places: &mut Places) -> bool {
        let (segment, index) = (self.segment(place), place.index as usize);
        let Some(line) = segment.read(index) else { return true };
        match places.totals.entry((line.kind, line.label_of_total())) {
            Entry::Occupied(total) => {
                let (segment, index) = (self.segment(*total.get()), total.get().index as usize);
                if let Some(mut total) = segment.read(index) {
                    total.add(&line);
                    segment.set_values(index, &total.values);
                }
                true
            }
            Entry::Vacant(total) => {
                segment.describe(index, line.kind, &total.key().1, &line.values);
                total.insert(place);
                false
            }
        }
    }

    /// Adds a segment and moves the next place there. The segment grows with the number of lines,
    /// so that few places are unused and the limit on segments does not limit the lines.
    fn grow(&self, places: &mut Places) -> bool {
        let number = places.next.segment as usize + 1;
        let lines = (places.capacity / 4).max(FEWEST).min(places.most - places.capacity);
        let lines = lines.next_multiple_of(LINES_OF_PAGE);
        let Some(place) = self.more.get(number - 1).filter(|_| lines > 0) else { return false };
        let first_word = HEADER + WORDS * places.capacity;
        let segment = place.get_or_init(|| {
            let shape = Shape::further(first_word, lines);
            let shared = self.shared.then(|| shape.shared(FURTHER_NAME).ok()).flatten();
            shared.unwrap_or_else(|| shape.on_heap())
        });
        places.capacity += lines;
        self.list(number, segment, places.capacity);
        places.next = Place { segment: places.next.segment + 1, index: 0 };
        true
    }

    /// Reads all lines. The values of one line may be from slightly different moments, but all
    /// belong to this line. A line that is made during the read is complete or left out. No line is
    /// replaced during the read, so each value is either in its own line or in a total.
    #[must_use]
    pub fn read(&self) -> Vec<Reading> {
        let _lines = lock(&self.lines);
        let mut left = self.first.word(3).load(Ordering::Acquire) as usize;
        let mut readings = Vec::new();
        for segment in self.segments() {
            let lines = segment.lines().min(left);
            readings.extend((0..lines).filter_map(|index| segment.read(index)));
            left -= lines;
        }
        readings
    }

    /// Copies the words of each segment: [`CountersView::of_dump`](super::CountersView::of_dump)
    /// reads such copies, including copies of other versions.
    #[must_use]
    pub fn dump(&self) -> Vec<Vec<u64>> {
        let _lines = lock(&self.lines);
        let words = |segment: &Segment| {
            // Acquire: a generation of a line that has ended comes with its last values.
            segment.words().iter().map(|word| word.load(Ordering::Acquire)).collect()
        };
        self.segments().map(words).collect()
    }

    /// Returns the number of lines that got no place where readers can see them.
    #[must_use]
    pub fn unseen(&self) -> u64 {
        self.first.word(4).load(Ordering::Relaxed)
    }

    fn segments(&self) -> impl Iterator<Item = &Segment> {
        std::iter::once(&self.first).chain(self.more.iter().map_while(OnceLock::get))
    }

    fn segment(&self, place: Place) -> &Segment {
        let more = (place.segment as usize).checked_sub(1);
        more.and_then(|number| self.more[number].get()).unwrap_or(&self.first)
    }
}

/// Rounds a number of lines up to whole pages.
fn whole_pages(lines: usize) -> usize {
    lines.max(1).next_multiple_of(LINES_OF_PAGE)
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let capacity = lock(&self.places).capacity;
        f.debug_struct("Region").field("capacity", &capacity).finish_non_exhaustive()
    }
}

// The words of a region, in segments: the header (in the first segment only), descriptors and
// values.

/// The number of words before the table of kinds.
pub(super) const FIXED: usize = 64;
/// The number of words of a kind in the table.
pub(super) const KIND: usize = 64;
/// The first word of the list of segments. The fixed words and the table of kinds have three pages.
pub(super) const LIST: usize = 3 * PAGE_WORDS;
/// The limit on segments.
pub(super) const SEGMENTS: usize = 64;
/// The number of words of a segment in the list.
pub(super) const LISTED: usize = 8;
/// The fixed words, the table of kinds, and the list of segments.
pub(super) const HEADER: usize = 4 * PAGE_WORDS;
pub(super) const DESCRIPTOR: usize = 48;
/// The number of words of a line with its descriptor.
pub(super) const WORDS: usize = DESCRIPTOR + VALUES;
/// The number of lines in a page, with their descriptors.
pub(super) const LINES_OF_PAGE: usize = PAGE_WORDS / WORDS;
const LABEL_BYTES: usize = (DESCRIPTOR - 3) * 8;
const _: () = assert!(LABEL_BYTES == LONGEST_LABEL);

// The table of kinds has room for all kinds, and the words of a kind for all its names.
const _: () = assert!(FIXED + KIND * Kind::ALL.len() <= LIST);
const _: () = assert!(LIST + LISTED * SEGMENTS <= HEADER);
const _: () = assert!(NAME * (1 + VALUES) < KIND);

/// Pages with lines and their descriptors.
#[derive(Debug)]
pub(super) struct Segment {
    words: Words,
    /// The address by which other processes find the segment; `None` if they cannot.
    found: Option<Found>,
    shape: Shape,
}

/// The shape of a segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    /// The number of the segment's first word in the region.
    first_word: usize,
    /// The words before the descriptors.
    header: usize,
    lines: usize,
}

impl Shape {
    /// Returns the shape of a region's first segment, with the header. `lines` must fill whole
    /// pages.
    pub(super) fn first(lines: usize) -> Shape {
        Shape { first_word: 0, header: HEADER, lines }
    }

    /// Returns the shape of a further segment, whose first word has this number in the region.
    pub(super) fn further(first_word: usize, lines: usize) -> Shape {
        Shape { first_word, header: 0, lines }
    }

    /// Creates a segment that only this process can read.
    pub(super) fn on_heap(self) -> Segment {
        Segment { words: Words::heap(self.words()), found: None, shape: self }
    }

    /// Creates a segment in a memfd with this name.
    ///
    /// # Errors
    /// If the memfd cannot be created.
    pub(super) fn shared(self, name: &str) -> Result<Segment, MemoryError> {
        let (words, found) = Words::memfd(self.words(), name)?;
        Ok(Segment { words, found: Some(found), shape: self })
    }

    fn words(self) -> usize {
        self.header + self.lines * WORDS
    }
}

impl Segment {
    /// Returns the number of lines of the segment.
    pub(super) fn lines(&self) -> usize {
        self.shape.lines
    }

    /// Returns the words of the segment, in whole pages.
    pub(super) fn words(&self) -> &[AtomicU64] {
        &self.words
    }

    /// Returns the words of the segment's entry in the list of segments.
    pub(super) fn listed(&self) -> [u64; LISTED] {
        let (descriptors, values) = (self.descriptor_of(0), self.values_of(0));
        let Shape { first_word, lines, .. } = self.shape;
        let [first, lines, descriptors, values] =
            [first_word, lines, first_word + descriptors, first_word + values].map(|n| n as u64);
        let found = self.found.unwrap_or(Found { inode: 0, descriptor: 0 });
        [first, lines, descriptors, values, found.inode, found.descriptor, 0, 0]
    }

    /// Returns the values of a line.
    pub(super) fn values(&self, index: usize) -> Part<VALUES> {
        self.words.part(self.values_of(index))
    }

    /// Returns the index of the first word of a line's values.
    pub(super) fn values_of(&self, index: usize) -> usize {
        self.shape.header + DESCRIPTOR * self.shape.lines + VALUES * index
    }

    /// Returns the index of the first word of a line's descriptor.
    fn descriptor_of(&self, index: usize) -> usize {
        self.shape.header + DESCRIPTOR * index
    }

    /// Returns a word of this segment.
    pub(super) fn word(&self, index: usize) -> &AtomicU64 {
        &self.words[index]
    }

    /// Writes bytes into the words from `first`.
    pub(super) fn write_bytes(&self, first: usize, bytes: &[u8]) {
        for (index, chunk) in bytes.chunks(8).enumerate() {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.word(first + index).store(u64::from_le_bytes(word), Ordering::Relaxed);
        }
    }

    /// Writes a line's descriptor and its first values.
    pub(super) fn describe(&self, index: usize, kind: Kind, label: &str, values: &[u64; VALUES]) {
        let descriptor = self.descriptor_of(index);
        let generation = self.word(descriptor).swap(0, Ordering::Relaxed);
        // Release: a reader that sees any of the stores below also sees generation 0.
        fence(Ordering::Release);
        let mut end = label.len().min(LABEL_BYTES);
        while !label.is_char_boundary(end) {
            end -= 1;
        }
        let label = &label.as_bytes()[..end];
        self.write_bytes(descriptor + 3, label);
        self.word(descriptor + 1).store(kind as u64, Ordering::Relaxed);
        self.word(descriptor + 2).store(label.len() as u64, Ordering::Relaxed);
        self.set_values(index, values);
        // Release: a reader that sees the generation also sees the descriptor and the values. A
        // generation is never reused: the next line at this place continues from it. It is odd
        // while the line has a writer.
        self.word(descriptor).store(generation + 1, Ordering::Release);
    }

    /// Sets the values of a line to those of a [`Reading`], where all words behind the values are 0:
    /// so the line's second words become 0.
    pub(super) fn set_values(&self, index: usize, values: &[u64; VALUES]) {
        let words = &self.words[self.values_of(index)..][..VALUES];
        words.iter().zip(values).for_each(|(word, value)| word.store(*value, Ordering::Relaxed));
    }

    /// Reads a line. Returns `None` if the place is unused, or was given to another line during the
    /// read.
    pub(super) fn read(&self, index: usize) -> Option<Reading> {
        let descriptor = self.descriptor_of(index);
        // Reads the line again if it lost its writer during the read.
        self.read_once(descriptor, index).or_else(|| self.read_once(descriptor, index))
    }

    fn read_once(&self, descriptor: usize, index: usize) -> Option<Reading> {
        let generation = self.word(descriptor).load(Ordering::Acquire);
        if generation == 0 {
            return None;
        }
        let kind = Kind::from_word(self.word(descriptor + 1).load(Ordering::Relaxed))?;
        let length = self.word(descriptor + 2).load(Ordering::Relaxed) as usize;
        let bytes: Vec<u8> = (0..DESCRIPTOR - 3)
            .flat_map(|word| self.word(descriptor + 3 + word).load(Ordering::Relaxed).to_le_bytes())
            .take(length)
            .collect();
        let first = self.values_of(index);
        let count = kind.values().len();
        let word = |place: usize| self.word(first + place).load(Ordering::Relaxed);
        let values = std::array::from_fn(|value| {
            let second = second_word(value, count, VALUES).map_or(0, word);
            if value < count { word(value).wrapping_add(second) } else { 0 }
        });
        // Checks that the place still has the same line.
        fence(Ordering::Acquire);
        let same = self.word(descriptor).load(Ordering::Relaxed) == generation;
        same.then(|| Reading { kind, label: String::from_utf8_lossy(&bytes).into_owned(), values })
    }
}

// One line of counters with its writer, and the places of lines without a writer.

/// The values of one line, with one writer, except for values that several threads
/// [count](Line::count).
///
/// Most values have a second word, and are the sum of both. Only one thread stores second words:
/// the first one that counts in the line, which so needs no locked operation. All other threads add
/// to first words. A value is either counted, also beside [`add`](Line::add), or set, followed or
/// trailed: these know only the first word.
#[derive(Debug)]
pub struct Line<V> {
    words: Part<VALUES>,
    /// The number of the thread that stores second words; 0 before there is one.
    owner: AtomicU64,
    /// The line's place and its generation; `None` if readers of the region cannot see it.
    place: Option<(Place, Part<1>)>,
    retired: Arc<Retired>,
    values: PhantomData<fn(V)>,
}

impl<V> Drop for Line<V> {
    fn drop(&mut self) {
        let Some((place, generation)) = &self.place else { return };
        // The place gets no other line before it is in the list. Release: a reader that sees the
        // generation also sees the last values.
        let next = generation[0].load(Ordering::Relaxed) + 1;
        generation[0].store(next, Ordering::Release);
        self.retired.lock().push_back(*place);
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
        let place = place.map(|place| (place, segment.words.part(segment.descriptor_of(index))));
        let (retired, owner) = (retired.clone(), AtomicU64::new(0));
        Line { words, owner, place, retired, values: PhantomData }
    }

    /// Returns a value.
    #[inline]
    #[must_use]
    pub fn get(&self, value: V) -> u64 {
        let second = self.second(value).map_or(0, |word| word.load(Ordering::Relaxed));
        self.word(value).load(Ordering::Relaxed).wrapping_add(second)
    }

    /// Sets a value.
    #[inline]
    pub fn set(&self, value: V, to: u64) {
        self.word(value).store(to, Ordering::Relaxed);
    }

    /// Adds to a value by a load and a store. Only the line's writer may call it.
    #[inline]
    pub fn add(&self, value: V, count: u64) {
        add_unlocked(self.word(value), count);
    }

    /// Adds one to a value. Any thread may call it, unless another one calls [`add`](Line::add) for
    /// this value. For the thread that counts first in the line it is a load and a store, for all
    /// others a locked operation. Not for signal handlers, nor after a fork.
    #[inline]
    pub fn count(&self, value: V) {
        self.count_many(value, 1);
    }

    /// Adds `count` to a value, like [`count`](Line::count).
    #[inline]
    pub fn count_many(&self, value: V, count: u64) {
        match self.second(value) {
            Some(second) if self.owns_second_words() => add_unlocked(second, count),
            _ => _ = self.word(value).fetch_add(count, Ordering::Relaxed),
        }
    }

    /// Whether this thread stores the second words. The first call decides which thread does.
    #[inline]
    fn owns_second_words(&self) -> bool {
        let (owner, this) = (self.owner.load(Ordering::Relaxed), this_thread());
        owner == this || owner == 0 && self.claim_second_words(this)
    }

    #[cold]
    fn claim_second_words(&self, thread: u64) -> bool {
        let relaxed = Ordering::Relaxed;
        self.owner.compare_exchange(0, thread, relaxed, relaxed).is_ok()
    }

    /// Advances a value to `position`, which counts the same thing in fewer bits and wraps. Any
    /// thread may call it, because it never moves the value back.
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

    /// Advances a value as [`follow`](Line::follow) does, by a load and a store. If another thread
    /// advances it at the same time, it may be behind until the next call. Returns the value before
    /// the call, and the one after it.
    #[inline]
    pub fn trail(&self, value: V, position: usize) -> (u64, u64) {
        let word = self.word(value);
        let before = word.load(Ordering::Relaxed);
        let ahead = position.wrapping_sub(before as usize);
        if ahead.cast_signed() <= 0 {
            return (before, before);
        }
        let after = before.wrapping_add(ahead as u64);
        word.store(after, Ordering::Relaxed);
        (before, after)
    }

    #[inline]
    fn word(&self, value: V) -> &AtomicU64 {
        &self.words[value.index() % VALUES]
    }

    #[inline]
    fn second(&self, value: V) -> Option<&AtomicU64> {
        let second = second_word(value.index() % VALUES, V::KIND.values().len(), VALUES);
        second.map(|second| &self.words[second])
    }
}

/// Adds to a word that only this thread stores.
#[inline]
fn add_unlocked(word: &AtomicU64, count: u64) {
    word.store(word.load(Ordering::Relaxed).wrapping_add(count), Ordering::Relaxed);
}

/// Returns the number of this thread, at least 1. No two threads of a process have the same one.
#[inline]
fn this_thread() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    thread_local! {
        static THREAD: Cell<u64> = const { Cell::new(0) };
    }
    match THREAD.get() {
        0 => {
            let number = LAST.fetch_add(1, Ordering::Relaxed) + 1;
            THREAD.set(number);
            number
        }
        number => number,
    }
}

/// The place of a line in a region.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) segment: u32,
    pub(super) index: u32,
}

/// The places of lines without a writer, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Retired(Mutex<VecDeque<Place>>);

impl Retired {
    pub(super) fn lock(&self) -> MutexGuard<'_, VecDeque<Place>> {
        lock(&self.0)
    }
}

#[cfg(test)]
mod tests;
