//! Bandit follows the swaps of pools of Uniswap and emits a signal when their prices differ by more
//! than their fees. The modules, in the order in which a log passes them:
//!
//! - [`ethereum`] gets logs from a node, or from a recorded day that is served like one, and
//!   decodes them.
//! - [`metadata`] of the pool of a log comes from one of the [`stores`], [`arbitrage`] finds the
//!   signals, [`signals`] writes them to a file, and [`fills`] says what they would have earned.
//! - [`messages`] are the messages between the [`services`]; [`app`] puts the services into a node,
//!   [`faults`] makes them panic on purpose, and [`durable`] saves their states across processes.
//! - [`traces`] prints a trace, [`load`] measures the latencies under load, and [`files`] has the
//!   error of files.
//!
//! Only `main` knows the executor: streams are those of `futures-io`, and time comes from arguments
//! or from the context. The drivers of stores have an executor of their own.

#![forbid(unsafe_code)]

pub mod app;
pub mod arbitrage;
pub mod durable;
pub mod ethereum;
pub mod faults;
pub mod files;
pub mod fills;
pub mod load;
pub mod messages;
pub mod metadata;
pub mod services;
pub mod signals;
pub mod stores;
pub mod traces;
