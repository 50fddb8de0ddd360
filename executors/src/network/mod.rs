//! Sockets for every adapter: [`Stream`] and [`Listener`] wrap the sockets of a runtime,
//! [`bind_tcp`], [`prepare_tcp`] and [`connect_first`] create and prepare them, and [`Credentials`]
//! identify the process of a peer.

mod address;
mod listener;
mod resolve;
mod stream;
mod tcp;

pub use address::{Address, Credentials, Peer};
pub use listener::{Accept, Listener, ListeningSocket};
pub use resolve::connect_first;
pub use stream::{Duplex, Stream};
pub use tcp::{bind_tcp, prepare_tcp};
