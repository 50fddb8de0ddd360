//! The Ethereum node: [`session`] decides what to request of it and which log is new, [`socket`]
//! connects a session to a byte stream, with the JSON-RPC messages of [`rpc`], and [`chain`]
//! decodes a log. [`feed`] is such a node: it replays one recorded day.

pub mod chain;
pub mod feed;
pub mod rpc;
pub mod session;
pub mod socket;
