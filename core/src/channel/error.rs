//! The error of a send that waits.

use core::fmt;

/// The receivers are gone; the item comes back.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the receivers are gone")]
pub struct SendError<T>(pub T);

impl<T> SendError<T> {
    /// The item.
    pub fn into_inner(self) -> T {
        self.0
    }
}

// As `Display`, which `main` and `unwrap` do not use. An item need not be `Debug`.
impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
