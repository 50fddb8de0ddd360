//! All atomics, fences and shared cells of this crate.
//!
//! Everything in this crate that two threads may access comes from here, so that one switch,
//! `cfg(loom)`, puts the whole crate under the model checker. The switch is `cfg(loom)` alone:
//! `test` is never set for a dependency, so with `cfg(test)` the models in another crate would
//! check plain atomics. `clippy.toml` refuses `core::sync::atomic` and `core::cell` in all other
//! files of this crate.
//!
//! Each ordering that a ring relies on is written `order!("site", Release)`, each fence
//! `barrier!("site", SeqCst)`. The comment at a site names the other side of the pair, and after a
//! colon what becomes visible through the pair. Outside loom these are the plain ordering and the
//! plain fence. Under loom a model can weaken one site by name (`weaken`) and must then fail. If it
//! does not fail, the ordering is too strong, or untested, or invisible to the checker
//! (`docs/proofs.md` has the list). `needed!("site", ..)` names a store in the same way.
//!
//! Under `cfg(lines)` the macro `seen!` also reports each access to simulated caches (`lines`). It
//! does nothing in any other build.

#![allow(unsafe_code)]
// Only this file may name them.
#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

pub(crate) use core::sync::atomic::Ordering;

#[cfg(not(loom))]
use core::{cell::UnsafeCell, sync::atomic};

#[cfg(loom)]
use loom::{cell::UnsafeCell, sync::atomic};

#[cfg(target_has_atomic = "ptr")]
mod copy;
#[cfg(lines)]
pub mod lines;

/// Defines a constructor that is `const` outside loom; loom's atomics have no const constructor.
/// One body serves both.
macro_rules! const_unless_loom {
    ($(#[$meta:meta])* $vis:vis const fn $name:ident($($arg:ident: $ty:ty),*) -> $ret:ty $body:block) => {
        #[cfg(not(loom))]
        $(#[$meta])*
        $vis const fn $name($($arg: $ty),*) -> $ret $body

        #[cfg(loom)]
        $(#[$meta])*
        $vis fn $name($($arg: $ty),*) -> $ret $body
    };
}

/// Creates an array of new values, in a const context outside loom.
macro_rules! repeat {
    ($value:expr; $count:expr) => {{
        #[cfg(not(loom))]
        {
            [const { $value }; $count]
        }
        #[cfg(loom)]
        {
            core::array::from_fn(|_| $value)
        }
    }};
}

/// A named memory ordering; `Relaxed` if a model weakened the site.
macro_rules! order {
    ($site:literal, $order:ident) => {{
        #[cfg(not(loom))]
        {
            $crate::sync::Ordering::$order
        }
        #[cfg(loom)]
        {
            $crate::sync::order_of($site, $crate::sync::Ordering::$order)
        }
    }};
}

/// A named fence; absent if a model weakened the site. Code that needs a fence also needs
/// compare-and-swap, so only targets with it have this macro.
#[cfg(target_has_atomic = "ptr")]
macro_rules! barrier {
    ($site:literal, $order:ident) => {{
        #[cfg(not(loom))]
        $crate::sync::fence($crate::sync::Ordering::$order);
        #[cfg(loom)]
        if !$crate::sync::weakened($site) {
            $crate::sync::fence($crate::sync::Ordering::$order);
        }
    }};
}

/// A named store that a protocol needs; absent if a model weakened the site.
#[cfg(all(feature = "alloc", target_has_atomic = "ptr"))]
macro_rules! needed {
    ($site:literal, $store:expr) => {{
        #[cfg(loom)]
        let is_there = !$crate::sync::weakened($site);
        #[cfg(not(loom))]
        let is_there = true;
        if is_there {
            $store;
        }
    }};
}

/// Reports an access that is about to happen: to all of `$place`, a reference, or to `$bytes` bytes
/// at an address.
macro_rules! seen {
    ($kind:ident, $place:expr) => {
        #[cfg(lines)]
        $crate::sync::lines::report_all($crate::sync::lines::Kind::$kind, $place);
    };
    ($kind:ident, $start:expr, $bytes:expr) => {
        #[cfg(lines)]
        $crate::sync::lines::report($crate::sync::lines::Kind::$kind, $start, $bytes);
    };
}

#[cfg(target_has_atomic = "ptr")]
pub(crate) use barrier;
pub(crate) use const_unless_loom;
#[cfg(target_has_atomic = "ptr")]
pub use copy::SharedWords;
#[cfg(target_has_atomic = "ptr")]
pub(crate) use copy::{load_all, store_all};
#[cfg(all(feature = "alloc", target_has_atomic = "ptr"))]
pub(crate) use needed;
pub(crate) use order;
pub(crate) use repeat;
pub(crate) use seen;

#[cfg(target_has_atomic = "ptr")]
#[inline]
pub(crate) fn fence(order: Ordering) {
    atomic::fence(order);
}

/// An atomic word. A separate type, so that its paths differ from those that `clippy.toml` refuses.
#[derive(Debug, Default)]
#[repr(transparent)]
pub(crate) struct AtomicUsize(atomic::AtomicUsize);

impl AtomicUsize {
    const_unless_loom! {
        pub(crate) const fn new(value: usize) -> AtomicUsize {
            AtomicUsize(atomic::AtomicUsize::new(value))
        }
    }

    #[inline]
    pub(crate) fn load(&self, order: Ordering) -> usize {
        seen!(Load, self);
        self.0.load(order)
    }

    /// Loads a word that may be in memory of another process. Such memory may be mapped read-only,
    /// where only relaxed loads are defined, so a fence follows the load.
    #[cfg(target_has_atomic = "ptr")]
    #[inline]
    pub(crate) fn acquire(&self, foreign: bool, order: Ordering) -> usize {
        if !foreign {
            return self.load(order);
        }
        let value = self.load(Ordering::Relaxed);
        // A model may have weakened the ordering.
        if order != Ordering::Relaxed {
            fence(order);
        }
        value
    }

    /// Loads plainly; the model checker reports a race with a store.
    ///
    /// # Safety
    /// No thread stores to the word until the value is no longer needed.
    #[cfg(loom)]
    pub(crate) unsafe fn unsync_load(&self) -> usize {
        // SAFETY: this function's contract, which loom checks.
        unsafe { self.0.unsync_load() }
    }

    /// Stores plainly; the model checker reports a race with a load.
    ///
    /// # Safety
    /// No thread loads the word until this returns, or knows a reference to it meanwhile.
    #[cfg(loom)]
    #[expect(
        invalid_reference_casting,
        reason = "loom has no plain store by a shared reference, and runs one thread at a time"
    )]
    pub(crate) unsafe fn unsync_store(&self, value: usize) {
        let word = core::ptr::from_ref(&self.0).cast_mut();
        // SAFETY: this function's contract, which loom checks.
        unsafe { &mut *word }.with_mut(|word| *word = value);
    }

    #[inline]
    pub(crate) fn store(&self, value: usize, order: Ordering) {
        seen!(Store, self);
        self.0.store(value, order);
    }

    /// Exchanges `current` for `new`, relaxed, and then calls `fence`, which must be a sequentially
    /// consistent fence. If the exchange fails, returns `false` without a fence. Where an exchange
    /// is such a fence, this is one instruction.
    #[cfg(target_has_atomic = "ptr")]
    #[inline]
    pub(crate) fn exchange_and_fence(
        &self,
        current: usize,
        new: usize,
        fence: impl FnOnce(),
    ) -> bool {
        #[cfg(not(all(
            target_arch = "x86_64",
            target_pointer_width = "64",
            not(miri),
            not(loom)
        )))]
        {
            let relaxed = Ordering::Relaxed;
            let done = self.compare_exchange(current, new, relaxed, relaxed).is_ok();
            if done {
                fence();
            }
            done
        }
        #[cfg(all(target_arch = "x86_64", target_pointer_width = "64", not(miri), not(loom)))]
        {
            seen!(Store, self);
            let _ = fence;
            let done: u8;
            // The exchange and the fence in one: neither the compiler nor the processor moves a
            // memory access across it.
            // SAFETY: one word, which may be exchanged through a shared reference.
            unsafe {
                core::arch::asm!(
                    "lock cmpxchg [{word}], {new}",
                    "sete {done}",
                    word = in(reg) self.0.as_ptr(),
                    new = in(reg) new,
                    done = lateout(reg_byte) done,
                    inout("rax") current => _,
                    options(nostack)
                );
            }
            done != 0
        }
    }

    /// Sets bits, and then calls `fence`, which must be a sequentially consistent fence. On
    /// processors where an atomic operation is such a fence, this is one instruction.
    #[cfg(target_has_atomic = "ptr")]
    #[inline]
    pub(crate) fn or_and_fence(&self, bits: usize, order: Ordering, fence: impl FnOnce()) {
        #[cfg(not(all(
            target_arch = "x86_64",
            target_pointer_width = "64",
            not(miri),
            not(loom)
        )))]
        {
            self.fetch_or(bits, order);
            fence();
        }
        #[cfg(all(target_arch = "x86_64", target_pointer_width = "64", not(miri), not(loom)))]
        {
            seen!(Store, self);
            let _ = (order, fence);
            // Neither the compiler nor the processor moves a memory access across it.
            // SAFETY: one word, which may be changed through a shared reference.
            unsafe {
                core::arch::asm!(
                    "lock or [{word}], {bits}",
                    word = in(reg) self.0.as_ptr(),
                    bits = in(reg) bits,
                    options(nostack)
                );
            }
        }
    }
}

/// Defines operations that are the same for all types: report the access, then do it.
macro_rules! forward {
    ($($name:ident)*) => {$(
        #[cfg(target_has_atomic = "ptr")]
        impl AtomicUsize {
            #[inline]
            pub(crate) fn $name(&self, value: usize, order: Ordering) -> usize {
                seen!(Store, self);
                self.0.$name(value, order)
            }
        }
    )*};
}

forward!(fetch_add fetch_sub fetch_max fetch_or fetch_and);

/// Does the same as `forward`, for exchanges. `compare_exchange_weak` may fail spuriously: use it
/// in loops; it is cheaper on some processors.
macro_rules! forward_exchange {
    ($($name:ident)*) => {$(
        #[cfg(target_has_atomic = "ptr")]
        impl AtomicUsize {
            #[inline]
            pub(crate) fn $name(
                &self,
                current: usize,
                new: usize,
                success: Ordering,
                failure: Ordering,
            ) -> Result<usize, usize> {
                seen!(Store, self);
                self.0.$name(current, new, success, failure)
            }
        }
    )*};
}

forward_exchange!(compare_exchange compare_exchange_weak);

/// An atomic pointer to a value that is created once and never replaced.
#[cfg(all(feature = "alloc", target_has_atomic = "ptr"))]
#[derive(Debug)]
pub(crate) struct AtomicPtr<T>(atomic::AtomicPtr<T>);

#[cfg(all(feature = "alloc", target_has_atomic = "ptr"))]
impl<T> AtomicPtr<T> {
    const_unless_loom! {
        pub(crate) const fn new(value: *mut T) -> AtomicPtr<T> {
            AtomicPtr(atomic::AtomicPtr::new(value))
        }
    }

    #[inline]
    pub(crate) fn load(&self, order: Ordering) -> *mut T {
        seen!(Load, self);
        self.0.load(order)
    }

    pub(crate) fn compare_exchange(
        &self,
        current: *mut T,
        new: *mut T,
        success: Ordering,
        failure: Ordering,
    ) -> Result<*mut T, *mut T> {
        seen!(Store, self);
        self.0.compare_exchange(current, new, success, failure)
    }
}

/// Pauses in a loop that waits for another thread. Under loom it lets other threads run.
#[inline]
pub(crate) fn pause() {
    #[cfg(not(loom))]
    core::hint::spin_loop();
    #[cfg(loom)]
    loom::thread::yield_now();
}

/// Prefetches the memory at `place` for a read or, with `WRITE`, for a write. The address may be
/// invalid.
#[inline(always)]
pub(crate) fn prefetch<const WRITE: bool>(place: *const u8) {
    #[cfg(lines)]
    if WRITE {
        seen!(StoreAhead, place.addr(), 1);
    } else {
        seen!(LoadAhead, place.addr(), 1);
    }
    #[cfg(all(target_arch = "x86_64", target_pointer_width = "64", not(miri), not(loom)))]
    if WRITE {
        // SAFETY: a hint; it changes nothing that a program can observe.
        unsafe {
            core::arch::asm!("prefetchw [{}]", in(reg) place.addr(), options(nomem, nostack, preserves_flags))
        };
    } else {
        // SAFETY: as above.
        unsafe {
            core::arch::asm!("prefetcht0 [{}]", in(reg) place.addr(), options(nomem, nostack, preserves_flags))
        };
    }
    #[cfg(not(all(target_arch = "x86_64", target_pointer_width = "64", not(miri), not(loom))))]
    let _ = place;
}

/// A cell that is accessed only through a closure, so that loom sees every access.
#[derive(Debug, Default)]
#[repr(transparent)]
pub(crate) struct SharedCell<T>(UnsafeCell<T>);

impl<T> SharedCell<T> {
    const_unless_loom! {
        pub(crate) const fn new(value: T) -> SharedCell<T> {
            SharedCell(UnsafeCell::new(value))
        }
    }

    /// Calls `f` with a pointer to the cell's content, to read it.
    ///
    /// # Safety
    /// No other thread is inside `with_mut` of this cell until `f` returns, and as long as its
    /// result refers to the content.
    #[inline]
    pub(crate) unsafe fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
        seen!(Load, self);
        #[cfg(not(loom))]
        let result = f(self.0.get());
        #[cfg(loom)]
        let result = self.0.with(f);
        result
    }

    /// Calls `f` with the cell's content.
    ///
    /// # Safety
    /// No other thread is inside `with` or `with_mut` of this cell until `f` returns.
    #[inline]
    pub(crate) unsafe fn with_mut<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        seen!(Store, self);
        // SAFETY: this function's contract.
        unsafe { self.with_mut_unseen(f) }
    }

    /// Does the same as `with_mut`, for an `f` that moves the content out and writes nothing.
    ///
    /// # Safety
    /// As for `with_mut`.
    #[inline]
    pub(crate) unsafe fn with_taken<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        seen!(Load, self);
        // SAFETY: this function's contract.
        unsafe { self.with_mut_unseen(f) }
    }

    /// Does the same as `with_mut`, for an `f` that reports its accesses itself.
    ///
    /// # Safety
    /// As for `with_mut`.
    #[inline]
    pub(crate) unsafe fn with_mut_unseen<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        #[cfg(not(loom))]
        // SAFETY: the caller has exclusive access (this function's contract), and the pointer is
        // that of the cell.
        let result = f(unsafe { &mut *self.0.get() });
        #[cfg(loom)]
        // SAFETY: as above; loom reports a violation.
        let result = self.0.with_mut(|value| f(unsafe { &mut *value }));
        result
    }
}

#[cfg(loom)]
mod weakening {
    extern crate std;

    use core::cell::Cell;

    use super::Ordering;

    std::thread_local! {
        // A model runs on one system thread, so a test weakens only its own model.
        static WEAK: Cell<&'static str> = const { Cell::new("") };
    }

    /// Weakens the ordering named `site` to `Relaxed`, or removes that fence or store, for all
    /// later models of this thread. An empty name restores all.
    pub fn weaken(site: &'static str) {
        WEAK.with(|weak| weak.set(site));
    }

    pub(crate) fn weakened(site: &str) -> bool {
        WEAK.with(|weak| weak.get() == site)
    }

    pub(crate) fn order_of(site: &str, order: Ordering) -> Ordering {
        if weakened(site) { Ordering::Relaxed } else { order }
    }
}

#[cfg(loom)]
pub use weakening::weaken;
#[cfg(loom)]
pub(crate) use weakening::{order_of, weakened};
