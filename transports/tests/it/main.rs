//! The tests of the package: a module for each of its parts.

mod bad_transports;
mod counters;
mod deliveries;
mod engine;
mod feed;
mod local;
mod memory;
mod postcard;
mod replay;
mod support;
mod unix;
mod untyped;
mod waiter;
mod worker;
