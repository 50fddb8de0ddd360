//! The laws of transports over Zenoh.

use std::collections::BTreeSet;
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
    let lacked: BTreeSet<_> =
        assert_kept::<Carried<Peers>, Threads>().into_iter().map(|(_, what)| what).collect();
    let expected = [
        "hold up publishers for slow readers",
        "know all publishers and readers",
        "resume after a lost connection",
    ];
    assert!(lacked.iter().eq(&expected), "{lacked:?}");
}
