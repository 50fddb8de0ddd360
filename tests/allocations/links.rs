//! Two nodes with shared memory between them, with the harness of the tests of links.

#[path = "../it/links/harness/mod.rs"]
pub(crate) mod harness;
#[path = "../it/links/moves/world.rs"]
pub(crate) mod world;
