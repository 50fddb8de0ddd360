//! Two nodes with shared memory between them, as in the tests of links.

#[path = "../it/exchange/harness/mod.rs"]
pub(crate) mod harness;
#[path = "../it/exchange/moves/world.rs"]
pub(crate) mod world;
