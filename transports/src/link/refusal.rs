//! Why a stream stays on its link although its ring could be read in shared memory.

use std::fmt;

use mycelium_core::ring::region::RegionError;

use crate::memory::MemoryError;

const NO_DESCRIPTOR: &str = "a process has no file descriptor left for the ring: raise `ulimit -n`";
const DROP_NEWEST: &str = "a `drop-newest` subscription of the topic has a ring of its own";
const TOO_MANY: &str = "too many rings wait for streams that are not known";

/// Why the readers' side does not read a ring in shared memory.
#[derive(Debug)]
pub(crate) enum MemoryRefusal {
    /// The memory cannot be mapped, or is not sealed.
    Memory(MemoryError),
    /// The memory does not contain a ring, or one with another identity.
    Region(RegionError),
    /// The ring belongs to another stream.
    Other,
    /// The process has no descriptor left for the memory.
    Descriptors,
    /// The topic has a `drop-newest` subscription.
    DropNewest,
    /// Too many rings wait for streams that may have ended.
    TooMany,
}

impl MemoryRefusal {
    /// Returns the reason as a number, for the peer.
    pub(crate) fn code(&self) -> u64 {
        match self {
            MemoryRefusal::Memory(_) => 1,
            MemoryRefusal::Region(_) => 2,
            MemoryRefusal::Other => 3,
            MemoryRefusal::Descriptors => 4,
            MemoryRefusal::TooMany => 5,
            MemoryRefusal::DropNewest => 6,
        }
    }

    /// Returns the text of a reason that a peer has sent.
    pub(crate) fn text(code: u64) -> &'static str {
        match code {
            1 => "it cannot map the memory of the ring",
            2 => "the memory that was passed does not contain the ring of the stream",
            3 => "the ring that was passed is not that of the stream",
            4 => NO_DESCRIPTOR,
            5 => TOO_MANY,
            6 => DROP_NEWEST,
            _ => "it refused the memory of the ring",
        }
    }
}

impl fmt::Display for MemoryRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MemoryRefusal::Memory(error) => error.fmt(f),
            MemoryRefusal::Region(error) => error.fmt(f),
            MemoryRefusal::Other => {
                f.write_str("the ring that was passed is not that of the stream")
            }
            MemoryRefusal::Descriptors => f.write_str(NO_DESCRIPTOR),
            MemoryRefusal::TooMany => f.write_str(TOO_MANY),
            MemoryRefusal::DropNewest => f.write_str(DROP_NEWEST),
        }
    }
}
