//! The nodes that may ask the actors of others: the key `actors_for` of a node.

use serde_spanned::Spanned;

use crate::topology::Topology;
use crate::topology::error::TopologyError;

impl Topology {
    /// Checks that each list `actors_for` names other nodes, each of them once. The node with the
    /// list and the named nodes need lists of services, because the program adds services to all of
    /// them.
    pub(crate) fn check_actors(&self) -> Result<(), TopologyError> {
        let nodes = &self.sections.node;
        let known: Vec<&str> = nodes.keys().map(|name| name.as_ref().as_str()).collect();
        for (node, section) in nodes {
            let askers = section.actors_for.as_deref().unwrap_or_default();
            for (place, asker) in askers.iter().enumerate() {
                let error = |message: String| Err(self.file.contradiction(asker.span(), message));
                self.check_name("node", asker, &known)?;
                let name = asker.as_ref();
                if name == node.as_ref() {
                    return error(format!(
                        "node `{name}` lists itself: expected other nodes, as the actors of a node are \
                         always its own"
                    ));
                }
                if askers[..place].iter().any(|other| other.as_ref() == name) {
                    return error(format!(
                        "node `{name}` is listed twice: expected each node once"
                    ));
                }
                let lists = |node: &String| nodes.get(node.as_str())?.services.as_ref();
                let mut both = [node.as_ref(), name].into_iter();
                if let Some(all) = both.find(|node| lists(node).is_none()) {
                    return error(format!(
                        "`actors_for` needs a list of the services of `{all}`: expected \
                         `services = [..]` in its section, perhaps an empty one"
                    ));
                }
            }
        }
        Ok(())
    }

    /// Returns each node whose actors other nodes may ask, with the names of these other nodes.
    pub(crate) fn actor_askers(&self) -> impl Iterator<Item = (&str, Vec<&str>)> {
        self.sections.node.iter().filter_map(|(node, section)| {
            let askers = section.actors_for.as_ref()?;
            let askers = askers.iter().map(|asker| asker.as_ref().as_str()).collect();
            Some((node.as_ref().as_str(), askers))
        })
    }

    /// Returns the place where the file allows one of two nodes to ask the actors of the other, if
    /// it does.
    pub(crate) fn place_of_asker(&self, nodes: [&str; 2]) -> Option<&Spanned<String>> {
        let [one, other] = nodes;
        [(one, other), (other, one)].into_iter().find_map(|(node, asker)| {
            let askers = self.sections.node.get(node)?.actors_for.as_ref()?;
            askers.iter().find(|listed| listed.as_ref() == asker)
        })
    }
}
