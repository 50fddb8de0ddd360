//! [`Waiters`], the trait of a place where tasks wait: a [`Doorbell`] for one task, a
//! [`WaiterList`] for several. This file may use the doorbell, but no ring or channel.
//!
//! One word of a list has a bit for each sleeping task, so a ringer that loads zero is done. Each
//! task has a [`Doorbell`] of its own. The number of places is fixed (`WaiterList<N>`, no heap), or
//! more blocks of places follow on the heap (`WaiterList<N, OnHeap>`, feature `alloc`). Both run
//! the same code: it works on blocks, and [`Growth`] says whether another block follows.

use core::task::Waker;

use super::{Doorbell, announce, ring_each};
use crate::sync::{AtomicUsize, Ordering, barrier, const_unless_loom, order, repeat};

/// Where tasks wait for the same thing.
///
/// Each task registers once and keeps its key for as long as it may want to wait. To wait: check,
/// call [`park`](Waiters::park), check again.
///
/// A ringer wakes one task, not all, so the woken task is responsible for the others. The
/// invariant: *while there is something to take and a task sleeps, another task is awake that will
/// check*. Therefore
/// - a task that parked and then got what it wanted calls [`unpark`](Waiters::unpark), checks
///   whether there is more, and rings if so. One ring may stand for several items: the ring for an
///   item behind a slot that was not filled yet came too early;
/// - a task that stops waiting without success calls [`unpark`](Waiters::unpark), and rings if that
///   says that it was woken.
///
/// **Turns.** A woken task may find that another one was faster. It then calls
/// [`starve`](Waiters::starve) before it parks again, and [`relieve`](Waiters::relieve) when its
/// wait ends. Starving tasks are woken before others, in the order of their places from the one
/// that passed its turn last. Tasks that ask [`must_yield`](Waiters::must_yield) leave the last thing
/// to the first of them. So the others cannot take it for ever, and with room for more they need
/// not wait.
pub trait Waiters {
    /// Whether more than one task may wait here, so that a wake must be passed on.
    const SHARED: bool;

    /// Identifies a registered task.
    type Key: Send;

    /// Registers a task. Returns `None` if all places are taken.
    fn register(&self) -> Option<Self::Key>;

    /// Ends a registration. The task must not be parked. Its waker is dropped.
    fn unregister(&self, key: &Self::Key);

    /// Stores `waker` and marks the task as asleep. The caller must check once more after this and
    /// may return `Pending` only if there is still nothing.
    fn park(&self, key: &Self::Key, waker: &Waker);

    /// Ends the wait of a task that called [`park`](Waiters::park). Returns whether the task had
    /// been rung. If so, and if wakes are to be passed on, the caller now sees everything that was
    /// published before the ring.
    fn unpark(&self, key: &Self::Key) -> bool;

    /// Wakes one sleeping task, if any. Call [`announce`] first.
    fn ring(&self);

    /// Wakes all sleeping tasks. Call [`announce`] first.
    fn ring_all(&self);

    /// Marks a task as starving. It has parked before, and parks now.
    fn starve(&self, _key: &Self::Key) {}

    /// Ends what [`starve`](Waiters::starve) began. Other tasks may have parked only because of this
    /// one, so the caller then checks whether there is more, and rings if so. Returns whether the
    /// task was the first one; it then still has its turn.
    fn relieve(&self, _key: &Self::Key) -> bool {
        false
    }

    /// Gives the turn of a task to the next place.
    fn pass_turn(&self, _key: &Self::Key) {}

    /// Returns whether another task starves and comes first. If so, this one must leave something
    /// for it, and call [`ring_first`](Waiters::ring_first) if it left something and parks.
    #[inline]
    fn must_yield(&self, _key: &Self::Key) -> bool {
        false
    }

    /// Wakes the first starving task if it sleeps. Call [`announce`] first, or
    /// [`park`](Waiters::park).
    fn ring_first(&self) {}

    /// Calls [`announce`] and [`ring`](Waiters::ring), for one set of waiters. Cheaper where it can
    /// wake without the fence.
    #[inline]
    fn announce_and_ring(&self) {
        announce();
        self.ring();
    }
}

/// A doorbell has one place.
impl Waiters for Doorbell {
    const SHARED: bool = false;

    type Key = ();

    fn register(&self) -> Option<()> {
        // Acquire, pairs with the Release of `doorbell.unregister`: the state as the previous task
        // left it. Without it this task could take itself for a second waiter.
        let acquire = order!("doorbell.register", Acquire);
        self.taken.compare_exchange(0, 1, acquire, Ordering::Relaxed).ok().map(drop)
    }

    fn unregister(&self, (): &()) {
        self.forget();
        self.taken.store(0, order!("doorbell.unregister", Release));
    }

    #[inline]
    fn park(&self, (): &(), waker: &Waker) {
        Doorbell::park(self, waker);
    }

    #[inline]
    fn unpark(&self, (): &()) -> bool {
        Doorbell::unpark(self);
        // Returns false, because no other task could take over the wake.
        false
    }

    #[inline]
    fn ring(&self) {
        Doorbell::ring(self);
    }

    #[inline]
    fn ring_all(&self) {
        Doorbell::ring(self);
    }

    #[inline]
    fn announce_and_ring(&self) {
        Doorbell::announce_and_ring(self);
    }
}

/// The number of places in each block after the first.
pub(super) const FURTHER: usize = if cfg!(loom) { 2 } else { usize::BITS as usize - 1 };

/// The bit of the first block's word that is set once further blocks exist. So a ringer still needs
/// only one load if there are few places and no task sleeps. In a list that grows, no place uses
/// this bit.
const MORE: usize = 1 << (usize::BITS - 1);

/// Places for up to `N` tasks, and more if `G` allows. `N` is at most the number of bits of a word,
/// or one less if the list grows.
///
/// ```
/// use core::task::Waker;
/// use mycelium_core::doorbell::{WaiterList, Waiters, announce};
///
/// let waiters = WaiterList::<2>::new();
/// let (one, other) = (waiters.register().unwrap(), waiters.register().unwrap());
/// assert!(waiters.register().is_none());
/// waiters.park(&one, Waker::noop()); // then check once more before sleeping
/// waiters.park(&other, Waker::noop());
/// announce();
/// waiters.ring();
/// assert_eq!([waiters.unpark(&one), waiters.unpark(&other)], [true, false], "one was woken");
/// waiters.unregister(&one);
/// assert!(waiters.register().is_some());
/// ```
#[derive(Debug)]
pub struct WaiterList<const N: usize, G = Fixed> {
    /// A bit for each place with a sleeping task, and [`MORE`].
    parked: AtomicUsize,
    /// A bit for each registered place.
    taken: AtomicUsize,
    /// A bit for each place with a starving task.
    starving: AtomicUsize,
    /// The place, counted over all blocks, at which the next ringer begins its search, so that all
    /// get their turn. While tasks starve, only they move it. Used in the first block.
    turn: AtomicUsize,
    bells: [Doorbell; N],
    growth: G,
}

/// Identifies a task in a [`WaiterList`].
#[derive(Debug)]
pub struct Key(pub(super) usize);

/// Whether a list of waiters grows when all places are taken: [`Fixed`] or `OnHeap`.
pub trait Growth: Sized {
    /// Whether further blocks can exist.
    #[doc(hidden)]
    const GROWS: bool;

    /// Returns the next block, if it exists.
    #[doc(hidden)]
    fn next(&self) -> Option<&WaiterList<FURTHER, Self>>;

    /// Returns the next block and creates it if needed; `None` if the list does not grow.
    #[doc(hidden)]
    fn next_or_new(&self) -> Option<&WaiterList<FURTHER, Self>>;
}

/// A list that does not grow.
#[derive(Debug)]
pub struct Fixed;

impl Growth for Fixed {
    const GROWS: bool = false;

    fn next(&self) -> Option<&WaiterList<FURTHER, Fixed>> {
        None
    }

    fn next_or_new(&self) -> Option<&WaiterList<FURTHER, Fixed>> {
        None
    }
}

impl<const N: usize> WaiterList<N> {
    const_unless_loom! {
        /// Creates a list without waiters. It does not compile if `N` exceeds the bits of a word.
        ///
        /// ```compile_fail
        /// let waiters = mycelium_core::doorbell::WaiterList::<65>::new();
        /// ```
        #[must_use]
        pub const fn new() -> WaiterList<N> {
            WaiterList::with(Fixed)
        }
    }
}

impl<const N: usize> Default for WaiterList<N> {
    fn default() -> WaiterList<N> {
        WaiterList::new()
    }
}

impl<const N: usize, G: Growth> WaiterList<N, G> {
    const_unless_loom! {
        pub(super) const fn with(growth: G) -> WaiterList<N, G> {
            const {
                let most = usize::BITS as usize - G::GROWS as usize;
                assert!(N > 0 && N <= most, "a list has from 1 place to as many as a word has bits");
            }
            WaiterList {
                parked: AtomicUsize::new(0),
                taken: AtomicUsize::new(0),
                starving: AtomicUsize::new(0),
                turn: AtomicUsize::new(0),
                bells: repeat!(Doorbell::new(); N),
                growth,
            }
        }
    }

    fn block(&self, start: usize) -> Block<'_> {
        let WaiterList { parked, taken, starving, bells, .. } = self;
        Block { start, parked, taken, starving, bells }
    }

    /// Returns all blocks, in order.
    fn blocks(&self) -> impl Iterator<Item = Block<'_>> {
        let further = core::iter::successors(self.growth.next(), |list| list.growth.next());
        let further = further.enumerate().map(|(index, list)| list.block(N + index * FURTHER));
        core::iter::once(self.block(0)).chain(further)
    }

    /// Calls `with` with the block of a registered task, and its place.
    // A call for each case, because the one for the first block then becomes short.
    #[inline(always)]
    fn in_block<R>(&self, key: &Key, with: impl Fn(Block<'_>, usize) -> R) -> R {
        if key.0 < N { with(self.block(0), key.0) } else { with(self.further_block(key), key.0) }
    }

    #[cold]
    fn further_block(&self, key: &Key) -> Block<'_> {
        match self.blocks().nth(1 + (key.0 - N) / FURTHER) {
            Some(block) => block,
            None => unreachable!("blocks live as long as their keys"),
        }
    }

    #[inline]
    fn has_starving(&self) -> bool {
        self.starving.load(Ordering::Relaxed) != 0
            || self.growth.next().is_some_and(|list| list.has_starving())
    }

    /// Returns the starving task whose turn is next.
    #[cold]
    fn first_starving(&self) -> Option<(Block<'_>, usize)> {
        let turn = self.turn.load(Ordering::Relaxed);
        [turn, 0].into_iter().find_map(|turn| {
            self.blocks().find_map(|block| Some((block, block.next(block.starving, turn)?)))
        })
    }

    /// Wakes the first starving task if it sleeps, or else the next sleeping one, in turn over all
    /// places. Returns whether there was one. `parked` is the first block's word.
    #[inline(never)]
    fn wake_one(&self, parked: usize) -> bool {
        // The most frequent case: one task sleeps, no other one starves, and there is one block.
        if parked.is_power_of_two() && parked != MORE && self.starving.load(Ordering::Relaxed) == 0
        {
            let place = parked.trailing_zeros() as usize;
            self.turn.store(place + 1, Ordering::Relaxed);
            if self.block(0).wake(place) {
                return true;
            }
        }
        self.wake_next()
    }

    /// Does the same as [`wake_one`](Self::wake_one) in all cases.
    #[cold]
    fn wake_next(&self) -> bool {
        let starving = self.has_starving();
        if starving && self.wake_first() {
            return true;
        }
        let mut turn = self.turn.load(Ordering::Relaxed);
        loop {
            match self.blocks().find_map(|block| Some((block.next(block.parked, turn)?, block))) {
                Some((place, block)) => {
                    turn = place + 1;
                    if !starving {
                        self.turn.store(turn, Ordering::Relaxed);
                    }
                    if block.wake(place) {
                        return true;
                    }
                }
                None if turn == 0 => return false,
                // The next round begins at the first place.
                None => turn = 0,
            }
        }
    }

    /// Wakes the first starving task. Returns whether it slept.
    fn wake_first(&self) -> bool {
        self.first_starving().is_some_and(|(block, place)| {
            block.parked() & block.bit(place) != 0 && block.wake(place)
        })
    }

    #[cold]
    fn wake_all(&self) {
        let places = self.blocks().flat_map(|block| {
            let parked = block.parked();
            let is_parked = move |place: &usize| parked & block.bit(*place) != 0;
            (block.start..block.start + block.bells.len())
                .filter(is_parked)
                .map(move |place| (block, place))
        });
        ring_each(places, |(block, place)| _ = block.wake(place));
    }
}

impl<const N: usize, G: Growth> Waiters for WaiterList<N, G> {
    const SHARED: bool = true;

    type Key = Key;

    /// Returns `None` if all places are taken and the list does not grow.
    fn register(&self) -> Option<Key> {
        if let Some(place) = self.block(0).take() {
            return Some(Key(place));
        }
        if G::GROWS {
            // Set before any task has a place in a further block. The task parks there, and its
            // fence makes this visible, too.
            self.parked.fetch_or(MORE, Ordering::Relaxed);
        }
        let (mut list, mut start) = (self.growth.next_or_new()?, N);
        loop {
            if let Some(place) = list.block(start).take() {
                return Some(Key(place));
            }
            (list, start) = (list.growth.next_or_new()?, start + FURTHER);
        }
    }

    fn unregister(&self, key: &Key) {
        self.in_block(key, |block, place| block.leave(place));
    }

    fn park(&self, key: &Key, waker: &Waker) {
        self.in_block(key, |block, place| block.park(place, waker));
    }

    fn unpark(&self, key: &Key) -> bool {
        self.in_block(key, |block, place| block.unpark(place))
    }

    #[inline]
    fn ring(&self) {
        let parked = self.parked.load(Ordering::Relaxed);
        if parked != 0 {
            _ = self.wake_one(parked);
        }
    }

    #[inline]
    fn ring_all(&self) {
        if self.parked.load(Ordering::Relaxed) != 0 {
            self.wake_all();
        }
    }

    fn starve(&self, key: &Key) {
        self.in_block(key, |block, place| {
            block.starving.fetch_or(block.bit(place), Ordering::Relaxed);
        });
    }

    fn relieve(&self, key: &Key) -> bool {
        let was_first = !self.must_yield(key);
        self.in_block(key, |block, place| {
            block.starving.fetch_and(!block.bit(place), Ordering::Relaxed);
        });
        // Either the next ring wakes a task that parked because of this one, or that task no longer
        // finds this one.
        barrier!("waiter-list.relieve", SeqCst);
        was_first
    }

    fn pass_turn(&self, key: &Key) {
        self.turn.store(key.0 + 1, Ordering::Relaxed);
    }

    #[inline]
    fn must_yield(&self, key: &Key) -> bool {
        self.has_starving() && self.first_starving().is_some_and(|(_, first)| first != key.0)
    }

    fn ring_first(&self) {
        _ = self.wake_first();
    }

    /// Raises no fence if a task was woken. The ringer took the task's bit back by a Release; each
    /// task that parks later changes the same word, and so acquires it before it checks. If the
    /// woken task passes the wake on, it sees the tasks that parked earlier. The fence is for a
    /// list of several words, and for a task that does not sleep yet. If the condition here is
    /// false too often, this costs a fence and loses no wake: the code then does what the default
    /// method does.
    #[inline]
    fn announce_and_ring(&self) {
        let parked = self.parked.load(Ordering::Relaxed);
        let has_one_word = !G::GROWS || parked & MORE == 0;
        if !(parked != 0 && has_one_word && self.wake_one(parked)) {
            announce();
            self.ring();
        }
    }
}

/// The places of one block, without its type parameters. Places are numbered over all blocks.
#[derive(Clone, Copy)]
struct Block<'a> {
    /// The number of the first place.
    start: usize,
    parked: &'a AtomicUsize,
    taken: &'a AtomicUsize,
    starving: &'a AtomicUsize,
    bells: &'a [Doorbell],
}

impl Block<'_> {
    /// Returns the bits of all places.
    fn all(&self) -> usize {
        usize::MAX >> (usize::BITS as usize - self.bells.len())
    }

    #[inline]
    fn bit(&self, place: usize) -> usize {
        1 << (place - self.start)
    }

    #[inline]
    fn bell(&self, place: usize) -> &Doorbell {
        &self.bells[place - self.start]
    }

    fn parked(&self) -> usize {
        self.parked.load(Ordering::Relaxed) & self.all()
    }

    /// Returns the first place from `turn` on whose bit is set in `word`.
    fn next(&self, word: &AtomicUsize, turn: usize) -> Option<usize> {
        let skipped = turn.saturating_sub(self.start);
        let later = usize::MAX.checked_shl(skipped as u32).unwrap_or(0);
        let places = word.load(Ordering::Relaxed) & self.all() & later;
        (places != 0).then(|| self.start + places.trailing_zeros() as usize)
    }

    /// Wakes the task of a place, unless another ringer did, or the task stopped waiting. Returns
    /// whether it woke the task.
    #[inline]
    fn wake(&self, place: usize) -> bool {
        let bit = self.bit(place);
        // Acquire, pairs with the Release of `waiter-list.parked`: the bell says PARKED. Release,
        // pairs with the Acquire of `waiter-list.unpark`: what this ringer published.
        let rung = self.parked.fetch_and(!bit, order!("waiter-list.wake", AcqRel)) & bit != 0;
        if rung {
            // Has no effect if the task is about to park again. None is needed then, because the
            // task checks after parking.
            self.bell(place).ring();
        }
        rung
    }

    /// Takes a free place.
    fn take(&self) -> Option<usize> {
        let mut taken = self.taken.load(Ordering::Relaxed);
        loop {
            let free = !taken & self.all();
            if free == 0 {
                return None;
            }
            let index = free.trailing_zeros();
            // Acquire, pairs with the Release of `waiter-list.unregister`: the previous task parked
            // here for the last time.
            let acquire = order!("waiter-list.register", Acquire);
            let claimed = self.taken.compare_exchange_weak(
                taken,
                taken | 1 << index,
                acquire,
                Ordering::Relaxed,
            );
            match claimed {
                Ok(_) => return Some(self.start + index as usize),
                Err(now) => taken = now,
            }
        }
    }

    fn leave(&self, place: usize) {
        // The bell may still say PARKED although no task sleeps there: `unpark` takes back the bit
        // alone. `forget` resets the bell.
        self.bell(place).forget();
        self.taken.fetch_and(!self.bit(place), order!("waiter-list.unregister", Release));
    }

    fn park(&self, place: usize, waker: &Waker) {
        // The bell needs no fence of its own, because the one below comes after the bit.
        self.bell(place).park_with(waker, || ());
        // Release, pairs with the Acquire of `waiter-list.wake`: a ringer that takes the bit back
        // finds a bell to ring.
        let release = order!("waiter-list.parked", Release);
        self.parked.or_and_fence(self.bit(place), release, || barrier!("waiter-list.park", SeqCst));
    }

    fn unpark(&self, place: usize) -> bool {
        let bit = self.bit(place);
        // Acquire, pairs with the Release of `waiter-list.wake`: the ringer woke no other task, and
        // relies on this one to see what there is to pass on.
        let acquire = order!("waiter-list.unpark", Acquire);
        self.parked.load(acquire) & bit == 0 || self.parked.fetch_and(!bit, acquire) & bit == 0
    }
}
