//! Clients of the original system: they connect to a listener of this node, send messages of its
//! topics, and receive others. `docs/legacy.md` says what is served, `mycelium_core::legacy` has
//! the frames, and the sections `legacy` of a topology describe the listeners.
//!
//! ```text
//! socket ─▶ Connection ─▶ Intake ─▶ channel ─▶ Incoming<M> ─▶ topic
//! socket ◀─ Connection ◀─ Outbox ◀─ Hub ◀───── Outgoing<M> ◀─ topic
//! ```
//!
//! A listener is three kinds of services, which `node/builder/legacy_services` adds to the
//! program's own services: a [`Listener`](listener::Listener), and for each type an
//! [`Incoming`](services::Incoming) and an [`Outgoing`](services::Outgoing). So topics, links,
//! shutdown and supervision know nothing of clients. The services share a [`Hub`](hub::Hub).
//!
//! To read: `codec` (what users set), `outbox`, `intake`, `hub`, `services`,
//! `connection`, `listener`.

pub(crate) mod codec;
mod connection;
pub(crate) mod hub;
pub(crate) mod intake;
pub(crate) mod listener;
mod outbox;
pub(crate) mod services;

pub use codec::LegacyCodec;
