//! One link over one stream of bytes, such as a Unix socket.
//!
//! A [`Driver`] reads, hands each frame to its [`Link`], takes messages from its [`Traffic`], and
//! writes, until no byte moves. Then it waits for the stream, the clock or the traffic. One read
//! takes all bytes that have arrived, and their frames are decoded in place; one write takes a
//! whole batch. Dropping the driver loses nothing but what the link reports as lost: the next poll
//! finishes a frame that was written in part.
//!
//! This module does not depend on topics. `exchange` has the traffic of topics.

mod driver;
mod moved;
mod read_buffer;

pub use driver::{DriveError, Driver, Traffic};
pub use moved::Moved;

use mycelium_core::link::Link;

/// A link with the limits of a node.
pub type NodeLink<'b> = Link<'b, TOPICS, STREAMS>;

/// The limit on the topics that one process reads from another.
pub const TOPICS: usize = 64;
/// The limit on the publishers of these topics that are read at once.
pub const STREAMS: usize = 128;
