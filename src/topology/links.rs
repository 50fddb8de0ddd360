//! The links between nodes: which section configures which link, and the users that own names of
//! nodes.

use std::ops::Range;

use mycelium_core::Code;
use mycelium_transports::link::{LinkConfig, MemoryUse};

use super::Topology;
use super::error::{Problem, TopologyError};
use crate::observe::report::Carrier;
use crate::topology::keys::link::LinkSection;

/// The name of the section with the settings for all links.
const DEFAULT: &str = "default";

impl Topology {
    /// Checks that each pair of nodes has at most one section, and that each section names an
    /// existing pair.
    pub(super) fn check_links(&self) -> Result<(), TopologyError> {
        let nodes: Vec<&String> = self.sections.node.keys().map(AsRef::as_ref).collect();
        let pairs = || nodes.iter().flat_map(|a| nodes.iter().map(move |b| (a, b)));
        for name in self.sections.link.keys() {
            if name.as_ref() == DEFAULT {
                continue;
            }
            let named = pairs().filter(|(a, b)| a != b && format!("{a}-{b}") == **name.as_ref());
            let named: Vec<_> = named.collect();
            if named.len() > 1 {
                let pairs: Vec<_> = named.iter().map(|(a, b)| format!("`{a}` and `{b}`")).collect();
                let text = format!(
                    "link `{}` may join {}; give one of these nodes another name",
                    name.as_ref(),
                    pairs.join(", or ")
                );
                return Err(self.file.error(name.span(), Problem::new(Code::LINK_AMBIGUOUS, text)));
            }
            let Some((a, b)) = named.first() else {
                let known = pairs().filter(|(a, b)| a < b).map(|(a, b)| format!("{a}-{b}"));
                let known: Vec<String> = known.chain([DEFAULT.to_owned()]).collect();
                return Err(self.unknown("link", name, &known, ""));
            };
            let first = format!("{b}-{a}");
            if a > b && self.sections.link.contains_key(first.as_str()) {
                let text = format!(
                    "link `{}` is the same as `{first}`, which also has a section: merge the two",
                    name.as_ref()
                );
                return Err(self.file.error(name.span(), Problem::new(Code::NAMED_TWICE, text)));
            }
            self.check_link(a, b)?;
        }
        // The default is for links without a section, and for peers that have not sent their name.
        self.check_link(DEFAULT, DEFAULT)
    }

    /// Checks the settings of the link between two nodes.
    fn check_link(&self, node: &str, other: &str) -> Result<(), TopologyError> {
        let Err(error) = self.link(node, other).check() else { return Ok(()) };
        let sections = self.sections_of_link(node, other);
        let place = sections.filter_map(|section| section.place_of(&error)).last();
        Err(self.file.error(place.unwrap_or(0..0), Problem::syntax(error.to_string())))
    }

    /// Returns the configuration of the link between two nodes.
    #[must_use]
    pub fn link(&self, node: &str, other: &str) -> LinkConfig {
        let mut config = LinkConfig::default();
        self.sections_of_link(node, other).for_each(|section| section.apply(&mut config));
        if self.is_link_of_recorder(node, other) {
            config.memory = MemoryUse::Never;
        }
        config
    }

    /// Returns whether one of two nodes has the service `Recorder`, which reads over sockets.
    pub(crate) fn is_link_of_recorder(&self, node: &str, other: &str) -> bool {
        self.recorder().is_some_and(|(recorder, _)| [node, other].contains(&recorder))
    }

    /// Returns the carrier of the link between two nodes, if the file sets it.
    pub(crate) fn transport(&self, node: &str, other: &str) -> Option<Carrier> {
        self.sections_of_link(node, other).filter_map(LinkSection::transport).last()
    }

    /// Returns whether the link between two nodes uses TCP, plain or with TLS: because the file
    /// sets it, or because they run on different hosts.
    pub(crate) fn is_over_tcp(&self, node: &str, other: &str) -> bool {
        let is_near = self.host(node) == self.host(other);
        let over_tcp = |carrier| matches!(carrier, Carrier::Tcp | Carrier::Tls);
        self.transport(node, other).map_or(!is_near, over_tcp)
    }

    /// Returns whether the name that a peer sends over plain TCP is trusted.
    pub(super) fn trusts_network(&self, node: &str, other: &str) -> bool {
        let trusts = self.sections_of_link(node, other).filter_map(LinkSection::trusts_network);
        trusts.last().unwrap_or_default()
    }

    pub(super) fn span_of_transport(&self, node: &str, other: &str) -> Option<Range<usize>> {
        self.sections_of_link(node, other).filter_map(LinkSection::place_of_transport).last()
    }

    /// Returns the sections of the link between two nodes. Later ones take precedence.
    pub(super) fn sections_of_link(
        &self,
        node: &str,
        other: &str,
    ) -> impl Iterator<Item = &LinkSection> {
        let names = [DEFAULT.to_owned(), format!("{node}-{other}"), format!("{other}-{node}")];
        names.into_iter().filter_map(|name| self.sections.link.get(name.as_str()))
    }

    /// Returns the configuration of links with nodes that the topology does not know.
    pub(crate) fn default_link(&self) -> LinkConfig {
        let mut config = LinkConfig::default();
        if let Some(section) = self.sections.link.get(DEFAULT) {
            section.apply(&mut config);
        }
        config
    }

    /// Returns the nodes whose names belong to a user, each with the user.
    pub fn owners(&self) -> impl Iterator<Item = (&str, u32)> {
        let sections = self.sections.node.iter();
        sections.filter_map(|(node, section)| Some((node.as_ref().as_str(), section.owner?)))
    }
}
