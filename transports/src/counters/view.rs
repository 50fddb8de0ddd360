//! A copy of the counters of another process, or of a dump of them, made from their words alone.
//!
//! Kinds and values have the names in the region: it may come from another version of this library,
//! with kinds and values that this one does not know.
//!
//! **Panic contract.** The words may have any content, and change at any time. Reading them never
//! panics and always ends. It allocates in proportion to the words, not to what they claim. Texts
//! are without control characters, so that they may be printed to a terminal.
//!
//! To read, from the bottom up: `view/layout.rs` (the header), `view/copy.rs` (what readers use),
//! `view/lines.rs` (how lines are copied).

mod copy;
mod layout;
mod lines;

pub use self::copy::{CountersView, LineView};
#[cfg_attr(
    not(all(feature = "metrics", target_os = "linux", target_pointer_width = "64")),
    allow(unused_imports, reason = "regions are made with `metrics`, and attached on Linux")
)]
pub(super) use self::layout::{FIRST_NAME, FURTHER_NAME, Layout, Listed, MAGIC, VERSION};
pub use self::layout::{KindView, ViewError};
