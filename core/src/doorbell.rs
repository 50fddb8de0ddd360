//! How one side of a ring learns that the other side did something, without a lock, a queue or an allocation.
//!
//! A [`Doorbell`] belongs to one waiting task and may be rung by any number of threads. It is level-triggered: it
//! carries no message and no count, it only says "look again". A wake too many is allowed; a lost one is not.
//!
//! The protocol is a Dekker handshake over two facts, "there is something" (a ring's stamp or cursor) and "I sleep"
//! (the bell's `parked` word), with a `SeqCst` fence between each side's store and its load:
//!
//! | waiter | ringer |
//! | --- | --- |
//! | look; nothing there | publish |
//! | [`Doorbell::park`]: keep the waker, `parked = 1`, fence | [`announce`]: fence |
//! | look again; return `Pending` only if still nothing | [`Doorbell::ring`]: if `parked`, wake |
//!
//! Whichever fence comes second sees the other side's store. The fence is a step of its own because it is the dear
//! part: who publishes a hundred messages in one poll announces once, then rings each bell.

#![allow(unsafe_code)]

use core::task::Waker;

use crate::sync::{AtomicUsize, Ordering, SharedCell, barrier, const_unless_loom, order};

/// Makes all that this thread published before visible to every waiter that parks after it. Call it once, then
/// [`Doorbell::ring`] each bell that may care.
#[inline]
pub fn announce() {
    barrier!("doorbell.announce", SeqCst);
}

/// A level-triggered wake-up for one waiting task. See the [module](self) for the protocol.
///
/// ```
/// use core::task::Waker;
/// use mycelium_core::doorbell::{Doorbell, announce};
///
/// let bell = Doorbell::new();
/// bell.park(Waker::noop()); // then look once more before sleeping
/// assert!(bell.is_parked());
/// announce();
/// bell.ring();
/// assert!(!bell.is_parked());
/// ```
#[derive(Debug)]
pub struct Doorbell {
    parked: AtomicUsize,
    slot: WakerSlot,
}

impl Doorbell {
    const_unless_loom! {
        /// A bell that nobody waits at.
        #[must_use]
        pub const fn new() -> Doorbell {
            Doorbell { parked: AtomicUsize::new(0), slot: WakerSlot::new() }
        }
    }

    /// Waiter: keeps `waker` and says that it sleeps. The caller must look at its rings once more after this and may
    /// return `Pending` only if there is still nothing.
    ///
    /// One task waits at a bell at a time. If two do, the later waker replaces the earlier one.
    pub fn park(&self, waker: &Waker) {
        self.slot.register(waker);
        self.parked.store(1, Ordering::Relaxed);
        barrier!("doorbell.park", SeqCst);
    }

    /// Waiter: the second look found something after all, so nobody needs to ring.
    #[inline]
    pub fn unpark(&self) {
        self.parked.store(0, Ordering::Relaxed);
    }

    /// Whether a waiter said that it sleeps.
    #[inline]
    pub fn is_parked(&self) -> bool {
        self.parked.load(Ordering::Relaxed) != 0
    }

    /// Ringer, after [`announce`]: wakes the waiter if it sleeps. Costs one load if it does not.
    #[inline]
    pub fn ring(&self) {
        if self.is_parked() {
            self.wake();
        }
    }

    #[cold]
    fn wake(&self) {
        // Of several ringers one wakes. The others may skip it: the waiter looks after the wake, and if it parks
        // again its fence comes after theirs.
        if self.parked.swap(0, Ordering::Relaxed) != 0
            && let Some(waker) = self.slot.take()
        {
            waker.wake();
        }
    }
}

impl Default for Doorbell {
    fn default() -> Doorbell {
        Doorbell::new()
    }
}

const IDLE: usize = 0;
const REGISTERING: usize = 1;
const WAKING: usize = 2;

/// A place for one waker that one thread fills while others empty it: the algorithm of `AtomicWaker` in futures-core,
/// here over the shim so that loom sees it.
#[derive(Debug)]
struct WakerSlot {
    state: AtomicUsize,
    waker: SharedCell<Option<Waker>>,
}

// SAFETY: `waker` is only touched by who moved `state` from IDLE to REGISTERING or from IDLE to WAKING, and until it
// moves it back; a `Waker` may be dropped and woken on any thread.
unsafe impl Sync for WakerSlot {}

impl WakerSlot {
    const_unless_loom! {
        const fn new() -> WakerSlot {
            WakerSlot { state: AtomicUsize::new(IDLE), waker: SharedCell::new(None) }
        }
    }

    fn register(&self, waker: &Waker) {
        let acquire = order!("waker.register", Acquire);
        match self.state.compare_exchange(IDLE, REGISTERING, acquire, acquire) {
            Ok(_) => {
                // SAFETY: the exchange above gave this thread the cell until it leaves REGISTERING.
                let replaced = unsafe {
                    self.waker.with_mut(|kept| match kept {
                        Some(old) if old.will_wake(waker) => None,
                        _ => kept.replace(waker.clone()),
                    })
                };
                // Release: who takes the waker next sees it whole.
                let published = self.state.compare_exchange(
                    REGISTERING,
                    IDLE,
                    order!("waker.registered", Release),
                    order!("waker.rung-meanwhile", Acquire),
                );
                if published.is_err() {
                    // A ringer came while the cell was ours (state is REGISTERING | WAKING) and left the waking to us.
                    // SAFETY: no ringer enters the cell while WAKING is set, and no waiter but this one registers.
                    let waker = unsafe { self.waker.with_mut(Option::take) };
                    self.state.swap(IDLE, order!("waker.handed-back", AcqRel));
                    if let Some(waker) = waker {
                        waker.wake();
                    }
                }
                drop(replaced);
            }
            // A ringer holds the cell and wakes the waker of before; this one is woken here, to look again.
            Err(WAKING) => waker.wake_by_ref(),
            // A second waiter at the same bell is registering; it is allowed to replace this one.
            Err(_) => {}
        }
    }

    fn take(&self) -> Option<Waker> {
        match self.state.fetch_or(WAKING, order!("waker.take", AcqRel)) {
            IDLE => {
                // SAFETY: the state was IDLE, so the cell is this thread's until it clears WAKING.
                let waker = unsafe { self.waker.with_mut(Option::take) };
                self.state.fetch_and(!WAKING, order!("waker.taken", Release));
                waker
            }
            // The waiter is registering and sees WAKING when it is done, or another ringer is at it already.
            _ => None,
        }
    }
}
