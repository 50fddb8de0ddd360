//! Recordings as they are written, damaged, and read again.

mod common;
mod comparisons;
mod damage;
mod lies;
mod limits;
mod model;
mod others;
mod shown;
