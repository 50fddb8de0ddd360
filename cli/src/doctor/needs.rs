//! The needs of the nodes of a topology, which the machine has to meet.

use std::collections::BTreeSet;

use mycelium::Topology;
use mycelium::topology::TopologyPart;

use super::machine::cores_of;
use crate::shared::size::bytes;

/// The needs of the nodes of a topology.
#[derive(Debug, Default)]
pub(super) struct Needs {
    /// Services that are pinned, each with its cores.
    pub(super) pinned: Vec<(String, BTreeSet<usize>)>,
    /// Services with a real-time class, each with its priority.
    pub(super) fifo: Vec<(String, u64)>,
    /// Whether a node or a service names an executor of glommio.
    pub(super) glommio: bool,
    /// The first node with rings in huge pages.
    pub(super) huge_pages: Option<String>,
    /// The sum of the memory limits of all nodes, in bytes.
    pub(super) memory: u64,
    /// The number of nodes.
    nodes: usize,
}

/// The memory limit of a node that sets none, in bytes.
const MEMORY: u64 = 256 << 20;

impl Needs {
    /// Returns the needs of a topology.
    pub(super) fn of(topology: &Topology) -> Needs {
        let mut needs = Needs { nodes: topology.nodes().count(), ..Needs::default() };
        let mut with_memory = 0;
        for TopologyPart { section, name, key, value, .. } in topology.parts() {
            let (name, text) = (name.clone(), value.trim_matches('"'));
            match (&**section, &**key) {
                ("service", "run") => {
                    let cores = inside(text, "pinned").and_then(cores_of);
                    needs.pinned.extend(cores.map(|cores| (name, cores)));
                }
                ("service", "class") => {
                    let priority = inside(text, "fifo").and_then(|it| it.parse().ok());
                    needs.fifo.extend(priority.map(|priority| (name, priority)));
                }
                ("node" | "service", "executor") => needs.glommio |= text.starts_with("glommio"),
                ("node", "huge_pages") if text == "true" => {
                    needs.huge_pages.get_or_insert(name);
                }
                ("node", "memory") => {
                    with_memory += 1;
                    needs.memory = needs.memory.saturating_add(bytes(text).unwrap_or(MEMORY));
                }
                _ => {}
            }
        }
        let others = u64::try_from(needs.nodes.saturating_sub(with_memory)).unwrap_or(u64::MAX);
        needs.memory = needs.memory.saturating_add(others.saturating_mul(MEMORY));
        needs
    }

    /// Returns the number of descriptors of a node with links to all others, and some for the
    /// program.
    pub(super) fn descriptors(&self) -> u64 {
        // Counts the sockets and regions of each link, and those of the runtime.
        let links = u64::try_from(self.nodes.saturating_sub(1)).unwrap_or(u64::MAX);
        links.saturating_mul(64).saturating_add(256)
    }
}

/// Returns the text in the parentheses of a word, such as `1, 3` of `pinned(1, 3)`.
fn inside<'t>(text: &'t str, word: &str) -> Option<&'t str> {
    text.strip_prefix(word)?.trim().strip_prefix('(')?.strip_suffix(')').map(str::trim)
}
