//! Counters in pages: which place a line gets, and how a region grows.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, TryLockError};

use super::line::{Line, Place, Retired};
use super::reading::Reading;
use super::segment::{
    DESCRIPTOR, FIXED, HEADER, KIND, LINES_OF_PAGE, LIST, LISTED, SEGMENTS, Segment, Shape, WORDS,
};
use super::values::{Kind, NAME, VALUES, Value};
use super::view::{FIRST_NAME, FURTHER_NAME, MAGIC, VERSION};
use crate::memory::MemoryError;
use crate::sync::{Ordering, lock};

/// The least number of lines of a further segment.
const FEWEST: usize = 64;
/// How many lines whose writers are gone stay readable. Beyond this the oldest are replaced.
const RETIRED: usize = 1024;
/// The limit on these lines while all lines are read.
const RETIRED_WHILE_READ: usize = 2 * RETIRED;
/// The default limit on the lines of a region, which then has 256 MiB.
const MOST: usize = 1 << 20;

/// Counters in pages, which grow with the number of lines. See the [module](super).
pub struct Region {
    first: Segment,
    more: Box<[OnceLock<Segment>]>,
    /// Locked to make a line.
    places: Mutex<Places>,
    /// Locked to read all lines, and, after `places`, to replace one: otherwise a replaced line
    /// would be read twice, or not at all.
    lines: Mutex<()>,
    /// Locked to make or drop a line.
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
    /// Memory for lines that readers cannot see, and how many of its places are used.
    hidden: Option<(Segment, usize)>,
    /// The lines with the totals of replaced lines, by kind and label. Only the owner of the lock
    /// writes them.
    totals: HashMap<(Kind, String), Place>,
}

impl Region {
    /// Creates a region with room for at least `lines` lines. It grows up to a million lines.
    #[must_use]
    pub fn new(lines: usize) -> Arc<Region> {
        Region::with_most(lines, MOST)
    }

    /// As [`new`](Region::new), but with a limit of `most` lines. Both numbers are rounded up to
    /// whole pages, of 16 lines each.
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

    /// As [`new`](Region::new), but other processes of this user can read the region as long as it
    /// or one of its lines exists: its segments are memfds, whose descriptors stay open.
    /// `Attached::of_process` finds them. If there is no descriptor for a further segment, this
    /// process alone can read it.
    ///
    /// A node has such a region. A region that only its own program reads needs no descriptor.
    ///
    /// # Errors
    /// If the memory cannot be created, or not be shared: that is possible on 64-bit Linux only.
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
            (14, u64::from(std::process::id())),
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

    /// Creates a line. It gets a place of its own, for which the region may grow. If more than
    /// 1,024 lines have lost their writers, or the region cannot grow, it gets the place of the
    /// line that lost its writer first; the values of that line are added to a line of the region's
    /// own: the total of the replaced lines of its kind and topic. If that is impossible too, the
    /// line works but is invisible; the header counts such lines. A label is cut at 104 bytes.
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
            segment.describe(place.index as usize, V::KIND, label);
            drop(lines);
            return Line::new(&self.retired, segment, place.index as usize, Some(place));
        }
        self.first.word(4).fetch_add(1, Ordering::Relaxed);
        let (hidden, used) = match places.hidden.take() {
            Some((hidden, used)) if used < hidden.lines() => (hidden, used),
            _ => (Shape::further(0, LINES_OF_PAGE).on_heap(), 0),
        };
        let line = Line::new(&self.retired, &hidden, used, None);
        places.hidden = Some((hidden, used + 1));
        line
    }

    /// Returns a place for a new line: a new one, that of a line whose writer is gone, or none.
    /// While all lines are read, none is replaced, and more of them may exist instead.
    fn free_place(&self, places: &mut Places, may_replace: bool) -> Option<Place> {
        let mut retired = self.retired.lock();
        loop {
            let is_over = retired.len() > if may_replace { RETIRED } else { RETIRED_WHILE_READ };
            let has_next = (places.next.index as usize) < self.segment(places.next).lines();
            if !is_over && (has_next || self.grow(places)) {
                let place = places.next;
                places.next.index += 1;
                // Readers do not see the line before it is described, because its generation is 0.
                self.first.word(3).fetch_add(1, Ordering::Release);
                return Some(place);
            }
            if !may_replace {
                return None;
            }
            let place = retired.pop_front()?;
            if self.is_in_total(place, places) {
                return Some(place);
            }
        }
    }

    /// Adds the values of a line whose writer is gone to the total of its kind and label, so that
    /// its place is free. If there is no such total yet, the line becomes the total, and this
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
                segment.describe(index, line.kind, &total.key().1);
                segment.set_values(index, &line.values);
                total.insert(place);
                false
            }
        }
    }

    /// Adds a segment, and moves the next place there. The segment grows with the number of lines,
    /// so that the limit on segments does not limit the lines, and few places are unused.
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
    /// belong to this line: a line that is made meanwhile is complete, or left out. No line is
    /// replaced meanwhile: its values are either in its own line or in the total.
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
    /// reads such copies, also those of other versions.
    #[must_use]
    pub fn dump(&self) -> Vec<Vec<u64>> {
        let words = |segment: &Segment| {
            segment.words().iter().map(|word| word.load(Ordering::Relaxed)).collect()
        };
        self.segments().map(words).collect()
    }

    /// Returns the number of lines that were made without a place where readers could see them.
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

#[cfg(test)]
mod tests;
