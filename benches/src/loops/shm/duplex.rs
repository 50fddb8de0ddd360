//! The ends of a column of two processes.

/// An end for messages of `W` words in each direction.
pub(crate) trait Duplex<const W: usize> {
    /// Sends a message; false if there is no room.
    fn send(&mut self, message: &[usize; W]) -> bool;

    /// Takes the next message, if any.
    fn receive(&mut self, message: &mut [usize; W]) -> bool;
}

/// The messages that a ring holds: at most four MiB.
pub(super) const fn capacity<const W: usize>() -> usize {
    if W <= 128 { 1024 } else { 128 }
}
