//! The Ethereum node: [`session`] decides what to request of it and which log is new, with the
//! JSON-RPC messages of [`rpc`], [`socket`] connects a session to the byte stream that
//! [`endpoint`] encrypts, and [`chain`] decodes a log. [`feed`] is such a node: it replays a
//! recorded [`day`], to which [`pairs`] adds logs, also by the schedule of an [`offer`].

pub mod chain;
pub mod day;
pub mod endpoint;
pub mod feed;
pub mod offer;
pub mod pairs;
pub mod rpc;
pub mod session;
pub mod socket;
