//! Errors of shared memory and of the control socket. This file makes no system calls.

use std::io;

use mycelium_core::ring::region::RegionError;
use mycelium_core::{Code, debug_as_display};
use thiserror::Error;

use super::packet::{PacketError, RefusedHello};
use crate::endpoint::BindError;

/// Why memory cannot be shared.
#[derive(Error)]
#[non_exhaustive]
pub enum MemoryError {
    /// Memory is shared on 64-bit Linux only.
    #[error("memory can be shared on 64-bit Linux only: use `transport = \"unix\"`")]
    Unsupported,
    /// A region has no words, or more than a process can map.
    #[error("invalid size of a region: expected 1 to {most} words, found {words}")]
    Words {
        /// The requested number.
        words: usize,
        /// The largest possible number.
        most: usize,
    },
    /// The system does not have enough memory. Nothing was allocated.
    #[error("cannot allocate {bytes} bytes of shared memory: {error}")]
    Exhausted {
        /// The requested size, in whole pages.
        bytes: u64,
        /// The system's error.
        #[source]
        error: io::Error,
    },
    /// The system does not have enough huge pages. Nothing was allocated.
    #[error(
        "cannot allocate {bytes} bytes of huge pages: {error}; raise `vm.nr_hugepages`, or turn \
         huge pages off"
    )]
    HugePages {
        /// The requested size.
        bytes: u64,
        /// The system's error.
        #[source]
        error: io::Error,
    },
    /// A peer passed a descriptor that is not shared memory.
    #[error("invalid descriptor of a peer: expected {expected}, found {found}")]
    Kind {
        /// The expected kind.
        expected: &'static str,
        /// The kind that was found.
        found: String,
    },
    /// A peer passed memory that it could change in size, or that could be mapped writable.
    #[error("invalid seals of a peer's memory: expected {expected}, found {found}")]
    Seals {
        /// The seals that must be set.
        expected: &'static str,
        /// The seals that are set.
        found: String,
    },
    /// A peer passed memory of a size that is not allowed.
    #[error(
        "invalid size of a peer's memory: expected {page} to {most} bytes in pages of {page}, \
         found {found}"
    )]
    Size {
        /// The size of a page.
        page: u64,
        /// The largest size.
        most: u64,
        /// The size that was found.
        found: u64,
    },
    /// A peer passed memory that is not fully allocated: a read could fail.
    #[error("a peer's memory is not allocated: expected {expected} bytes, found {found}")]
    Sparse {
        /// The size of the memory.
        expected: u64,
        /// The part that is allocated.
        found: u64,
    },
    /// A region cannot be created in the memory.
    #[error(transparent)]
    Region(#[from] RegionError),
    /// A system call failed.
    #[error("cannot {action}: {error}")]
    System {
        /// The purpose of the call.
        action: &'static str,
        /// The system's error.
        #[source]
        error: io::Error,
    },
}

/// Why a control thread does not start, or does not listen.
#[derive(Error)]
#[non_exhaustive]
pub enum ControlError {
    /// Memory is shared on 64-bit Linux only.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// The socket cannot be made.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The thread did not start.
    #[error(transparent)]
    Thread(#[from] mycelium_executor::ThreadError),
    /// The control thread listens already.
    #[error("the control thread already listens at another path")]
    Listens,
    /// The control thread was stopped.
    #[error("the control thread has ended")]
    Stopped,
    /// A system call failed.
    #[error("cannot {action}: {error}")]
    System {
        /// The purpose of the call.
        action: &'static str,
        /// The system's error.
        #[source]
        error: io::Error,
    },
}

/// Why a packet was not sent. The connection ends, and its handler gets the reason, unless this
/// process merely has no descriptor left.
#[derive(Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SendError {
    /// The connection had ended.
    #[error("the control connection has ended")]
    Closed,
    /// The peer does not read, and this many packets wait already.
    #[error("the peer does not read its control connection: {0} packets wait for it")]
    Full(usize),
    /// The process has no descriptor left, or too many are in transit to other processes.
    #[error("no descriptor left to pass to the peer")]
    Descriptors,
    /// The system refused the packet.
    #[error("cannot send to the peer: system error {0}")]
    System(i32),
}

/// Why a control connection ended.
#[derive(Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Gone {
    /// This process closed the connection.
    #[error("closed by this process")]
    Closed,
    /// The control thread of this process has ended.
    #[error("the control thread has ended")]
    Stopped,
    /// The peer closed the connection, or its process ended.
    #[error("closed by the peer")]
    PeerClosed,
    /// The process of the peer ended. Another process may still have the socket.
    #[error("the process of the peer has ended")]
    PeerDied,
    /// The peer does not know the token, or does not speak this version.
    #[error("refused by the peer: {0}")]
    Refused(RefusedHello),
    /// The peer did not answer in time, before the connection was established.
    #[error("the peer did not finish the handshake in time")]
    HandshakeTimeout,
    /// The peer broke the protocol.
    #[error("{0}")]
    Packet(#[from] PacketError),
    /// So many wake sockets that the peer has replaced are not closed yet. The peer can delay that.
    #[error("{0} replaced sockets of the peer are not closed yet")]
    Unclosed(usize),
    /// A packet could not be sent.
    #[error("{0}")]
    Send(#[from] SendError),
    /// The handler panicked.
    #[error("the handler of this connection panicked")]
    Panicked,
    /// The system failed to receive.
    #[error("cannot receive from the peer: system error {0}")]
    System(i32),
}

debug_as_display!(MemoryError, ControlError, SendError, Gone);

impl MemoryError {
    /// Returns the code of the error.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            MemoryError::Unsupported => Code::MEMORY_UNSUPPORTED,
            MemoryError::Words { .. } => Code::MEMORY_SIZE,
            MemoryError::Exhausted { .. } => Code::MEMORY_EXHAUSTED,
            MemoryError::HugePages { .. } => Code::HUGE_PAGES,
            MemoryError::Kind { .. }
            | MemoryError::Seals { .. }
            | MemoryError::Size { .. }
            | MemoryError::Sparse { .. }
            | MemoryError::Region(_) => Code::MEMORY_OF_PEER,
            MemoryError::System { .. } => Code::MEMORY_SYSTEM,
        }
    }
}

impl ControlError {
    /// Returns the code of the reason.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            ControlError::Memory(error) => error.code(),
            ControlError::Bind(error) => error.code(),
            ControlError::Thread(error) => error.code(),
            ControlError::Listens | ControlError::Stopped | ControlError::System { .. } => {
                Code::CONTROL_THREAD
            }
        }
    }
}
