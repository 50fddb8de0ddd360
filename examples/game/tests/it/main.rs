//! Tests of the services alone, with real sockets, with killed processes, and with a real browser.

mod browser;
mod bundled;
mod client;
mod server;
mod services;
