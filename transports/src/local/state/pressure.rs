//! The threshold at which a publisher's ring counts as under backpressure, its two marks, and its
//! state at one publisher.
//!
//! `state/mod.rs` says which side compares, and when. Each side stores the state, announces it and
//! compares again, so the later side sees the earlier side's change.

use std::fmt;
use std::ops::Deref;
use std::sync::{Mutex, OnceLock};

use mycelium_core::doorbell::{Doorbell, announce};
use mycelium_core::ring::broadcast::{ArenaWriter, Layout};

use crate::local::ring::shared::Ring;
use crate::sync::{AtomicBool, AtomicUsize, Ordering, lock};

/// The share of a ring at which its publisher is under backpressure.
///
/// It is *exceeded* once the slowest gating reader still needs this share of the ring, and until it
/// needs at most three quarters of that. With 80 %, this is until the depth is at most 60 % of the
/// capacity. If messages differ in length, the same holds for the bytes of the ring's arena:
/// the fuller of slots and bytes counts.
///
/// ```
/// use mycelium_transports::local::Threshold;
///
/// let threshold = Threshold::percent(50).expect("from 1 to 100");
/// assert_eq!(threshold.marks(1024), (512, 384));
/// assert_eq!(Threshold::default().marks(1024), (820, 615));
/// assert_eq!(Threshold::percent(0), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threshold(usize);

impl Threshold {
    /// Creates a threshold of 1 to 100 percent of the capacity; `None` for other values.
    #[must_use]
    pub fn percent(percent: u32) -> Option<Threshold> {
        (1..=100).contains(&percent).then_some(Threshold(percent as usize))
    }

    /// Returns the depth from which the threshold is exceeded in a ring of `capacity` messages, and
    /// the depth at which this ends.
    #[must_use]
    pub fn marks(self, capacity: usize) -> (usize, usize) {
        // Computed in two parts, so that no product exceeds a word.
        let upper = capacity / 100 * self.0 + (capacity % 100 * self.0).div_ceil(100);
        (upper, upper - upper.div_ceil(4))
    }
}

/// The default is 80 percent.
impl Default for Threshold {
    fn default() -> Threshold {
        Threshold(80)
    }
}

/// A change of a publisher's backpressure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PressureChange {
    /// Whether the threshold is exceeded now.
    pub exceeded: bool,
    /// The number of messages that the slowest gating reader still needs.
    pub depth: usize,
    /// The number of slots of the ring.
    pub capacity: usize,
}

/// The doorbell at which a publisher waits for room. Beside it are the words that readers load when
/// they wake the publisher, so that they load no further cache line.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Room {
    /// Whether the threshold is exceeded.
    exceeded: AtomicBool,
    /// While the threshold is exceeded: the position that all readers must reach before the depth
    /// can be at the lower mark.
    relieved_at: AtomicUsize,
    doorbell: Doorbell,
}

impl Room {
    pub(crate) fn new() -> Room {
        Room {
            exceeded: AtomicBool::new(false),
            relieved_at: AtomicUsize::new(0),
            doorbell: Doorbell::new(),
        }
    }

    /// Whether the threshold is exceeded.
    #[inline]
    pub(crate) fn is_exceeded(&self) -> bool {
        self.exceeded.load(Ordering::Relaxed)
    }

    /// Returns the position that all readers must reach before an exceeded threshold can end.
    #[inline]
    pub(crate) fn relieved_at(&self) -> usize {
        // Relaxed: an outdated position is an earlier one, which only costs a comparison.
        self.relieved_at.load(Ordering::Relaxed)
    }
}

impl Deref for Room {
    type Target = Doorbell;

    #[inline]
    fn deref(&self) -> &Doorbell {
        &self.doorbell
    }
}

/// The marks of a publisher's threshold, and the observer of changes.
pub(crate) struct Pressure {
    upper: AtomicUsize,
    lower: AtomicUsize,
    /// Only the writer knows how full the arena is.
    arena: ArenaPressure,
    notified: Mutex<Notified>,
    observer: OnceLock<Box<dyn Fn(PressureChange) + Send + Sync>>,
}

/// The fill of an arena, as far as the writer has seen it, in words.
#[derive(Default)]
pub(crate) struct ArenaPressure {
    upper: AtomicUsize,
    lower: AtomicUsize,
    high_water: AtomicUsize,
    /// The message that all readers must reach before the fill is at the lower mark.
    relieved_at: AtomicUsize,
}

impl ArenaPressure {
    /// Whether a reader needs a message before the one at which the fill is at the lower mark.
    fn is_exceeded(&self, kept: usize) -> bool {
        if self.high_water() == 0 {
            // Nothing was in the arena, or there is none.
            return false;
        }
        let relieved_at = self.relieved_at.load(Ordering::Relaxed);
        relieved_at.wrapping_sub(kept).cast_signed() > 0
    }

    /// Returns the greatest fill so far.
    pub(crate) fn high_water(&self) -> usize {
        self.high_water.load(Ordering::Relaxed)
    }

    /// Takes note of the fill of the arena, whose oldest needed message is `kept`. Returns the
    /// number of words after which it may be at the upper mark.
    pub(crate) fn note(&self, arena: &ArenaWriter, kept: usize, next: usize) -> usize {
        let (upper, lower) = (&self.upper, &self.lower);
        let (upper, lower) = (upper.load(Ordering::Relaxed), lower.load(Ordering::Relaxed));
        let taken = arena.taken(kept, next);
        self.high_water.fetch_max(taken, Ordering::Relaxed);
        let relieved_at = match taken >= upper || self.is_exceeded(kept) {
            true => arena.first_within(lower, kept, next),
            // Stays close to the readers, because sequences wrap on 32-bit hosts.
            false => kept,
        };
        self.relieved_at.store(relieved_at, Ordering::Relaxed);
        if taken < upper { upper - taken } else { (upper - lower).max(1) }
    }
}

/// The last change that the observer was notified of.
#[derive(Default)]
struct Notified {
    exceeded: bool,
    /// A thread is calling the observer. It also reports changes that happen meanwhile.
    is_notifying: bool,
}

impl Pressure {
    pub(crate) fn new(threshold: Threshold, capacity: usize) -> Pressure {
        let (upper, lower) = threshold.marks(capacity);
        Pressure {
            upper: AtomicUsize::new(upper),
            lower: AtomicUsize::new(lower),
            arena: ArenaPressure::default(),
            notified: Mutex::default(),
            observer: OnceLock::new(),
        }
    }

    pub(crate) fn set_threshold(&self, threshold: Threshold, layout: Layout) {
        let (upper, lower) = threshold.marks(layout.capacity());
        self.upper.store(upper, Ordering::Relaxed);
        self.lower.store(lower, Ordering::Relaxed);
        let (upper, lower) = threshold.marks(layout.arena_words());
        self.arena.upper.store(upper, Ordering::Relaxed);
        self.arena.lower.store(lower, Ordering::Relaxed);
    }

    /// Returns the fill of the arena.
    pub(crate) fn arena(&self) -> &ArenaPressure {
        &self.arena
    }

    /// Calls `observer` at each change from now on. Only the first observer counts.
    pub(crate) fn observe(&self, observer: impl Fn(PressureChange) + Send + Sync + 'static) {
        let _ = self.observer.set(Box::new(observer));
    }

    /// Returns the number of messages from one mark to the other, at least 1.
    pub(crate) fn distance(&self) -> usize {
        self.upper.load(Ordering::Relaxed) - self.lower.load(Ordering::Relaxed)
    }

    /// Returns the number of messages from an empty ring to the upper mark.
    pub(crate) fn upper(&self) -> usize {
        self.upper.load(Ordering::Relaxed)
    }

    /// Compares the depth with the marks, and notifies the observer of a change. Returns the number
    /// of messages after which the threshold may be exceeded again.
    pub(crate) fn compare(&self, room: &Room, ring: &Ring, depth: impl Fn() -> usize) -> usize {
        let (upper, lower) = (self.upper(), self.lower.load(Ordering::Relaxed));
        let mut has_changed = false;
        let last = loop {
            let (depth, before) = (depth(), room.exceeded.load(Ordering::SeqCst));
            let tail = ring.tail();
            let by_arena = self.arena.is_exceeded(tail.wrapping_sub(depth));
            let now = by_arena || if before { depth > lower } else { depth >= upper };
            if now {
                let mut relieved_at = tail.wrapping_sub(lower);
                if self.arena.is_exceeded(relieved_at) {
                    relieved_at = self.arena.relieved_at.load(Ordering::Relaxed);
                }
                room.relieved_at.store(relieved_at, Ordering::Relaxed);
            }
            if now == before {
                break depth;
            }
            room.exceeded.store(now, Ordering::SeqCst);
            has_changed = true;
            // Compares again: the publisher or a reader may have changed the depth before it could
            // see this state.
            announce();
        };
        if has_changed {
            self.notify(room, ring.capacity(), depth);
        }
        if room.is_exceeded() { self.distance() } else { upper.saturating_sub(last).max(1) }
    }

    /// Notifies the observer of changes, one after the other.
    fn notify(&self, room: &Room, capacity: usize, depth: impl Fn() -> usize) {
        let Some(observer) = self.observer.get() else { return };
        let mut notified = lock(&self.notified);
        if notified.is_notifying {
            return;
        }
        notified.is_notifying = true;
        loop {
            let exceeded = room.exceeded.load(Ordering::SeqCst);
            if notified.exceeded == exceeded {
                break;
            }
            notified.exceeded = exceeded;
            // Releases the lock first, because an observer may use the publisher's topic.
            drop(notified);
            observer(PressureChange { exceeded, depth: depth(), capacity });
            notified = lock(&self.notified);
        }
        notified.is_notifying = false;
    }
}

impl fmt::Debug for Pressure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pressure").field("upper", &self.upper()).finish_non_exhaustive()
    }
}
