//! Decides which parts of a topology file concern a node. They are the node's *view*: when it
//! changes, the node is restarted.
//!
//! If it is unknown what a node publishes and reads, its view has more parts than necessary, never
//! fewer.

use std::collections::{BTreeMap, BTreeSet};

use mycelium::Topology;
use mycelium::topology::TopologyPart;

use super::flows::Flows;

/// The keys of a node that its peers use, too.
const KEYS_FOR_PEERS: [&str; 10] = [
    "actors_for",
    "address",
    "group",
    "host",
    "listen",
    "mode",
    "owner",
    "port",
    "socket",
    "users",
];

/// The view of one node: the values of the parts that concern it, by their titles for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View(BTreeMap<String, Vec<String>>);

impl View {
    /// Creates the view of a node of a topology, with the words of its command.
    pub fn new(topology: &Topology, flows: &Flows, node: &str, command: Vec<String>) -> View {
        let file = File { topology, flows };
        let mut view = View([("its command".to_owned(), command)].into());
        for part in topology.parts().filter(|part| file.concerns(part, node)) {
            let entry = view.0.entry(title(part)).or_default();
            entry.push(format!("{} = {}", part.key, part.value));
        }
        for other in topology.nodes().filter(|other| *other != node) {
            let Some(shared) = flows.between(node, other) else { continue };
            if !shared.is_empty() {
                let title = format!("its topics with `{other}`");
                view.0.insert(title, shared.into_iter().collect());
            }
        }
        view
    }

    /// Returns the differences from an earlier view as a text for people, or `None` if there are
    /// none.
    pub fn differs_from(&self, before: &View) -> Option<String> {
        let titles: BTreeSet<&String> = self.0.keys().chain(before.0.keys()).collect();
        let differs = |title: &&String| self.0.get(*title) != before.0.get(*title);
        let differing: Vec<&str> = titles.into_iter().filter(differs).map(|it| &**it).collect();
        (!differing.is_empty()).then(|| format!("{} changed", differing.join(", ")))
    }
}

fn title(part: &TopologyPart) -> String {
    // TOML allows keys of these characters without quotation marks.
    let is_bare = |char: char| char.is_ascii_alphanumeric() || matches!(char, '-' | '_');
    match &*part.name {
        "" => format!("[{}]", part.section),
        name if name.chars().all(is_bare) => format!("[{}.{name}]", part.section),
        name => format!("[{}.{name:?}]", part.section),
    }
}

struct File<'a> {
    topology: &'a Topology,
    flows: &'a Flows,
}

impl File<'_> {
    fn concerns(&self, part: &TopologyPart, node: &str) -> bool {
        let name = &*part.name;
        match &*part.section {
            "node" if name == node => part.key != "command",
            "node" => match self.flows.are_peers(node, name) {
                Some(are_peers) => are_peers && KEYS_FOR_PEERS.contains(&&*part.key),
                None => part.key == "services" || KEYS_FOR_PEERS.contains(&&*part.key),
            },
            "host" => self.topology.nodes().any(|other| {
                let is_there = self.value("node", other, "host") == Some(format!("{name:?}"));
                is_there && (other == node || self.flows.are_peers(node, other).unwrap_or(true))
            }),
            "service" => match self.runs(node, name) {
                Some(true) => true,
                // A service of another node. Its ports matter if the topics of this node are not
                // known.
                Some(false) => part.key == "ports" && self.flows.of(node).is_none(),
                None => true,
            },
            "supervisor" => self.supervises(name, node, 0),
            "topic" => self.has_topic(node, name).unwrap_or(true),
            "subscription" => {
                let Some((service, topic)) = name.split_once('.') else { return true };
                self.runs(node, service).unwrap_or(true)
                    || self.has_topic(node, topic).unwrap_or(true)
            }
            "link" if name != "default" => self.topology.nodes().any(|other| {
                name == format!("{node}-{other}") || name == format!("{other}-{node}")
            }),
            // Leaves out the section here, because the view has the whole command of the node.
            "bundle" => false,
            _ => true,
        }
    }

    /// Returns whether a node publishes or reads a topic, if that is known.
    fn has_topic(&self, node: &str, topic: &str) -> Option<bool> {
        let own = self.flows.of(node)?;
        Some(own.publishes.contains(topic) || own.reads.contains(topic))
    }

    /// Returns whether a node runs a service, if the file says that.
    fn runs(&self, node: &str, service: &str) -> Option<bool> {
        let services = self.value("node", node, "services")?;
        Some(lists(&services, service))
    }

    /// Returns whether a supervisor has a service of the node below it.
    fn supervises(&self, supervisor: &str, node: &str, depth: usize) -> bool {
        let Some(children) = self.value("supervisor", supervisor, "children") else { return true };
        let Some(services) = self.value("node", node, "services") else { return true };
        let is_supervisor = |name: &str| {
            self.topology.parts().any(|part| part.section == "supervisor" && part.name == name)
        };
        // Limits the depth, because supervisors may form a cycle in a file that the nodes refuse.
        texts(&children).any(|child| {
            lists(&services, child)
                || depth < 16 && is_supervisor(child) && self.supervises(child, node, depth + 1)
        })
    }

    fn value(&self, section: &str, name: &str, key: &str) -> Option<String> {
        let mut parts = self.topology.parts();
        let found =
            parts.find(|part| part.section == section && part.name == name && part.key == key);
        Some(found?.value.clone())
    }
}

/// Returns whether a list of texts contains this text. `value` is the list as a [`TopologyPart`]
/// has it: `["a", "b"]`.
fn lists(value: &str, text: &str) -> bool {
    texts(value).any(|found| found == text)
}

/// Returns the texts of a list such as `["a", "b"]`. Names have no quotation marks in them.
fn texts(value: &str) -> impl Iterator<Item = &str> {
    value.split('"').skip(1).step_by(2)
}

#[cfg(test)]
mod tests {
    use super::super::flows::Topics;
    use super::*;

    const FILE: &str = "
        [node.feed]\nservices = [\"Feed\"]\nmemory = \"1 MiB\"\n
        [node.store]\nservices = [\"Store\"]\n
        [node.view]\nservices = [\"View\"]\n
        [topic.ticks]\ncapacity = 64\n
        [link.\"feed-store\"]\npreset = \"balanced\"\n";

    fn views(text: &str, flows: &Flows) -> [View; 3] {
        let topology = Topology::parse("app.toml", text).unwrap();
        ["feed", "store", "view"].map(|node| View::new(&topology, flows, node, Vec::new()))
    }

    /// Returns whether a change of the file restarts each of the nodes feed, store and view.
    fn restarted(flows: &Flows, from: &str, to: &str) -> [bool; 3] {
        let (before, after) = (views(FILE, flows), views(&FILE.replace(from, to), flows));
        std::array::from_fn(|node| after[node].differs_from(&before[node]).is_some())
    }

    #[test]
    fn a_change_concerns_the_nodes_that_have_the_topic() {
        let mut flows = Flows::default();
        let ticks = || ["ticks".to_owned()].into();
        flows.add("feed", Topics { publishes: ticks(), ..Topics::default() });
        flows.add("store", Topics { reads: ticks(), ..Topics::default() });
        flows.add("view", Topics::default());
        let unknown = Flows::default();
        let changes = [
            ("64", "128", [true, true, false], [true, true, true]),
            ("1 MiB", "2 MiB", [true, false, false], [true, false, false]),
            ("balanced", "high-throughput", [true, true, false], [true, true, false]),
            ("[node.view]", "[node.view]\nsocket = \"/v.sock\"", [false, false, true], [true; 3]),
            ("[node.view]", "[node.view] # a comment", [false; 3], [false; 3]),
        ];
        for (from, to, described, undescribed) in changes {
            assert_eq!(restarted(&flows, from, to), described, "{to}");
            assert_eq!(restarted(&unknown, from, to), undescribed, "{to}");
        }
    }
}
