//! The tests of smol.
#![cfg(all(unix, not(miri)))]

mod conformance;
mod ends;
mod subjects;
