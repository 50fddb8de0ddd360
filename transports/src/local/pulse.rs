//! Who tells the other side, and when.
//!
//! To publish or to take a message is a few stores. To tell a sleeping other side takes a fence, which costs as much
//! again, so it is done once for all that a task did in one poll: its handles count their work in the task's [`Pulse`],
//! and whoever polls the task does so through [`poll_with`], which flushes afterwards. The count is also the task's
//! budget: a task that has used it up yields, so that neither a tight loop of emits nor one of receives starves its
//! executor.
//!
//! A handle that is used anywhere else, outside its task's poll, tells the other side at once.

use std::cell::Cell;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Context;

use mycelium_core::doorbell::announce;

use super::outlet::{Inlet, Outlet, ReaderInfo};

/// After so many operations the handle that did the last one flushes by itself: a long poll delays nobody for long.
const FLUSH_EVERY: u32 = 64;
/// After so many operations in one poll a task yields.
const BUDGET: u32 = 256;

thread_local! {
    /// The pulse of the task that this thread polls. Only ever compared.
    static CURRENT: Cell<*const Pulse> = const { Cell::new(ptr::null()) };
}

/// What one task did in its present poll. Only the thread that polls the task touches it.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct Pulse(AtomicU32);

impl Pulse {
    /// Nothing done yet.
    #[must_use]
    pub fn new() -> Arc<Pulse> {
        Arc::default()
    }

    /// Counts one operation and says whether the other side must be told now: every so often, and always outside the
    /// poll of the pulse's task.
    #[inline]
    pub(super) fn beat(&self) -> bool {
        if !self.is_current() {
            return true;
        }
        // One thread: a load and a store are enough.
        let count = self.0.load(Ordering::Relaxed) + 1;
        self.0.store(count, Ordering::Relaxed);
        count.is_multiple_of(FLUSH_EVERY)
    }

    /// Whether the task must yield before it does more in this poll; it is woken again then.
    #[inline]
    pub(super) fn is_spent(&self, context: &Context<'_>) -> bool {
        let spent = self.0.load(Ordering::Relaxed) >= BUDGET && self.is_current();
        if spent {
            context.waker().wake_by_ref();
        }
        spent
    }

    #[inline]
    fn is_current(&self) -> bool {
        ptr::eq(CURRENT.get(), self)
    }
}

/// Polls a task, then tells all that wait for what it did, and gives it a new budget.
#[inline]
pub fn poll_with<R>(pulse: &Pulse, flushers: &mut [Flusher], poll: impl FnOnce() -> R) -> R {
    /// Puts the outer task's pulse back, even if the inner task panics.
    struct Outer(*const Pulse);

    impl Drop for Outer {
        fn drop(&mut self) {
            CURRENT.set(self.0);
        }
    }

    let outer = Outer(CURRENT.replace(pulse));
    let result = poll();
    drop(outer);
    if pulse.0.load(Ordering::Relaxed) != 0 {
        pulse.0.store(0, Ordering::Relaxed);
        announce();
        flushers.iter_mut().for_each(Flusher::ring);
    }
    result
}

/// The bells of the other sides of one publisher or one subscription.
#[derive(Debug)]
pub struct Flusher(Side);

#[derive(Debug)]
enum Side {
    Publisher(Bells),
    Subscription { inlet: Arc<Inlet>, version: usize, outlets: Vec<Arc<Outlet>> },
}

impl Flusher {
    pub(super) fn of_publisher(outlet: Arc<Outlet>) -> Flusher {
        Flusher(Side::Publisher(Bells::new(outlet)))
    }

    pub(super) fn of_subscription(inlet: Arc<Inlet>) -> Flusher {
        Flusher(Side::Subscription { inlet, version: usize::MAX, outlets: Vec::new() })
    }

    /// Rings what is parked. The caller has announced.
    pub(super) fn ring(&mut self) {
        match &mut self.0 {
            Side::Publisher(bells) => bells.ring(),
            Side::Subscription { inlet, version, outlets } => {
                let now = inlet.outlets.version();
                if *version != now {
                    outlets.clone_from(&inlet.outlets.lock());
                    *version = now;
                }
                outlets.iter().for_each(|outlet| outlet.room.ring());
            }
        }
    }
}

/// A publisher's readers, copied so that ringing them locks nothing.
#[derive(Debug)]
pub(super) struct Bells {
    outlet: Arc<Outlet>,
    version: usize,
    readers: Vec<ReaderInfo>,
}

impl Bells {
    pub(super) fn new(outlet: Arc<Outlet>) -> Bells {
        Bells { outlet, version: usize::MAX, readers: Vec::new() }
    }

    pub(super) fn ring(&mut self) {
        self.refresh();
        self.readers.iter().for_each(|reader| reader.inlet.bell.ring());
    }

    /// Whether anybody reads at all.
    #[inline]
    pub(super) fn is_heard(&mut self) -> bool {
        self.refresh();
        !self.readers.is_empty()
    }

    #[inline]
    fn refresh(&mut self) {
        if self.version != self.outlet.readers.version() {
            self.copy();
        }
    }

    #[cold]
    #[inline(never)]
    fn copy(&mut self) {
        self.version = self.outlet.readers.version();
        self.readers.clone_from(&self.outlet.readers.lock());
    }
}
