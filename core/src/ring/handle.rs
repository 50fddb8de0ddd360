//! How an end of a ring leads to its ring.

use core::ops::Deref;

/// A pointer to a ring: `&Ring`, or `Arc<Ring>` with the feature `alloc`. A handle of your own may
/// lead to memory that something else owns.
///
/// Nothing is promised of a clone of a handle: it may lead to another ring. So an end that is
/// cloned, and any other code that clones a handle, gets the ring from the clone, and copies no
/// pointer, position or index.
///
/// # Safety
/// As long as a handle lives, and after it was moved, `deref` returns the same ring at the same
/// address.
#[allow(unsafe_code)]
pub unsafe trait Handle: Deref {}

// SAFETY: a shared reference is what `deref` returns.
#[allow(unsafe_code)]
unsafe impl<R> Handle for &R {}

// SAFETY: an `Arc` never moves its content, and its content cannot be replaced while an end owns
// the `Arc`.
#[cfg(all(feature = "alloc", target_has_atomic = "ptr"))]
#[allow(unsafe_code)]
unsafe impl<R> Handle for alloc::sync::Arc<R> {}

// SAFETY: as above.
#[cfg(loom)]
#[allow(unsafe_code)]
unsafe impl<R> Handle for loom::sync::Arc<R> {}
