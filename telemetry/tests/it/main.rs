//! The tests of the package. The collector is a real server over HTTP, which decodes spans and
//! metrics by the official definitions. The allocator of `recording` counts for each thread.

mod collector;
mod documents;
mod endpoint;
mod families;
mod names;
mod push;
mod recording;
mod spans;
