//! Clients of the original system: they connect to a listener of this node, and send and receive
//! messages of its topics. `docs/legacy.md` describes the service, `mycelium_core::legacy` has the
//! frames, and the `legacy` sections of a topology describe the listeners.
//!
//! ```text
//! socket ─▶ Connection ─▶ Intake ─▶ channel ─▶ Incoming<M> ─▶ topic
//! socket ◀─ Connection ◀─ Outbox ◀─ Hub ◀───── Outgoing<M> ◀─ topic
//! ```
//!
//! A listener is three kinds of services, which `node/builder/legacy_services` adds to the
//! program's services: a [`Listener`](listener::Listener), and for each type an
//! [`Incoming`](services::Incoming) and an [`Outgoing`](services::Outgoing). So topics, links,
//! shutdown and supervision need no code for clients. The services share a [`Hub`](hub::Hub).
//!
//! Reading order: `codec` (the users' interface), `outbox`, `intake`, `hub`, `services`,
//! `connection`, `listener`.

pub(crate) mod codec;
mod connection;
pub(crate) mod hub;
pub(crate) mod intake;
pub(crate) mod listener;
mod outbox;
pub(crate) mod services;

pub use codec::LegacyCodec;
