//! The addresses of listeners for clients of the original system. The address of a listener must be
//! unique on its host. Without this check, the system refuses the second user of an address when
//! the node starts, and its error does not name the sections.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use mycelium_transports::endpoint::Endpoint;

use super::error::TopologyError;
use super::{Setting, Topology};

impl Topology {
    /// Checks the addresses of all listeners, once the runtime directory is known. `node` is the
    /// node of this program, even if the file does not have it.
    pub(crate) fn check_legacy_addresses(&self, node: &str) -> Result<(), TopologyError> {
        // The node or listener that has each address, as a text, by host and address.
        let mut taken: BTreeMap<(Option<&str>, String), String> = BTreeMap::new();
        let mut nodes: Vec<&str> = self.nodes().collect();
        if !nodes.contains(&node) {
            nodes.push(node);
        }
        for node in nodes {
            let unix = (self.endpoint(node), self.place_of(Setting::Socket(node)));
            let tcp = self.tcp(node).map(|endpoint| (endpoint, self.place_of(Setting::Tcp(node))));
            for (endpoint, place) in std::iter::once(unix).chain(tcp) {
                let place = place.map_or_else(String::new, |place| format!(" at {place}"));
                for address in addresses(&endpoint) {
                    taken.insert((self.host(node), address), format!("node `{node}`{place}"));
                }
            }
        }
        for (name, section) in &self.sections.legacy {
            let there = section.node.as_ref().map(|node| node.as_ref().as_str());
            let host = self.host(there.or_else(|| self.nodes().next()).unwrap_or(node));
            let (endpoint, place) = Topology::legacy_endpoint(name, section);
            for address in addresses(&endpoint) {
                let (name, location) = (name.as_ref(), self.file.location(place.clone()));
                let own = format!("legacy listener `{name}` at {location}");
                if let Some(other) = taken.insert((host, address.clone()), own) {
                    let text = format!(
                        "legacy listener `{name}` has the address `{address}` of {other}: expected \
                         one of its own"
                    );
                    return Err(self.file.contradiction(place, text));
                }
            }
        }
        Ok(())
    }
}

/// Returns the addresses where a process listens, each in a normal form.
fn addresses(endpoint: &Endpoint) -> Vec<String> {
    let in_one_form = |address: &String| match address.parse::<SocketAddr>() {
        Ok(address) => address.to_string(),
        Err(_) => address.to_ascii_lowercase(),
    };
    match endpoint {
        Endpoint::Tcp { addresses, listen } if listen.is_empty() => {
            addresses.iter().map(in_one_form).collect()
        }
        Endpoint::Tcp { listen, .. } => listen.iter().map(in_one_form).collect(),
        other => vec![other.to_string()],
    }
}
