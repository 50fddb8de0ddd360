//! The tests of the package.

mod columns;
mod results;
