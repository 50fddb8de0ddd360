//! The links between nodes: which section configures which link, and the users that own names of
//! nodes.

use mycelium_transports::exchange::LinkConfig;

use super::Topology;
use super::error::{Problem, TopologyError};

/// The section that stands for all links.
const DEFAULT: &str = "default";

impl Topology {
    /// Each pair of nodes has one section at most, and each section names one existing pair.
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
                let meanings = named.iter().map(|(a, b)| [a.to_string(), b.to_string()]);
                let link = name.as_ref().clone();
                let problem = Problem::Ambiguous { link, meanings: meanings.collect() };
                return Err(self.file.error(name.span(), problem));
            }
            let Some((a, b)) = named.first() else {
                let known = pairs().filter(|(a, b)| a < b).map(|(a, b)| format!("{a}-{b}"));
                let known = known.chain([DEFAULT.to_owned()]).collect();
                return Err(self.unknown("link", name, known, String::new()));
            };
            let first = format!("{b}-{a}");
            if a > b && self.sections.link.contains_key(first.as_str()) {
                let problem = Problem::Twice { kind: "link", name: name.as_ref().clone(), first };
                return Err(self.file.error(name.span(), problem));
            }
        }
        Ok(())
    }

    /// How the link between two nodes is.
    pub(crate) fn link(&self, node: &str, other: &str) -> LinkConfig {
        let mut config = LinkConfig::default();
        for name in [DEFAULT.to_owned(), format!("{node}-{other}"), format!("{other}-{node}")] {
            if let Some(section) = self.sections.link.get(name.as_str()) {
                section.apply(&mut config);
            }
        }
        config
    }

    /// How links with nodes are that the topology does not know.
    pub(crate) fn default_link(&self) -> LinkConfig {
        let mut config = LinkConfig::default();
        if let Some(section) = self.sections.link.get(DEFAULT) {
            section.apply(&mut config);
        }
        config
    }

    /// The nodes whose names are bound to a user, with the user.
    pub(crate) fn owners(&self) -> impl Iterator<Item = (&str, u32)> {
        let sections = self.sections.node.iter();
        sections.filter_map(|(node, section)| Some((node.as_ref().as_str(), section.owner?)))
    }
}
