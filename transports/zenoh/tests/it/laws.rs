//! The laws of transports over Zenoh.

use std::net::SocketAddr;

use mycelium_transports::conformance::{Carried, TestEngine, Threads, assert_kept};
use mycelium_transports::seam::{Capabilities, Transport};

use crate::support::{connecting, listening};
use crate::ticks::free;

/// Two peers, of which the sending one connects to the other.
struct Peers(SocketAddr);

impl TestEngine for Peers {
    const NAME: &'static str = "zenoh";
    const CAPABILITIES: Capabilities = Capabilities::NONE;

    fn start() -> Peers {
        Peers(free())
    }

    fn sending(&self) -> Box<dyn Transport> {
        Box::new(connecting(self.0))
    }

    fn receiving(&self) -> Box<dyn Transport> {
        Box::new(listening(self.0))
    }
}

#[test]
fn the_laws_hold() {
    let not_kept = assert_kept::<Carried<Peers>, Threads>();
    // Those of readers that gate, of publishers that slow readers hold up, and of topics that know
    // all their publishers and readers.
    assert_eq!(not_kept.len(), 16, "{not_kept:#?}");
}
