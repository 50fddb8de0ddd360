//! The tests of the package.
#![cfg(lines)]

mod goals;
mod seen;
