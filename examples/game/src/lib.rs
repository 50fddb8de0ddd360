//! A game server of three services, with a page for browsers and bots for load.
//!
//! - [`world`]: the service that knows who plays.
//! - [`physics`]: the service that moves the entities.
//! - [`network`]: the service that serves the page and the clients.
//! - [`messages`]: what they send each other.
//! - [`bots`]: clients that play by themselves, and a measurement with them.

pub mod bots;
pub mod messages;
pub mod network;
pub mod physics;
pub mod world;

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;

use mycelium::{Builder, Error, Node, Result, Topology};

use crate::{network::Figures, network::Network, physics::Physics, world::World};

/// Returns a node with all services. The topology says which of them run in it.
pub fn node(name: &str, topology: Topology, address: SocketAddr, figures: Arc<Figures>) -> Builder {
    Node::builder(name)
        .topology(topology)
        .service(World::default)
        .service(Physics::default)
        .service(move || Network { address, figures: figures.clone() })
}

/// Reads a topology file of this package.
///
/// # Errors
/// If it cannot be read, or is invalid.
pub fn topology(file: &str) -> Result<Topology> {
    Ok(Topology::load(Path::new(env!("CARGO_MANIFEST_DIR")).join(file))?)
}

/// Returns an address at which the server can listen, with a free port in place of 0.
///
/// # Errors
/// If the address is in use, or does not belong to this machine.
pub fn free(address: SocketAddr) -> Result<SocketAddr> {
    let free = TcpListener::bind(address).and_then(|listener| listener.local_addr());
    free.map_err(|error| Error::msg(format!("cannot listen at {address}: {error}")))
}
