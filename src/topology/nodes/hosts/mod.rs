//! The hosts of nodes, and how nodes of other hosts reach them: the sections `host`, and the keys
//! `host`, `port`, `address` and `listen` of a node.

use std::net::{ToSocketAddrs, UdpSocket};
use std::panic::resume_unwind;
use std::thread;

use mycelium_core::Code;
use mycelium_transports::endpoint::Endpoint;
use serde_spanned::Spanned;

use crate::topology::Topology;
use crate::topology::error::{Problem, TopologyError};

/// The maximum number of host names that are resolved at the same time.
const LOOKUPS: usize = 16;

impl Topology {
    /// Checks that each node is on a host of the file, if the file has hosts, and that the keys of
    /// the node do not contradict each other.
    pub(crate) fn check_hosts(&self) -> Result<(), TopologyError> {
        let hosts: Vec<&str> = self.hosts().collect();
        for (name, section) in &self.sections.node {
            if let Some(host) = &section.host {
                self.check_name("host", host, &hosts)?;
            } else if let Some(example) = hosts.first() {
                let message = format!(
                    "the file has hosts, and node `{}` is on none of them: write, for example, \
                     `host = \"{example}\"`",
                    name.as_ref()
                );
                return Err(self.file.contradiction(name.span(), message));
            }
            let (place, message) = match (&section.port, &section.address, &section.listen) {
                (Some(port), None, _) if section.host.is_none() => (
                    port.span(),
                    "`port` needs a `host`, which has the addresses; without one write `address = \"<host>:<port>\"`",
                ),
                (Some(port), Some(_), _) => {
                    (port.span(), "`address` has the ports of this node: remove `port`")
                }
                (None, None, Some(listen)) => (
                    listen.span(),
                    "`listen` needs an `address` or a `port`, by which other nodes find this one",
                ),
                _ => continue,
            };
            return Err(self.file.contradiction(place, message));
        }
        Ok(())
    }

    /// Returns the nodes of these hosts, which a launcher starts. If `hosts` is empty, returns the
    /// nodes of the host with an address of this machine, or all nodes if the file has no hosts.
    ///
    /// Resolving host names blocks: 16 at the same time, each until the system answers or gives up.
    ///
    /// ```
    /// let topology = mycelium::Topology::parse("app.toml", r#"
    /// [host.exchange]
    /// address = "203.0.113.1"
    /// [host.desk]
    /// address = "127.0.0.1"
    /// [node.feed]
    /// host = "exchange"
    /// [node.strategy]
    /// host = "desk"
    /// "#)?;
    ///
    /// # // Miri isolates programs from the network.
    /// # if !cfg!(miri) {
    /// let here: [&str; 0] = [];
    /// assert_eq!(topology.nodes_of(&here)?, ["strategy"]);
    /// # }
    /// assert_eq!(topology.nodes_of(&["exchange"])?, ["feed"]);
    /// # Ok::<(), mycelium::topology::TopologyError>(())
    /// ```
    ///
    /// # Errors
    /// [`TopologyError`]: the file does not have a host with such a name; or `hosts` is empty, and
    /// this machine has an address of no host of the file, or of two.
    pub fn nodes_of(&self, hosts: &[impl AsRef<str>]) -> Result<Vec<&str>, TopologyError> {
        let known: Vec<&str> = self.hosts().collect();
        let mut named: Vec<&str> = hosts.iter().map(AsRef::as_ref).collect();
        if let Some(unknown) = named.iter().find(|name| !known.contains(name)) {
            return Err(self.file.error_of_file(Problem::unknown("host", unknown, &known, "")));
        }
        if named.is_empty() && !known.is_empty() {
            named = vec![self.this_host()?];
        }
        let is_there =
            |node: &&str| named.is_empty() || self.host(node).is_some_and(|it| named.contains(&it));
        Ok(self.nodes().filter(is_there).collect())
    }

    /// Returns the host of the file that is this machine.
    fn this_host(&self) -> Result<&str, TopologyError> {
        let addresses = self.sections.host.iter().flat_map(|(name, host)| {
            let addresses = host.address.as_ref().0.iter();
            addresses.map(|address| (name.as_ref().as_str(), address.as_str()))
        });
        let found = hosts_of(&addresses.collect::<Vec<_>>(), is_own);
        match found[..] {
            [host] => Ok(host),
            _ => {
                let names: Vec<_> = found.iter().map(|host| format!("`{host}`")).collect();
                let owners = match names.is_empty() {
                    true => "no host of the file".to_owned(),
                    false => format!("the hosts {}", names.join(" and ")),
                };
                let text = format!(
                    "this machine has an address of {owners}: name the host that it is, one of: {}",
                    self.hosts().collect::<Vec<_>>().join(", ")
                );
                Err(self.file.error_of_file(Problem::new(Code::HOST_UNKNOWN, text)))
            }
        }
    }

    /// Returns the hosts of the topology, sorted by name.
    pub(crate) fn hosts(&self) -> impl Iterator<Item = &str> {
        self.sections.host.keys().map(|host| host.as_ref().as_str())
    }

    /// Returns the host of a node, if the file has hosts.
    pub(crate) fn host(&self, node: &str) -> Option<&str> {
        let host = self.sections.node.get(node)?.host.as_ref()?;
        Some(host.as_ref())
    }

    /// Returns the endpoint for nodes of other hosts; `None` if they cannot connect.
    pub(crate) fn tcp(&self, node: &str) -> Option<Endpoint> {
        let section = self.sections.node.get(node)?;
        let addresses = match (&section.address, &section.port) {
            (Some(address), _) => address.as_ref().0.clone(),
            (None, Some(port)) => {
                let host = self.sections.host.get(section.host.as_ref()?.as_ref().as_str())?;
                host.address.as_ref().with_port(*port.as_ref())
            }
            (None, None) => return None,
        };
        let listen = section.listen.as_ref().map(|listen| listen.as_ref().0.clone());
        Some(Endpoint::Tcp { addresses, listen: listen.unwrap_or_default() })
    }

    /// Checks a link over TCP on which `reader` reads from `publisher`.
    ///
    /// # Errors
    /// [`TopologyError`] if the reader cannot know where to connect.
    pub(crate) fn check_tcp(&self, publisher: &str, reader: &str) -> Result<(), TopologyError> {
        if self.tcp(publisher).is_some() {
            return Ok(());
        }
        let section = self.sections.node.get_key_value(publisher);
        let place = section.map_or(0..0, |(name, _)| name.span());
        let key = match self.host(publisher) {
            Some(_) => "`port = 7400`",
            None => "`address = \"<host>:<port>\"`",
        };
        let text = format!(
            "node `{reader}` reads from node `{publisher}` over TCP, but `{publisher}` has no \
             address: add {key}"
        );
        Err(self.file.error(place, Problem::new(Code::NODE_WITHOUT_ADDRESS, text)))
    }

    /// Returns whether `peer` is trusted to be the node of that name in the lists of a topic. Over
    /// plain TCP, a process can claim any name.
    pub(crate) fn believes(&self, node: &str, peer: &str, topic: &str) -> bool {
        let section = self.sections.topic.get(topic);
        // The program adds lists to topics with requests. Only lists from `actors_for` grant
        // access.
        let has_grant = section.is_none_or(|it| !it.carries_requests || it.is_of_actors);
        !has_grant || self.trusts_network(node, peer)
    }

    /// Checks that the lists of a topic have an effect on a link over plain TCP, where a process
    /// can claim any name.
    pub(crate) fn check_trust(
        &self,
        node: &str,
        peer: &str,
        topic: &str,
    ) -> Result<(), TopologyError> {
        let Some((name, section)) = self.sections.topic.get_key_value(topic) else { return Ok(()) };
        let listed = [("readers", &section.readers), ("writers", &section.writers)];
        let listed = listed.into_iter().find_map(|(key, list)| Some((key, list.as_ref()?)));
        if section.is_of_actors && !self.trusts_network(node, peer) {
            let place = self.place_of_asker([node, peer]).map_or(name.span(), Spanned::span);
            let text = unproven("`actors_for` names a node", node, peer);
            return Err(self.file.error(place, Problem::new(Code::ASKER_UNPROVEN, text)));
        }
        let is_believed = self.believes(node, peer, topic);
        let Some((list, names)) = listed.filter(|_| !is_believed) else { return Ok(()) };
        let place = names.first().map_or(name.span(), Spanned::span);
        let text = unproven(&format!("topic `{topic}` has a list of `{list}`"), node, peer);
        Err(self.file.error(place, Problem::new(Code::PEER_UNPROVEN, text)))
    }
}

/// Returns the text that a key has no effect on a link over plain TCP, where a process can claim
/// any name.
fn unproven(key: &str, node: &str, peer: &str) -> String {
    format!(
        "{key}, but the link between `{node}` and `{peer}` is plain TCP: a process that can \
         connect may call itself `{peer}`; if no other process can, write `trust = \"network\"` in \
         `[link.\"{node}-{peer}\"]`"
    )
}

/// Returns the hosts that have an address of this machine. `addresses` are pairs of host and
/// address. Each address is checked on its own thread, because the system may take half a minute to
/// resolve an unknown name.
fn hosts_of<'t>(
    addresses: &[(&'t str, &str)],
    is_own: impl Fn(&str) -> bool + Sync,
) -> Vec<&'t str> {
    let is_own = &is_own;
    let mut found = Vec::new();
    for some in addresses.chunks(LOOKUPS) {
        thread::scope(|scope| {
            let begun = some.iter().map(|&(host, address)| {
                let resolver = thread::Builder::new().name("resolver".to_owned());
                let begun = resolver.spawn_scoped(scope, move || is_own(address));
                // Without another thread the check runs here, and takes longer.
                (host, begun.map_err(|_| is_own(address)))
            });
            for (host, begun) in begun.collect::<Vec<_>>() {
                let ended = begun.map_or_else(Ok, |thread| thread.join());
                if ended.unwrap_or_else(|panic| resume_unwind(panic)) {
                    found.push(host);
                }
            }
        });
    }
    // The entries of one host are adjacent.
    found.dedup();
    found
}

/// Returns whether this machine has this address. The system allows a process to bind only
/// addresses of its machine.
fn is_own(address: &str) -> bool {
    let addresses = (address, 0).to_socket_addrs();
    addresses.is_ok_and(|mut all| all.any(|address| UdpSocket::bind(address).is_ok()))
}

#[cfg(test)]
mod tests;
