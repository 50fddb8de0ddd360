//! A handle that loom sees.

use core::ops::Deref;

use loom::sync::Arc;
use mycelium_core::ring::Handle;

/// A ring that threads of a model share. Whoever drops the last one has, for loom too, all others behind it.
#[derive(Debug)]
pub struct Shared<R>(Arc<R>);

impl<R> Shared<R> {
    /// Shares a ring.
    pub fn new(ring: R) -> Shared<R> {
        Shared(Arc::new(ring))
    }
}

impl<R> Clone for Shared<R> {
    fn clone(&self) -> Shared<R> {
        Shared(Arc::clone(&self.0))
    }
}

impl<R> Deref for Shared<R> {
    type Target = R;

    fn deref(&self) -> &R {
        &self.0
    }
}

// SAFETY: an `Arc` never moves what it holds, and this one is never given something else to hold.
#[allow(unsafe_code)]
unsafe impl<R> Handle for Shared<R> {}
