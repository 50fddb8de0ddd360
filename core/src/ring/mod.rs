//! Lock-free rings: the algorithm of each in a file of its own, apart from the memory that it runs in.
//!
//! Rings know nothing of wakers, threads or heaps. Waiting is the business of [`doorbell`](crate::doorbell) and of
//! whoever puts the two together.

pub mod broadcast;
