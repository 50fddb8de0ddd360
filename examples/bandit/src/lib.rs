//! Bandit follows the swaps of two Uniswap V3 pools and reports when their prices stand further
//! apart than their fees. The rooms, in the order a log walks through them:
//!
//! - [`recording`] holds one recorded day of real logs; [`feed`] replays it over a WebSocket as an
//!   Ethereum node would, in the words of [`rpc`].
//! - [`client`] reads what a node sends, [`session`] decides what to ask and which log is new, and
//!   [`socket`] joins the two to a byte stream.
//! - [`chain`] makes an event of a log, [`metadata`] knows tokens and pools, [`arbitrage`] finds the
//!   signals and [`signals`] writes them down.
//! - [`messages`] is what the [`services`] say to each other; [`app`] puts them into a node, and
//!   [`faults`] makes them panic on purpose. [`durable`] keeps their states when processes die.
//! - [`figures`] counts, and [`report`] shows the counts.
//!
//! Only `main` knows which executor it is: streams are `futures-io`'s, and time is an argument or
//! the context's.

#![forbid(unsafe_code)]

pub mod app;
pub mod arbitrage;
pub mod chain;
pub mod client;
pub mod durable;
pub mod faults;
pub mod feed;
pub mod figures;
pub mod messages;
pub mod metadata;
pub mod recording;
pub mod report;
pub mod rpc;
pub mod services;
pub mod session;
pub mod signals;
pub mod socket;
