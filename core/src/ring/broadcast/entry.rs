//! The entry of one gating reader: the words of its position and its state.
//!
//! | state | the writer waits | next |
//! | --- | --- | --- |
//! | `FREE` | no | `JOINING`, by the thread that claims the entry |
//! | `JOINING` | no | `GATING`, `EVICTABLE` or `OBSERVING`, by its owner |
//! | `GATING` | yes | `FREE` or `EVICTABLE`, by its owner |
//! | `EVICTABLE` | yes | `FREE` or `GATING`, by its owner; `EVICTED`, by any thread of this process; `SUSPENDED`, by the writer |
//! | `SUSPENDED` | no, until its position moves | `FREE`, by its owner; `EVICTABLE`, by the writer at a check, or by a thread that imports its position |
//! | `EVICTED` | no | `FREE`, by its owner |
//! | `OBSERVING` | no: the entry publishes the position of an observer | `FREE`, by its owner |
//!
//! The state's word also counts the claims of the entry, so that a reader of the entry is never
//! taken for an earlier one. A reader that becomes a proxy counts as another claim. The messages
//! for an evictable reader may be overwritten at any time: it never borrows them, but copies them
//! and checks the stamp again.

use core::ops::Deref;

use crossbeam_utils::CachePadded;
use thiserror::Error;

use crate::ring::is_after;
use crate::sync::{AtomicUsize, Ordering, const_unless_loom, order, repeat};

/// The words of one gating reader: its position, and the state of the entry.
#[derive(Debug)]
#[repr(C)]
pub struct ReaderWords {
    pub(super) shown: Padded<Shown, { padding::<Shown>() }>,
    /// The writer keeps the messages from here on: the reader's next sequence, or one after it for a
    /// [late](super::Broadcast::gating_late) reader. The reader stores it for each message, so the
    /// writer loads it only if it finds no room otherwise.
    pub(super) taken: Padded<AtomicUsize, { padding::<AtomicUsize>() }>,
}

/// The words that the writer loads at each check.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Shown {
    /// The published position: the reader no longer uses the messages before it. At most
    /// [`taken`](ReaderWords::taken).
    pub(super) cursor: AtomicUsize,
    /// The state in the low bits, and the number of claims above it.
    state: AtomicUsize,
    /// The position of the last suspension. Used only by the writer.
    suspended_at: AtomicUsize,
}

const FREE: usize = 0;
const JOINING: usize = 1;
pub(super) const GATING: usize = 2;
pub(super) const EVICTABLE: usize = 3;
const EVICTED: usize = 4;
pub(super) const OBSERVING: usize = 5;
const SUSPENDED: usize = 6;
/// The mask of the state.
const STATE: usize = 7;
/// The value of one claim in the word.
const CLAIM: usize = 8;

/// Returns whether the writer waits for a reader in this state.
pub(super) fn is_gating(word: usize) -> bool {
    matches!(word & STATE, GATING | EVICTABLE)
}

/// One use of an entry by one reader. Each later use of the entry, and a reader that becomes a
/// [proxy](super::ProxyReader), is another claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Claim {
    /// The index of the entry.
    pub entry: usize,
    /// The number of claims of the entry up to this one.
    pub generation: usize,
}

impl Claim {
    /// A claim that no reader has.
    pub(super) const NONE: Claim = Claim { entry: 0, generation: 0 };

    /// Returns the claim of the reader with this entry, from the word of the entry's state.
    pub(super) fn of(entry: usize, word: usize) -> Claim {
        Claim { entry, generation: word / CLAIM }
    }
}

/// The words of a reader in another process at the last check; zero before the first check.
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(loom, allow(dead_code, reason = "models have no regions"))]
pub struct SeenReader {
    state: usize,
    taken: usize,
}

/// A violation of the protocol by the words of another process.
#[derive(Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ReaderFault {
    /// The state's word cannot follow its value at the last check.
    #[error("its state is {found:#x}, after {before:#x}")]
    State {
        /// The word at the last check.
        before: usize,
        /// The word at this check.
        found: usize,
    },
    /// The position is before the position at the last check.
    #[error("its position is {found}, after {before}")]
    Backwards {
        /// The position at the last check.
        before: usize,
        /// The position at this check.
        found: usize,
    },
    /// The position is after all published messages.
    #[error("its position is {found}, and the next message is {tail}")]
    Ahead {
        /// The sequence of the next message.
        tail: usize,
        /// The position at this check.
        found: usize,
    },
}

crate::debug_as_display!(ReaderFault);

/// The limit on claims of one entry between two checks.
#[cfg(not(loom))]
const MOST_CLAIMS: usize = 1 << (usize::BITS / 2);

fn earlier(one: usize, other: usize) -> usize {
    if is_after(one, other) { other } else { one }
}

/// Returns the next claim after the one in this word, without a state.
fn next_claim(word: usize) -> usize {
    (word & !STATE).wrapping_add(CLAIM)
}

impl ReaderWords {
    const_unless_loom! {
        /// Creates a free entry.
        #[must_use]
        pub const fn new() -> ReaderWords {
            ReaderWords {
                shown: Padded::new(Shown {
                    cursor: AtomicUsize::new(0),
                    state: AtomicUsize::new(FREE),
                    suspended_at: AtomicUsize::new(0),
                }),
                taken: Padded::new(AtomicUsize::new(0)),
            }
        }
    }

    /// Owner: stores that the reader no longer uses the messages before `sequence`. Only an exact
    /// check of the writer loads this.
    #[inline(always)]
    pub(super) fn take(&self, sequence: usize) {
        // Release, pairs with the Acquire of `broadcast.room`: this reader no longer uses the slots
        // before it.
        self.taken.store(sequence, order!("broadcast.take", Release));
    }

    /// Owner: does the same as [`take`](ReaderWords::take), and publishes the position to every
    /// check of the writer.
    #[inline]
    pub(super) fn show(&self, sequence: usize) {
        self.take(sequence);
        // Release, pairs with the Acquire of `broadcast.room`.
        self.shown.cursor.store(sequence, order!("broadcast.advance", Release));
    }

    /// Claims the entry if it is free. Returns whether it did.
    pub(super) fn claim(&self) -> bool {
        let word = self.shown.state.load(Ordering::Relaxed);
        let joining = next_claim(word) | JOINING;
        // Acquire, pairs with the Release of `broadcast.leave`: the previous reader no longer uses
        // its slots and the entry.
        let claim = order!("broadcast.claim", Acquire);
        let exchange =
            || self.shown.state.compare_exchange(word, joining, claim, Ordering::Relaxed);
        word & STATE == FREE && exchange().is_ok()
    }

    /// Owner, after a claim: sets the first state. No other thread changes the entry before.
    pub(super) fn join(&self, state: usize) {
        let word = self.shown.state.load(Ordering::Relaxed);
        // Release, pairs with the Acquire of `broadcast.readers`: the first cursor.
        self.shown.state.store(word & !STATE | state, order!("broadcast.join", Release));
    }

    /// Owner: frees the entry, even during an eviction.
    pub(super) fn leave(&self) {
        const { assert!(FREE == 0) };
        // Release, pairs with the Acquire of `broadcast.readers` and `broadcast.claim`: this reader
        // no longer uses the slots and the entry.
        self.shown.state.fetch_and(!STATE, order!("broadcast.leave", Release));
    }

    /// Owner: makes the writer wait for another process in place of this reader. This is another
    /// claim, so that late imports for an earlier proxy have no effect. Returns `false` if the
    /// writer does not wait for this reader, because it was evicted or observes.
    pub(super) fn begin_proxy(&self) -> bool {
        self.change(|word| match word & STATE {
            GATING | EVICTABLE => Some(next_claim(word) | EVICTABLE),
            SUSPENDED => Some(next_claim(word) | SUSPENDED),
            _ => None,
        })
    }

    /// Owner: makes the writer wait for a reader of this process again; `can_be_evicted` says
    /// whether the reader can be evicted. Returns `false` after an eviction.
    pub(super) fn end_proxy(&self, can_be_evicted: bool) -> bool {
        self.change(|word| match word & STATE {
            EVICTABLE if can_be_evicted => Some(next_claim(word) | EVICTABLE),
            EVICTABLE => Some(word & !STATE | GATING),
            SUSPENDED => Some(next_claim(word) | SUSPENDED),
            _ => None,
        })
    }

    /// Any thread of the writer's process: evicts the reader with this claim. Returns `false` if
    /// the reader cannot be evicted, or has left.
    pub(super) fn evict(&self, generation: usize) -> bool {
        let (claim, relaxed) = (generation.wrapping_mul(CLAIM), Ordering::Relaxed);
        let exchange = |from, to| self.shown.state.compare_exchange(from, to, relaxed, relaxed);
        // Relaxed, as in `change`.
        exchange(claim | EVICTABLE, claim | EVICTED).is_ok()
            || exchange(claim | SUSPENDED, claim | EVICTED).is_ok()
    }

    /// Writer: suspends the reader with this claim until it moves. Returns `false` if the reader
    /// cannot be evicted, is already suspended, or has left.
    pub(super) fn suspend(&self, generation: usize) -> bool {
        let (claim, relaxed) = (generation.wrapping_mul(CLAIM), Ordering::Relaxed);
        let (state, evictable) = (&self.shown.state, claim | EVICTABLE);
        if state.load(relaxed) != evictable {
            return false;
        }
        self.shown.suspended_at.store(self.taken.load(relaxed), relaxed);
        // Relaxed, as in `change`.
        state.compare_exchange(evictable, claim | SUSPENDED, relaxed, relaxed).is_ok()
    }

    /// Writer: returns the [state](ReaderWords::state) of the entry, after ending a suspension if
    /// the reader has moved.
    pub(super) fn resumed_state(&self) -> usize {
        let word = self.state();
        if word & STATE == SUSPENDED { self.resume(word) } else { word }
    }

    #[cold]
    fn resume(&self, word: usize) -> usize {
        let relaxed = Ordering::Relaxed;
        let before = self.shown.suspended_at.load(relaxed);
        if !is_after(self.taken.load(relaxed), before) {
            return word;
        }
        let next = word & !STATE | EVICTABLE;
        // Relaxed, as in `change`.
        let resumed = self.shown.state.compare_exchange(word, next, relaxed, relaxed);
        if resumed.is_ok() { next } else { word }
    }

    /// Owner: replaces the state's word by the result of `next`, and retries if the word has
    /// changed meanwhile. Returns `false` if `next` returns `None`.
    fn change(&self, next: impl Fn(usize) -> Option<usize>) -> bool {
        let (state, relaxed) = (&self.shown.state, Ordering::Relaxed);
        let mut word = state.load(relaxed);
        // Relaxed: an evictable reader copies and checks the stamp again, so nothing needs to
        // happen before its slots are used. An exchange continues the release sequence of
        // `broadcast.join`: a writer that sees the new state sees the first cursor, too.
        while let Some(next) = next(word) {
            match state.compare_exchange(word, next, relaxed, relaxed) {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
        false
    }

    /// Returns the state, for the writer.
    pub(super) fn state(&self) -> usize {
        // Acquire, pairs with the Release of `broadcast.leave`: a reader that has left no longer
        // uses its slots.
        self.shown.state.load(order!("broadcast.readers", Acquire))
    }

    /// Returns whether the reader was evicted. The words may belong to another process.
    pub(in crate::ring) fn is_evicted(&self) -> bool {
        self.shown.state.load(Ordering::Relaxed) & STATE == EVICTED
    }

    /// Returns whether the reader is suspended. The words may belong to another process.
    pub(in crate::ring) fn is_suspended(&self) -> bool {
        self.shown.state.load(Ordering::Relaxed) & STATE == SUSPENDED
    }

    /// Owner: returns whether the entry only publishes the position of an observer.
    pub(super) fn is_observing(&self) -> bool {
        self.shown.state.load(Ordering::Relaxed) & STATE == OBSERVING
    }

    /// Returns whether the entry still has this claim and the writer waits for its reader, or will
    /// once the reader moves. The words may belong to another process.
    #[doc(hidden)]
    #[must_use]
    pub fn is_held(&self, generation: usize) -> bool {
        let word = self.shown.state.load(Ordering::Relaxed);
        (is_gating(word) || word & STATE == SUSPENDED) && word / CLAIM == generation
    }

    /// Returns whether the entry has a reader that the writer waits for. The words may belong to
    /// another process.
    #[cfg(not(loom))]
    pub(in crate::ring) fn is_gating(&self) -> bool {
        is_gating(self.shown.state.load(Ordering::Relaxed))
    }

    /// Returns the position of the slowest gating reader of these entries: its published position,
    /// or with `exact` its current one. The words may belong to another process, so it may be any
    /// number.
    #[doc(hidden)]
    #[must_use]
    pub fn slowest<'a>(
        entries: impl IntoIterator<Item = &'a ReaderWords>,
        exact: bool,
    ) -> Option<usize> {
        let gating = entries.into_iter().filter(|entry| {
            // Acquire, as in `Broadcast::slowest`; the memory may be mapped read-only.
            let state = entry.shown.state.acquire(true, order!("broadcast.readers", Acquire));
            is_gating(state)
        });
        let positions = gating.map(|entry| {
            let position = if exact { &entry.taken } else { &entry.shown.cursor };
            // Acquire, as in `Broadcast::room`.
            position.acquire(true, order!("broadcast.room", Acquire))
        });
        positions.reduce(earlier)
    }

    /// Returns the position of the slowest observer of these entries that publishes it. The words
    /// may belong to another process, so it may be any number.
    #[cfg(not(loom))]
    pub(in crate::ring) fn slowest_observer<'a>(
        entries: impl IntoIterator<Item = &'a ReaderWords>,
    ) -> Option<usize> {
        let observing = entries.into_iter().filter(|entry| {
            let state = entry.shown.state.acquire(true, order!("broadcast.readers", Acquire));
            state & STATE == OBSERVING
        });
        let positions = observing.map(|entry| entry.taken.load(Ordering::Relaxed));
        positions.reduce(earlier)
    }

    /// Checks the words of another process against those that were `seen` at the last check, in a
    /// ring of `capacity` slots. `tail` is called after the position was loaded.
    #[cfg(not(loom))]
    pub(in crate::ring) fn check(
        &self,
        seen: &mut SeenReader,
        capacity: usize,
        tail: impl Fn() -> usize,
    ) -> Result<(), ReaderFault> {
        let state = self.shown.state.acquire(true, order!("broadcast.readers", Acquire));
        let claims = (state / CLAIM).wrapping_sub(seen.state / CLAIM) & (usize::MAX / CLAIM);
        if state & STATE > OBSERVING || claims > MOST_CLAIMS {
            return Err(ReaderFault::State { before: seen.state, found: state });
        }
        let before = core::mem::replace(&mut seen.state, state);
        if !is_gating(state) {
            return Ok(());
        }
        let taken = self.taken.acquire(true, order!("broadcast.room", Acquire));
        if self.shown.state.load(Ordering::Relaxed) != state {
            // The position may already belong to a later reader than `state`, so only the next
            // check compares it.
            seen.state = before;
            return Ok(());
        }
        // A new reader may begin before the position of the previous one.
        if state == before && is_after(seen.taken, taken) {
            return Err(ReaderFault::Backwards { before: seen.taken, found: taken });
        }
        seen.taken = taken;
        // A reader may be ahead of this tail by up to the capacity: it sees the messages of a batch
        // before this thread sees the tail after them.
        let tail = tail();
        if is_after(taken, tail.wrapping_add(capacity)) {
            return Err(ReaderFault::Ahead { tail, found: taken });
        }
        Ok(())
    }

    /// Owner: returns the claim of this reader, whose entry has this index.
    pub(super) fn claim_of(&self, entry: usize) -> Claim {
        Claim::of(entry, self.shown.state.load(Ordering::Relaxed))
    }

    /// Owner: returns the claim that this reader would have as a proxy.
    pub(super) fn proxy_claim(&self, entry: usize) -> Claim {
        Claim::of(entry, next_claim(self.shown.state.load(Ordering::Relaxed)))
    }

    /// Moves the position of an evictable reader to the position of a reader in another process.
    /// `position` may be any number, so the entry never moves backwards, and at most to `tail`;
    /// `None` also moves it to `tail`. Before the call, the caller must load the tail, raise a
    /// sequentially consistent fence, and then load `position`, in this order. Any number of
    /// threads may do this at once.
    pub(super) fn import(&self, generation: usize, tail: usize, position: Option<usize>) {
        let position = position.filter(|position| !is_after(*position, tail)).unwrap_or(tail);
        // A guess for both words, which differ while another thread is between its two exchanges.
        // `raise` corrects it.
        let previous = self.taken.load(Ordering::Relaxed);
        let (suspended, state) = (generation.wrapping_mul(CLAIM) | SUSPENDED, &self.shown.state);
        if state.load(Ordering::Relaxed) == suspended && is_after(position, previous) {
            let next = suspended & !STATE | EVICTABLE;
            // Relaxed, as in `change`. If the exchange fails, another thread did the same, or the
            // reader has left.
            _ = state.compare_exchange(suspended, next, Ordering::Relaxed, Ordering::Relaxed);
        }
        for word in [&*self.taken, &self.shown.cursor] {
            self.raise(word, generation, previous, position);
        }
    }

    fn raise(&self, word: &AtomicUsize, generation: usize, mut previous: usize, position: usize) {
        let evictable = generation.wrapping_mul(CLAIM) | EVICTABLE;
        // The state is loaded after the position. If a new reader gets the entry meanwhile, it sees
        // the tail before the caller's fence, and so has a later position, which is not moved.
        while self.shown.state.load(Ordering::Relaxed) == evictable {
            // The position never moves backwards. An unchanged word is exchanged too, because only
            // that shows whether the guess is right.
            let next = if is_after(position, previous) { position } else { previous };
            // Release, pairs with the Acquire of `broadcast.room`: the other process no longer uses
            // the slots before it.
            let import = order!("broadcast.import", Release);
            match word.compare_exchange(previous, next, import, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => previous = now,
            }
        }
    }
}

impl Default for ReaderWords {
    fn default() -> ReaderWords {
        ReaderWords::new()
    }
}

/// Returns the number of padding words after a `T`, which consists of words. Loom needs none.
pub(super) const fn padding<T>() -> usize {
    let line = align_of::<CachePadded<usize>>();
    assert!(cfg!(loom) || size_of::<T>() <= line, "this is for the words of one line");
    if cfg!(loom) { 0 } else { (line - size_of::<T>()) / size_of::<usize>() }
}

/// A `T` of atomic words, alone on its cache lines. `PADDING` must be [`padding::<T>()`](padding).
///
/// The padding is atomic too: another process may write to all bytes of its memory, and Rust
/// assumes that other bytes do not change while a reference lives.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Padded<T, const PADDING: usize> {
    alignment: [CachePadded<usize>; 0],
    content: T,
    padding: [AtomicUsize; PADDING],
}

impl<T, const PADDING: usize> Padded<T, PADDING> {
    const_unless_loom! {
        pub(super) const fn new(content: T) -> Padded<T, PADDING> {
            Padded { alignment: [], content, padding: repeat!(AtomicUsize::new(0); PADDING) }
        }
    }
}

impl<T, const PADDING: usize> Deref for Padded<T, PADDING> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        &self.content
    }
}
