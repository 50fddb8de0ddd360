//! Sockets for every adapter: [`Stream`] and [`Listener`] wrap those of a runtime, [`bind_tcp`],
//! [`prepare_tcp`] and [`connect_first`] make and prepare them, and [`Credentials`] say whose
//! process a peer is.

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
