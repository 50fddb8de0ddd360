//! The goals, as numbers.
