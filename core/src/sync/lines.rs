//! Reports of accesses to shared memory, for simulated caches.
//!
//! Under `cfg(lines)` the shim reports each access to the watcher of this thread, if one is set.
//! `line-tests/` compiles this crate with that flag, sets simulated caches as the watcher, and
//! counts the cache lines that move between cores. Fences are not reported: they move no line.

extern crate std;

use core::cell::Cell;
use core::sync::atomic::{self, Ordering};

/// The kind of an access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A read.
    Load,
    /// A write, or a read and a write in one step. A compare-and-swap is one even if it fails.
    Store,
    /// A prefetch for a read.
    LoadAhead,
    /// A prefetch for a write.
    StoreAhead,
}

/// One access to shared memory.
#[derive(Clone, Copy, Debug)]
pub struct Access {
    /// Its kind.
    pub kind: Kind,
    /// The address of its first byte.
    pub start: usize,
    /// How many bytes it touches.
    pub bytes: usize,
}

std::thread_local! {
    static WATCHER: Cell<Option<fn(Access)>> = const { Cell::new(None) };
}

/// Sets the function that is called before each access of this thread; `None` ends that.
pub fn watch(watcher: Option<fn(Access)>) {
    WATCHER.set(watcher);
}

/// Reports an access that follows.
pub fn report(kind: Kind, start: usize, bytes: usize) {
    if let Some(watcher) = WATCHER.get() {
        watcher(Access { kind, start, bytes });
    }
}

/// Reports an access to all of `place`.
pub fn report_all<T: ?Sized>(kind: Kind, place: &T) {
    report(kind, core::ptr::from_ref(place).addr(), size_of_val(place));
}

/// Atomics that report, for crates above this one.
macro_rules! reporting {
    ($name:ident, $value:ty $(, $number:ident)?) => {
        /// The type of the standard library, but it reports each access.
        #[derive(Debug, Default)]
        #[repr(transparent)]
        pub struct $name(atomic::$name);

        #[allow(missing_docs)]
        impl $name {
            #[must_use]
            pub const fn new(value: $value) -> $name {
                $name(atomic::$name::new(value))
            }

            #[inline]
            pub fn load(&self, order: Ordering) -> $value {
                report_all(Kind::Load, self);
                self.0.load(order)
            }

            #[inline]
            pub fn store(&self, value: $value, order: Ordering) {
                report_all(Kind::Store, self);
                self.0.store(value, order);
            }

            #[inline]
            pub fn swap(&self, value: $value, order: Ordering) -> $value {
                report_all(Kind::Store, self);
                self.0.swap(value, order)
            }

            #[inline]
            pub fn compare_exchange(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                report_all(Kind::Store, self);
                self.0.compare_exchange(current, new, success, failure)
            }

            $(
                #[inline]
                pub fn fetch_add(&self, $number: $value, order: Ordering) -> $value {
                    report_all(Kind::Store, self);
                    self.0.fetch_add($number, order)
                }

                #[inline]
                pub fn fetch_sub(&self, $number: $value, order: Ordering) -> $value {
                    report_all(Kind::Store, self);
                    self.0.fetch_sub($number, order)
                }

                #[inline]
                pub fn fetch_max(&self, $number: $value, order: Ordering) -> $value {
                    report_all(Kind::Store, self);
                    self.0.fetch_max($number, order)
                }
            )?
        }
    };
}

reporting!(AtomicBool, bool);
reporting!(AtomicU8, u8, value);
reporting!(AtomicU32, u32, value);
reporting!(AtomicU64, u64, value);
reporting!(AtomicUsize, usize, value);
