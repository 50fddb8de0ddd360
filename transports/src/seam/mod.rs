//! The ends of a topic for other processes.

mod feed;
mod moved;
mod tap;

pub use feed::{Feed, MappedFeed};
pub use tap::{Tap, TapItem, TapStream};
