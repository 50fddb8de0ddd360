//! The *carriers* of a node's links: shared memory or a kind of socket, as far as the topology and
//! the system decide it before any link runs. A link planned for shared memory may still stay on
//! its socket later, which the link then reports by a notice.

use std::collections::BTreeSet;

use mycelium_core::Code;

use super::peer_topics::PeerTopics;
use super::settings::AllTopicSettings;
use crate::error::BuildError;
use crate::observe::report::{Carrier, LinkReport};
use crate::topology::{Problem, Setting, Topology};

/// The carriers of a node's links, by the name of the other node.
#[derive(Debug, Default)]
pub(crate) struct Carriers {
    links: Vec<LinkReport>,
    /// Whether nodes that connect over TCP must use TLS.
    #[cfg_attr(not(feature = "tls"), allow(dead_code, reason = "it is false"))]
    requires_tls: bool,
}

impl Carriers {
    /// Decides the carriers of the links of `node`. `obstacle` is the reason why this system has no
    /// shared memory; `None` if it has.
    pub(super) fn new(
        node: &str,
        topology: &Topology,
        topics: &AllTopicSettings,
        peer_topics: &PeerTopics,
        obstacle: Option<&str>,
    ) -> Result<Carriers, BuildError> {
        let peers: BTreeSet<&String> =
            peer_topics.publishers.keys().chain(peer_topics.readers.keys()).collect();
        let links = peers.into_iter().map(|peer| {
            let asked = topology.transport(node, peer);
            let is_recorders = topology.is_link_of_recorder(node, peer);
            let asked = asked.filter(|it| !(is_recorders && *it == Carrier::SharedMemory));
            let of_recorder = is_recorders.then_some("the recorder reads over sockets");
            let obstacle = of_recorder.or(obstacle).map(str::to_owned);
            let (used, reason) = match (asked, topology.is_over_tcp(node, peer)) {
                // No key gives an engine to a link.
                (None | Some(Carrier::Zenoh | Carrier::Nats | Carrier::JetStream), true) => {
                    (topology.far_carrier(), Some(distance(topology, node, peer)))
                }
                (Some(carrier @ (Carrier::Tcp | Carrier::Tls)), _) => {
                    (carrier, Some(place_of_transport(topology, node, peer)))
                }
                (Some(_), _) if topology.host(node) != topology.host(peer) => {
                    let [own, other] = [node, peer].map(|node| host(topology, node));
                    let text = format!(
                        "nodes `{node}` and `{peer}` run on hosts `{own}` and `{other}`, which have \
                         no memory and no Unix socket in common: write `transport = \"tcp\"`, or \
                         leave the key out"
                    );
                    return Err(wrong_link(topology, [node, peer], Code::HOSTS_APART, text));
                }
                (Some(Carrier::UnixSocket), _) => {
                    (Carrier::UnixSocket, Some(place_of_transport(topology, node, peer)))
                }
                (Some(Carrier::SharedMemory), _) => match obstacle {
                    None => (Carrier::SharedMemory, None),
                    Some(reason) => {
                        let text = format!(
                            "the link between `{node}` and `{peer}` cannot go through shared \
                             memory: {reason}; write `transport = \"unix\"`, or leave the key out: \
                             the link then uses shared memory where that is possible"
                        );
                        let code = Code::LINK_WITHOUT_MEMORY;
                        return Err(wrong_link(topology, [node, peer], code, text));
                    }
                },
                (None | Some(Carrier::Zenoh | Carrier::Nats | Carrier::JetStream), false) => match obstacle {
                    None => (Carrier::SharedMemory, None),
                    reason => (Carrier::UnixSocket, reason),
                },
            };
            if let Carrier::Tcp | Carrier::Tls = used {
                check_tcp(topology, peer_topics, [node, peer], used)?;
            }
            let in_memory = used == Carrier::SharedMemory;
            let set: BTreeSet<&str> = peer_topics.shared_with(peer).collect();
            let set =
                set.into_iter().filter(|topic| in_memory && topics.of(topic).stays_on_socket());
            let set_on_socket: Vec<_> = set.map(str::to_owned).collect();
            let dropped = peer_topics.on_socket(peer).filter(|_| in_memory).map(str::to_owned);
            let on_socket = dropped.filter(|topic| !set_on_socket.contains(topic)).collect();
            let peer = peer.clone();
            let link = LinkReport { peer, asked, used, reason, on_socket, set_on_socket };
            check_topics(topology, topics, peer_topics, node, &link)?;
            Ok(link)
        });
        let links = links.collect::<Result<Vec<_>, BuildError>>()?;
        let reader_over = |carrier| {
            let links = links.iter().filter(|link| link.used == carrier);
            let mut peers = links.map(|link| &*link.peer);
            peers.find(|peer| peer_topics.readers.contains_key(*peer))
        };
        // All nodes that connect over TCP use the same socket, including nodes that the file does
        // not have: so either all of them use TLS, or none does.
        let requires_tls = match (reader_over(Carrier::Tls), reader_over(Carrier::Tcp)) {
            (Some(tls), Some(plain)) => {
                let text = format!(
                    "node `{node}` would be read over TLS by `{tls}`, and over plain TCP by \
                     `{plain}`: a node has TLS at all of its addresses, or at none; write the same \
                     `transport` for both links"
                );
                return Err(wrong_link(topology, [node, plain], Code::CONTRADICTION, text));
            }
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (None, None) => topology.far_carrier() == Carrier::Tls,
        };
        Ok(Carriers { links, requires_tls })
    }

    /// Returns whether the link with this node uses shared memory.
    pub(crate) fn in_memory(&self, peer: &str) -> bool {
        self.links.iter().any(|link| link.peer == peer && link.used == Carrier::SharedMemory)
    }

    /// Returns whether the link with this node uses TCP, plain or with TLS.
    pub(crate) fn over_tcp(&self, peer: &str) -> bool {
        let over_tcp = |used| matches!(used, Carrier::Tcp | Carrier::Tls);
        self.links.iter().any(|link| link.peer == peer && over_tcp(link.used))
    }

    /// Returns whether the link with this node uses TLS.
    #[cfg(feature = "tls")]
    pub(crate) fn over_tls(&self, peer: &str) -> bool {
        self.links.iter().any(|link| link.peer == peer && link.used == Carrier::Tls)
    }

    /// Returns whether this node connects to another one over TLS.
    #[cfg(feature = "tls")]
    pub(crate) fn use_tls(&self) -> bool {
        self.links.iter().any(|link| link.used == Carrier::Tls)
    }

    /// Returns whether nodes that connect to this one over TCP must use TLS.
    #[cfg(feature = "tls")]
    pub(crate) fn requires_tls(&self) -> bool {
        self.requires_tls
    }

    /// Returns whether any link uses shared memory.
    pub(crate) fn use_memory(&self) -> bool {
        self.links.iter().any(|link| link.used == Carrier::SharedMemory)
    }

    pub(crate) fn links(&self) -> &[LinkReport] {
        &self.links
    }
}

/// Checks that each topic of a link can use the carrier that its section requests.
fn check_topics(
    topology: &Topology,
    topics: &AllTopicSettings,
    peer_topics: &PeerTopics,
    node: &str,
    link: &LinkReport,
) -> Result<(), BuildError> {
    let dropped: Vec<&str> = peer_topics.on_socket(&link.peer).collect();
    for topic in peer_topics.shared_with(&link.peer) {
        let Some(asked) = topics.of(topic).transport else { continue };
        let why = link.reason.iter().map(|reason| format!(": {reason}")).collect::<String>();
        let reason = match (asked, link.used) {
            (Carrier::SharedMemory, Carrier::SharedMemory) if dropped.contains(&topic) => {
                "its messages stay on the socket, for a `drop-newest` subscription".to_owned()
            }
            (asked, used) if asked == used => continue,
            (Carrier::UnixSocket, Carrier::SharedMemory) => continue,
            (Carrier::SharedMemory, Carrier::UnixSocket) => {
                format!("the link goes over its Unix socket{why}")
            }
            (Carrier::Tcp | Carrier::Tls, Carrier::SharedMemory | Carrier::UnixSocket) => format!(
                "the link does not go over {asked}: set that in `[link.\"{node}-{}\"]`, for all of \
                 its topics",
                link.peer
            ),
            (_, used) => format!("the link goes over {used}{why}"),
        };
        let text = format!(
            "topic `{topic}` has `transport = \"{}\"`, but between `{node}` and `{}` {reason}",
            asked.key(),
            link.peer
        );
        let problem = Problem::new(Code::TOPIC_TRANSPORT, text);
        return Err(topology.error_at(Setting::Transport(topic), problem).into());
    }
    Ok(())
}

/// Returns the error of a link that cannot use the `transport` that the file sets.
fn wrong_link(
    topology: &Topology,
    [node, peer]: [&str; 2],
    code: Code,
    text: String,
) -> BuildError {
    topology.error_at(Setting::LinkTransport(node, peer), Problem::new(code, text)).into()
}

/// Returns why a link does not use shared memory: the file sets another carrier, at this place.
fn place_of_transport(topology: &Topology, node: &str, peer: &str) -> String {
    let place = topology.place_of(Setting::LinkTransport(node, peer)).unwrap_or_default();
    let carrier = topology.transport(node, peer).unwrap_or(Carrier::UnixSocket);
    format!("`transport = \"{}\"` ({place})", carrier.key())
}

/// Returns why a link uses TCP although the file sets no transport: its nodes run on different
/// hosts.
fn distance(topology: &Topology, node: &str, peer: &str) -> String {
    let [host, other] = [node, peer].map(|node| host(topology, node));
    format!("the nodes run on hosts `{host}` and `{other}`")
}

fn host<'t>(topology: &'t Topology, node: &str) -> &'t str {
    topology.host(node).unwrap_or_default()
}

/// Checks a link over TCP: readers must know the address, and lists of names must have an effect.
fn check_tcp(
    topology: &Topology,
    peer_topics: &PeerTopics,
    [node, peer]: [&str; 2],
    carrier: Carrier,
) -> Result<(), BuildError> {
    let (publishers, readers) = (peer_topics.publishers.get(peer), peer_topics.readers.get(peer));
    if publishers.is_some() {
        topology.check_tcp(peer, node)?;
    }
    if readers.is_some() {
        topology.check_tcp(node, peer)?;
    }
    if carrier == Carrier::Tls {
        return Ok(topology.check_certified([node, peer])?);
    }
    let topics = publishers.into_iter().chain(readers).flatten();
    for (topic, _) in topics {
        topology.check_trust(node, peer, topic)?;
    }
    Ok(())
}

#[cfg(all(test, feature = "topology"))]
mod tests {
    use mycelium_transports::local::Policy;

    use super::super::settings::CodedTopics;
    use super::*;

    const FILE: &str = "[node.a]\n[node.b]\n[node.c]\n";

    /// Returns the links of `a`, which reads from `b` and is read by `c`.
    fn links(keys: &str, obstacle: Option<&str>) -> Result<Vec<String>, String> {
        let topology = Topology::parse("t.toml", &format!("{FILE}{keys}")).unwrap();
        let topics = || vec![("ticks".into(), Policy::Block)];
        let peer_topics = PeerTopics {
            publishers: [("b".to_owned(), topics())].into(),
            readers: [("c".to_owned(), topics())].into(),
            ..PeerTopics::default()
        };
        let settings = AllTopicSettings::new("a", &topology, ["ticks"], &CodedTopics::default());
        let carriers = Carriers::new("a", &topology, &settings, &peer_topics, obstacle);
        let carriers = carriers.map_err(|error| error.to_string())?;
        for link in carriers.links() {
            let in_memory = link.used == Carrier::SharedMemory;
            assert_eq!(carriers.in_memory(&link.peer), in_memory);
            assert_eq!(link.reason.is_none(), in_memory);
        }
        assert!(!carriers.in_memory("d"));
        Ok(carriers.links().iter().map(ToString::to_string).collect())
    }

    #[test]
    fn without_memory_links_go_over_sockets_and_say_why() {
        let reason = Some("no memory here");
        let b = "link with node `b`: Unix socket: no memory here";
        let c = "link with node `c`: Unix socket: no memory here";
        assert_eq!(links("", reason).unwrap(), [b, c]);
        // If the file sets the transport, that is the reported reason.
        let b = "link with node `b`: Unix socket: `transport = \"unix\"` (t.toml:5:13)";
        assert_eq!(links("[link.\"a-b\"]\ntransport = \"unix\"\n", reason).unwrap(), [b, c]);
    }

    #[test]
    fn a_recorder_reads_over_sockets() {
        let keys = "services = [\"Recorder\"]\n[recorder]\ntopics = [\"ticks\"]\n\
                    [link.default]\ntransport = \"shm\"\n";
        let [b, c] = links(keys, None).unwrap().try_into().unwrap();
        assert!(b.starts_with("link with node `b`: shared memory"), "{b}");
        assert_eq!(c, "link with node `c`: Unix socket: the recorder reads over sockets");
    }

    #[test]
    fn a_link_that_needs_memory_is_refused_with_its_place() {
        for (section, peer) in [("default", "b"), ("a-b", "b"), ("c-a", "c")] {
            let keys =
                format!("[link.\"{section}\"]\npreset = \"balanced\"\ntransport = \"shm\"\n");
            let expected = format!(
                "t.toml:6:13: the link between `a` and `{peer}` cannot go through shared memory: \
                 no memory here; write `transport = \"unix\"`, or leave the key out: the link then \
                 uses shared memory where that is possible [M0115]"
            );
            assert_eq!(links(&keys, Some("no memory here")).unwrap_err(), expected);
        }
    }
}
