//! A reusable slot for one request at a time and its reply.
//!
//! A [`ReplySlot`] has room for a request, its reply, and the waker of the waiting task.
//! [`open`](ReplySlot::open) writes a request and returns two sides: [`Awaiting`] for the
//! requester, and [`Replying`] for the replier, which usually gets it through a channel. Once both
//! are dropped, the slot can be opened again. Nothing allocates after [`ReplySlot::new`].
//!
//! ```
//! use core::task::Waker;
//! use mycelium_core::channel::reply::{Outcome, ReplySlot};
//!
//! let mut slot = ReplySlot::new("an owner");
//! let (mut awaiting, replying) = slot.open(&20).expect("nobody else uses it");
//! assert!(slot.open(&30).is_none());
//! assert!(awaiting.register(Waker::noop()));
//! assert!(replying.take());
//! let reply = replying.request() + 1;
//! replying.reply(reply).expect("it was not cancelled");
//! assert_eq!(awaiting.outcome(), Outcome::Replied(&21));
//! assert_eq!(awaiting.take_reply(), Some(21));
//! drop(awaiting);
//! assert!(slot.open(&30).is_some());
//! ```
//!
//! One atomic word has the state of the request, whether a waker waits, and which parts use the
//! slot:
//!
//! | from | to | by |
//! | --- | --- | --- |
//! | `QUEUED` | `TAKEN` | [`Replying::take`] |
//! | `QUEUED`, `TAKEN` | `CANCELLED` | [`Awaiting::cancel`], [`Awaiting::withdraw`] |
//! | `TAKEN` | `REPLIED` | [`Replying::reply`] |
//! | `QUEUED`, `TAKEN` | a failure | [`Replying::abandon`], [`Replying::expire`], [`Replying::fail`] |
//!
//! So each request has one outcome. All rows but the first end the request. Only [`Awaiting`]
//! writes the waker's cell, and only while the bit `WAKER` is not set, or before the request has
//! ended. A [`Replying`] that ends the request while the bit is set wakes by reference, and only
//! then leaves the slot. The waker stays in the cell, so that a task that waits again clones and
//! drops nothing.
//!
//! A [detached](Awaiting::detach) request is handled, and nobody waits for its reply, which is
//! dropped at once instead of in the slot.

#![allow(unsafe_code)]

use alloc::boxed::Box;
use core::fmt;
use core::mem::{ManuallyDrop, MaybeUninit, needs_drop};
use core::ops::Deref;
use core::ptr::NonNull;
use core::task::Waker;

use crate::sync::{AtomicUsize, Ordering, SharedCell, order};

/// The mask of the state.
const STATE: usize = 0xff;
const QUEUED: usize = 0;
const TAKEN: usize = 1;
const CANCELLED: usize = 2;
const REPLIED: usize = 3;
/// The first state that means a failure.
const FAILURES: usize = 4;
/// Set while the cell has a waker that the end of the request must wake.
const WAKER: usize = 0x100;
/// The bit of the slot's owner; the bits of the two sides follow. A part uses the slot while its
/// bit is set.
const KEEPER: usize = 0x200;
const AWAITING: usize = 0x400;
const REPLYING: usize = 0x800;
const PARTS: usize = KEEPER | AWAITING | REPLYING;
/// Set while the slot has a request, from the first `open` on.
const FULL: usize = 0x1000;
/// Set once nobody waits for the reply of a request that was not cancelled.
const DETACHED: usize = 0x2000;

/// The state of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome<R> {
    /// The request has not been taken.
    Queued,
    /// The replier has taken the request.
    Taken,
    /// The request was cancelled.
    Cancelled,
    /// The reply has arrived.
    Replied(R),
    /// The reply has arrived, and was [moved out](Awaiting::take_reply).
    Emptied,
    /// The request failed; the number is the reason.
    Failed(u8),
}

struct Slot<T, Q, R> {
    word: AtomicUsize,
    owner: T,
    /// Written by `open`, while nobody else uses the slot. The request stays until the next one.
    request: SharedCell<MaybeUninit<Q>>,
    /// Written by `Replying` before REPLIED, and read by `Awaiting` after it.
    reply: SharedCell<MaybeUninit<R>>,
    /// Whether the reply was moved out of its place, or there is none to drop. Only `Awaiting`
    /// uses it, and whoever uses the slot alone.
    is_emptied: SharedCell<bool>,
    waker: SharedCell<Option<Waker>>,
}

/// A slot for a request and its reply. See the [module](self). `T` is a value of the owner that
/// both sides can read.
pub struct ReplySlot<T, Q, R>(Part<T, Q, R, KEEPER>);

/// The requester's side. Dropping it does not cancel the request.
pub struct Awaiting<T, Q, R>(Part<T, Q, R, AWAITING>);

/// The replier's side. Dropping it does not end the request.
pub struct Replying<T, Q, R>(Part<T, Q, R, REPLYING>);

impl<T, Q: Clone, R> ReplySlot<T, Q, R> {
    /// Creates a slot without a request.
    #[must_use]
    pub fn new(owner: T) -> ReplySlot<T, Q, R> {
        // Writes field by field, because the request and the reply may be too large for the stack.
        let mut slot = Box::<Slot<T, Q, R>>::new_uninit();
        let place = slot.as_mut_ptr();
        // SAFETY: the places are fields in the box, each of which is written once.
        #[expect(clippy::multiple_unsafe_ops_per_block, reason = "all are fields of the box")]
        unsafe {
            (&raw mut (*place).word).write(AtomicUsize::new(KEEPER));
            (&raw mut (*place).owner).write(owner);
            (&raw mut (*place).is_emptied).write(SharedCell::new(false));
            (&raw mut (*place).waker).write(SharedCell::new(None));
            // A `MaybeUninit` cell is valid without a write, but loom's cells have state of their
            // own, so they are written too.
            #[cfg(loom)]
            (&raw mut (*place).request).write(SharedCell::new(MaybeUninit::uninit()));
            #[cfg(loom)]
            (&raw mut (*place).reply).write(SharedCell::new(MaybeUninit::uninit()));
        }
        // SAFETY: all fields were written, except two `MaybeUninit` cells, which are valid without.
        let slot = unsafe { slot.assume_init() };
        ReplySlot(Part(NonNull::from(Box::leak(slot))))
    }

    /// Begins a request. Returns `None` while a side of the previous request exists.
    #[inline]
    #[allow(clippy::type_complexity)]
    pub fn open(&mut self, request: &Q) -> Option<(Awaiting<T, Q, R>, Replying<T, Q, R>)> {
        let slot = &*self.0;
        // Acquire, pairs with the Release of `reply.leave` and `reply.end`: the other sides no
        // longer use the cells.
        if slot.word.load(order!("reply.open", Acquire)) & PARTS != KEEPER {
            return None;
        }
        let request = request.clone();
        // SAFETY: the word says that neither side exists, and this handle is borrowed exclusively.
        unsafe { slot.clear() };
        // SAFETY: the word says that neither side exists, and only this handle, which is borrowed
        // exclusively, makes them.
        unsafe { slot.request.with_mut(|place| _ = (*place).write(request)) };
        // SAFETY: as above.
        unsafe { slot.is_emptied.with_mut(|is_emptied| *is_emptied = false) };
        // Relaxed: the sides go to other threads by other means, which come after this.
        slot.word.store(PARTS | FULL | QUEUED, Ordering::Relaxed);
        Some((Awaiting(Part(self.0.0)), Replying(Part(self.0.0))))
    }

    /// Returns the owner's value.
    #[inline]
    pub fn owner(&self) -> &T {
        &self.0.owner
    }
}

impl<T, Q: Clone, R> Awaiting<T, Q, R> {
    /// Returns the state of the request.
    #[inline]
    #[must_use]
    pub fn outcome(&self) -> Outcome<&R> {
        // Acquire, pairs with the Release of `reply.end`: the reply.
        let word = self.0.word.load(order!("reply.look", Acquire));
        match word & STATE {
            QUEUED => Outcome::Queued,
            TAKEN => Outcome::Taken,
            CANCELLED => Outcome::Cancelled,
            REPLIED if self.is_emptied() => Outcome::Emptied,
            REPLIED => {
                let borrow = |reply: *const MaybeUninit<R>| {
                    // SAFETY: nobody writes it after REPLIED before the next `open`, for which this
                    // side must be gone.
                    unsafe { &*reply }
                };
                // SAFETY: as above.
                let reply = unsafe { self.0.reply.with(borrow) };
                // SAFETY: the other side has written the reply before REPLIED.
                Outcome::Replied(unsafe { reply.assume_init_ref() })
            }
            // The cast is lossless, because the state has eight bits.
            failure => Outcome::Failed((failure - FAILURES) as u8),
        }
    }

    /// Moves the reply out of the slot. Returns `None` if it has not arrived, or was moved before.
    #[inline]
    pub fn take_reply(&mut self) -> Option<R> {
        // Acquire, pairs with the Release of `reply.end`: the reply.
        let word = self.0.word.load(order!("reply.look", Acquire));
        if word & STATE != REPLIED || self.is_emptied() {
            return None;
        }
        // SAFETY: of the sides only this one uses it, and it is borrowed exclusively.
        unsafe { self.0.is_emptied.with_mut(|is_emptied| *is_emptied = true) };
        let read = |reply: *const MaybeUninit<R>| {
            // SAFETY: the other side has written it before REPLIED, and nobody writes it before the
            // next `open`. Once `is_emptied` is set, nothing reads or drops it again.
            unsafe { reply.cast::<R>().read() }
        };
        // SAFETY: as above.
        Some(unsafe { self.0.reply.with(read) })
    }

    #[inline]
    fn is_emptied(&self) -> bool {
        let read = |is_emptied: *const bool| {
            // SAFETY: of the sides only this one uses it.
            unsafe { *is_emptied }
        };
        // SAFETY: as above.
        unsafe { self.0.is_emptied.with(read) }
    }

    /// Stores `waker`, in place of the previous one, to be woken at the end of the request. Returns
    /// `false` if the request has ended.
    #[inline]
    pub fn register(&mut self, waker: &Waker) -> bool {
        let slot = &*self.0;
        let word = slot.word.load(Ordering::Relaxed);
        if is_ended(word) {
            return false;
        }
        let wakes = |kept: *const Option<Waker>| {
            // SAFETY: this side alone writes the cell, and is borrowed exclusively.
            unsafe { &*kept }.as_ref().is_some_and(|kept| kept.will_wake(waker))
        };
        // SAFETY: as above.
        let is_kept = unsafe { slot.waker.with(wakes) };
        let mut replaced = None;
        if is_kept {
            if word & WAKER != 0 {
                return true;
            }
        } else {
            let fresh = waker.clone();
            // Relaxed: as long as the request is open, the other side has not used the cell.
            if word & WAKER != 0 && is_ended(slot.word.fetch_and(!WAKER, Ordering::Relaxed)) {
                return false;
            }
            // SAFETY: the other side uses the cell only if WAKER is set when it ends the request;
            // this side has taken the bit back, and the request was open then.
            replaced = unsafe { slot.waker.with_mut(|kept| kept.replace(fresh)) };
        }
        // Release, pairs with the Acquire of `reply.end`: the waker.
        let word = slot.word.fetch_or(WAKER, order!("reply.wait", Release));
        drop(replaced);
        !is_ended(word)
    }

    /// Cancels the request if it has not ended. Returns its last state, [`Queued`](Outcome::Queued)
    /// or [`Taken`](Outcome::Taken); `None` if it had ended.
    pub fn cancel(&self) -> Option<Outcome<&R>> {
        if self.0.change(QUEUED, CANCELLED) {
            return Some(Outcome::Queued);
        }
        self.0.change(TAKEN, CANCELLED).then_some(Outcome::Taken)
    }

    /// Cancels the request if it has not been taken. Returns whether it did.
    pub fn withdraw(&self) -> bool {
        self.0.change(QUEUED, CANCELLED)
    }

    /// Leaves the request to its replier: its reply is dropped as soon as it is there. Returns the
    /// state of the request, without its reply.
    pub fn detach(&mut self) -> Outcome<()> {
        // Relaxed: no other data depends on it. The other side reads the bit when it ends the
        // request, in the same word.
        let word = self.0.word.fetch_or(DETACHED, Ordering::Relaxed);
        match word & STATE {
            QUEUED => Outcome::Queued,
            TAKEN => Outcome::Taken,
            CANCELLED => Outcome::Cancelled,
            REPLIED => match self.take_reply() {
                Some(_) => Outcome::Replied(()),
                None => Outcome::Emptied,
            },
            // The cast is lossless, because the state has eight bits.
            failure => Outcome::Failed((failure - FAILURES) as u8),
        }
    }

    /// Returns the request.
    #[must_use]
    pub fn request(&self) -> &Q {
        self.0.request()
    }

    /// Returns the owner's value.
    #[inline]
    pub fn owner(&self) -> &T {
        &self.0.owner
    }
}

impl<T, Q: Clone, R> Replying<T, Q, R> {
    /// Takes the request. Returns `false` if it was cancelled or already taken.
    #[inline]
    pub fn take(&self) -> bool {
        self.0.change(QUEUED, TAKEN)
    }

    /// Ends a taken request with this reply.
    ///
    /// # Errors
    /// Drops the reply, and returns this side, if the request was cancelled, detached or not taken.
    #[inline]
    pub fn reply(self, reply: R) -> Result<(), Replying<T, Q, R>> {
        // SAFETY: only this side writes the cell, once, and the other one reads it after REPLIED.
        unsafe { self.0.reply.with_mut(|place| _ = (*place).write(reply)) };
        // The reply of a detached request would stay in the slot.
        let ended = self.end(TAKEN, DETACHED, REPLIED).map(drop);
        if needs_drop::<R>()
            && let Err(this) = &ended
        {
            let drop_reply = |place: &mut MaybeUninit<R>| {
                // SAFETY: the reply was written above, and nobody else reads it, because the state
                // does not become REPLIED any more.
                unsafe { place.assume_init_drop() };
            };
            // SAFETY: as above.
            unsafe { this.0.reply.with_mut(drop_reply) };
        }
        ended
    }

    /// Ends a taken request with this reason. Returns `false` if it was cancelled.
    pub fn fail(self, reason: u8) -> bool {
        self.end(TAKEN, 0, failure(reason)).is_ok()
    }

    /// Ends a request that was not taken, with this reason. Returns whether it was
    /// [detached](Awaiting::detach) before; `None` if it was cancelled.
    pub fn abandon(self, reason: u8) -> Option<bool> {
        let before = self.end(QUEUED, 0, failure(reason)).ok()?;
        Some(before & DETACHED != 0)
    }

    /// Ends a request that was not taken and for whose reply the requester waits, with this reason.
    ///
    /// # Errors
    /// Returns this side, if the request was cancelled, detached or taken.
    pub fn expire(self, reason: u8) -> Result<(), Replying<T, Q, R>> {
        self.end(QUEUED, DETACHED, failure(reason)).map(drop)
    }

    /// Returns whether the request was cancelled.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.word.load(Ordering::Relaxed) & STATE == CANCELLED
    }

    /// Returns whether the request was [detached](Awaiting::detach).
    #[must_use]
    pub fn is_detached(&self) -> bool {
        self.0.word.load(Ordering::Relaxed) & DETACHED != 0
    }

    /// Returns the request.
    #[inline]
    #[must_use]
    pub fn request(&self) -> &Q {
        self.0.request()
    }

    /// Returns the owner's value.
    #[inline]
    pub fn owner(&self) -> &T {
        &self.0.owner
    }

    /// Ends a request in the state `from` without any bit of `refused`. Returns the word that it
    /// had.
    #[inline]
    fn end(self, from: usize, refused: usize, to: usize) -> Result<usize, Replying<T, Q, R>> {
        let mut word = self.0.word.load(Ordering::Relaxed);
        loop {
            if word & (STATE | refused) != from {
                return Err(self);
            }
            // If no waker waits, this is the last access, so this side's bit is cleared, too.
            let parts = if word & WAKER == 0 { !REPLYING } else { !0 };
            let next = (word & !STATE | to) & parts;
            // Release, pairs with the Acquire of `reply.look` and `reply.open`: the reply, and the
            // last access. Acquire, pairs with the Release of `reply.wait`: the waker.
            let end = order!("reply.end", AcqRel);
            match self.0.word.compare_exchange_weak(word, next, end, Ordering::Relaxed) {
                Ok(_) if word & WAKER == 0 => {
                    // The word no longer has this part's bit, so its `Drop` must not run.
                    let part = ManuallyDrop::new(self);
                    if next & PARTS == 0 {
                        // SAFETY: no other part is left, and this one is not used any more.
                        unsafe { part.0.free() };
                    }
                    return Ok(word);
                }
                Ok(_) => break,
                Err(now) => word = now,
            }
        }
        let wake = |kept: *const Option<Waker>| {
            // SAFETY: the request has ended with WAKER set: the other side does not write the cell
            // before the next `open`, for which this side must be gone.
            if let Some(waker) = unsafe { &*kept } {
                waker.wake_by_ref();
            }
        };
        // SAFETY: as above.
        unsafe { self.0.waker.with(wake) };
        Ok(word)
    }
}

#[inline]
fn is_ended(word: usize) -> bool {
    word & STATE > TAKEN
}

fn failure(reason: u8) -> usize {
    (FAILURES + usize::from(reason)).min(STATE)
}

/// A part that uses a slot: the owner or a side. `BIT` is its bit in the word. The last part frees
/// the slot.
struct Part<T, Q, R, const BIT: usize>(NonNull<Slot<T, Q, R>>);

// SAFETY: a part is a shared reference to the owner and the request, and by turns the place of the
// reply and of a waker, both of which may be used on any thread. The reply moves from one side to
// the other.
unsafe impl<T, Q, R, const BIT: usize> Send for Part<T, Q, R, BIT>
where
    T: Send + Sync,
    Q: Send + Sync,
    R: Send,
{
}

// SAFETY: a shared reference to the slot's owner reads the value of the owner.
unsafe impl<T, Q, R> Sync for Part<T, Q, R, KEEPER>
where
    T: Send + Sync,
    Q: Send + Sync,
    R: Send,
{
}

// SAFETY: a shared reference to this side reads the value of the owner and the request, and changes
// the word. It does not reach the reply, as one to `Awaiting` does, which is not `Sync`.
unsafe impl<T, Q, R> Sync for Part<T, Q, R, REPLYING>
where
    T: Send + Sync,
    Q: Send + Sync,
    R: Send,
{
}

impl<T, Q, R, const BIT: usize> Part<T, Q, R, BIT> {
    /// Frees the slot.
    ///
    /// # Safety
    /// The bits of all parts are gone, and nothing of the slot is used after this.
    #[cold]
    unsafe fn free(&self) {
        // SAFETY: this function's contract.
        unsafe { self.clear() };
        // SAFETY: it was made of a box, and is freed once (this function's contract).
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

impl<T, Q, R> Slot<T, Q, R> {
    /// Changes the state if it is `from`. Relaxed: no other data depends on it.
    #[inline]
    fn change(&self, from: usize, to: usize) -> bool {
        let relaxed = Ordering::Relaxed;
        let mut word = self.word.load(relaxed);
        while word & STATE == from {
            match self.word.compare_exchange_weak(word, word & !STATE | to, relaxed, relaxed) {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
        false
    }

    /// Drops the request and the reply, if there are any.
    ///
    /// # Safety
    /// Nobody else uses the slot.
    #[inline]
    unsafe fn clear(&self) {
        if !needs_drop::<Q>() && !needs_drop::<R>() {
            return;
        }
        let word = self.word.load(Ordering::Relaxed);
        // Before the drops, so that nothing is dropped twice if one of them panics.
        self.word.store(word & !FULL, Ordering::Relaxed);
        // SAFETY: nobody else uses the slot (this function's contract).
        let was_emptied = unsafe { self.is_emptied.with_mut(|it| core::mem::replace(it, true)) };
        if word & STATE == REPLIED && !was_emptied {
            let drop_reply = |place: &mut MaybeUninit<R>| {
                // SAFETY: the reply was written before REPLIED, and was not moved out. Nobody else
                // uses the cell (this function's contract).
                unsafe { place.assume_init_drop() };
            };
            // SAFETY: as above.
            unsafe { self.reply.with_mut(drop_reply) };
        }
        if word & FULL != 0 {
            let drop_request = |place: &mut MaybeUninit<Q>| {
                // SAFETY: `open` has written the request. Nobody else uses the cell, as above.
                unsafe { place.assume_init_drop() };
            };
            // SAFETY: as above.
            unsafe { self.request.with_mut(drop_request) };
        }
    }

    #[inline]
    fn request(&self) -> &Q {
        let borrow = |request: *const MaybeUninit<Q>| {
            // SAFETY: `open` alone writes it, for which the part that borrows it here must be gone.
            unsafe { &*request }
        };
        // SAFETY: as above.
        let request = unsafe { self.request.with(borrow) };
        // SAFETY: `open` has written it before it made the part that borrows it here.
        unsafe { request.assume_init_ref() }
    }
}

impl<T, Q, R, const BIT: usize> Deref for Part<T, Q, R, BIT> {
    type Target = Slot<T, Q, R>;

    #[inline]
    fn deref(&self) -> &Slot<T, Q, R> {
        // SAFETY: the slot is freed after the last part has gone, and this one has not.
        unsafe { self.0.as_ref() }
    }
}

impl<T, Q, R, const BIT: usize> Drop for Part<T, Q, R, BIT> {
    #[inline]
    fn drop(&mut self) {
        // Release, pairs with the Acquire of `reply.open`, and with the Acquire here in the part
        // that leaves last: this part no longer uses the cells.
        // The bit is set, so the subtraction clears it; on x86, unlike `fetch_and`, it takes one
        // instruction.
        let before = self.word.fetch_sub(BIT, order!("reply.leave", AcqRel));
        if before & PARTS == BIT {
            // SAFETY: no other part is left, and this one is not used any more.
            unsafe { self.free() };
        }
    }
}

// Written by hand, because nothing inside need be `Debug`.
macro_rules! debug {
    ($($name:ident)*) => {$(
        impl<T, Q, R> fmt::Debug for $name<T, Q, R> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(stringify!($name))
            }
        }
    )*};
}
debug!(ReplySlot Awaiting Replying);
