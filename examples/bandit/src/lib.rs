//! Bandit follows the swaps of two Uniswap V3 pools and emits a signal when their prices differ by
//! more than their fees. The modules, in the order in which a log passes them:
//!
//! - [`feed`] replays one recorded day of real logs over a WebSocket like an Ethereum node, with
//!   the JSON-RPC messages of [`rpc`].
//! - [`session`] decides what to request of a node and which log is new, and [`socket`] connects it
//!   to a byte stream.
//! - [`chain`] decodes a log, [`metadata`] looks up its pool, [`arbitrage`] finds the signals and
//!   [`signals`] writes them to a file.
//! - [`messages`] are the messages between the [`services`]; [`app`] puts the services into a node,
//!   [`faults`] makes them panic on purpose, and [`durable`] saves their states across processes.
//! - [`traces`] prints a trace, and [`files`] has the error of files.
//!
//! Only `main` knows the executor: streams are those of `futures-io`, and time comes from arguments
//! or from the context.

#![forbid(unsafe_code)]

pub mod app;
pub mod arbitrage;
pub mod chain;
pub mod durable;
pub mod faults;
pub mod feed;
pub mod files;
pub mod messages;
pub mod metadata;
pub mod rpc;
pub mod services;
pub mod session;
pub mod signals;
pub mod socket;
pub mod traces;
