//! The ends of a column of two processes.

use crate::machine::processes::Talk;

/// Returns the number of messages of `W` words that a ring holds: 1,024, or those of 1 MiB, or 4.
pub(crate) const fn capacity<const W: usize>() -> usize {
    match (1 << 20) / size_of::<[usize; W]>() {
        ..4 => 4,
        1024.. => 1024,
        most => most,
    }
}

/// An end for messages of `W` words in each direction.
pub(crate) trait Duplex<const W: usize>: Sized + 'static {
    /// The name in jobs.
    const KIND: &'static str;

    /// Joins the end of the other process.
    fn meet(other: &mut Talk) -> Self;

    /// Sends a message; false if there is no room.
    fn send(&mut self, message: &[usize; W]) -> bool;

    /// Takes the next message, if any.
    fn receive(&mut self, message: &mut [usize; W]) -> bool;
}
