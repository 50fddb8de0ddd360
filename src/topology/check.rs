//! Checks of names: within a topology, and against the program.

use std::collections::{BTreeMap, BTreeSet};

use mycelium_bundle::protocol::{LONGEST_NAME, is_name};
use mycelium_core::Code;
use serde_spanned::Spanned;

use super::Topology;
use super::error::{Problem, TopologyError};
use crate::support::names::expected_instead_of;
use crate::topology::keys::sections::NodeSection;

/// The service that the section `recorder` adds.
pub(crate) const RECORDER: &str = "Recorder";

impl Topology {
    /// Checks the names of nodes. They are part of socket paths and of the names of links and
    /// counters; frames and launchers have a limit for their length.
    pub(super) fn check_node_names(&self) -> Result<(), TopologyError> {
        let is_plain = |letter: char| letter.is_alphanumeric() || "-_.".contains(letter);
        let is_valid =
            |name: &str| is_name(name) && name.chars().all(is_plain) && !name.contains("..");
        let invalid = self.sections.node.keys().find(|name| !is_valid(name.as_ref()));
        let Some(invalid) = invalid else { return Ok(()) };
        let text = format!(
            "invalid name of a node `{}`: expected 1 to {LONGEST_NAME} bytes of letters, digits, \
             `-`, `_` and `.`, and no `..`",
            invalid.as_ref().escape_debug()
        );
        Err(self.file.error(invalid.span(), Problem::new(Code::NODE_NAME, text)))
    }

    /// Checks that no service is placed twice.
    pub(super) fn check_owners(&self) -> Result<(), TopologyError> {
        let mut places = BTreeMap::new();
        for (node, section) in &self.sections.node {
            for service in section.services.iter().flatten() {
                if let Some(first) = places.insert(service.as_ref(), node.as_ref()) {
                    let text = format!(
                        "service `{}` is placed twice: first in node `{first}`; expected one place \
                         for each service",
                        service.as_ref()
                    );
                    let problem = Problem::new(Code::PLACED_TWICE, text);
                    return Err(self.file.error(service.span(), problem));
                }
            }
        }
        Ok(())
    }

    /// Checks that a node has the service of the section `recorder`.
    pub(super) fn check_recorder(&self) -> Result<(), TopologyError> {
        let Some(section) = &self.sections.recorder else { return Ok(()) };
        let topics = &section.as_ref().topics;
        let wrong = |place, text: &str| Err(self.file.contradiction(place, text.to_owned()));
        let is_recorder = |service: &Spanned<String>| service.as_ref() == RECORDER;
        let mut lists = self.sections.node.values().filter_map(|node| node.services.as_ref());
        let Some(list) = lists.find(|services| services.iter().any(is_recorder)) else {
            let text = "no node has the service `Recorder`: expected a node of its own, such as \
                        `[node.recorder]` with `services = [\"Recorder\"]`";
            return wrong(section.span(), text);
        };
        if let Some(other) = list.iter().find(|service| !is_recorder(service)) {
            let name = other.as_ref();
            let text = format!(
                "`{name}` is in the node of `Recorder`, which the tool runs: expected another node"
            );
            return wrong(other.span(), &text);
        }
        if topics.is_empty() {
            let text = "expected topics that are recorded: `topics = [\"ticks\"]`";
            return wrong(section.span(), text);
        }
        let mut known = BTreeSet::new();
        for topic in topics {
            let name = &*topic.as_ref().0;
            if !known.insert(name) {
                return wrong(topic.span(), &format!("topic `{name}` is in the list twice"));
            }
        }
        Ok(())
    }

    /// Returns the topics that the service `Recorder` of this topology reads, and the node that has
    /// it. `mycelium record` runs that node.
    #[must_use]
    pub fn recorder(&self) -> Option<(&str, Vec<&str>)> {
        let section = self.sections.recorder.as_ref()?.as_ref();
        let node = self.placements().find(|(_, services)| services.contains(&RECORDER))?.0;
        Some((node, section.topics.iter().map(|topic| topic.as_ref().0.as_str()).collect()))
    }

    /// Returns the services of `node` in order, if the topology places services. Checks that all
    /// services in the list exist.
    pub(crate) fn place(
        &self,
        node: &str,
        known: &[&str],
    ) -> Result<Option<Vec<String>>, TopologyError> {
        let sections = &self.sections;
        let names: BTreeSet<&str> = known.iter().copied().collect();
        let listed = sections.node.values().flat_map(|section| section.services.iter().flatten());
        for service in listed.chain(sections.service.keys()) {
            if !names.contains(service.as_ref().as_str()) {
                self.check_name("service", service, known)?;
            }
        }
        let Some(section) = self.section_of(node)? else { return Ok(None) };
        let services = section.services.as_ref();
        Ok(services.map(|services| services.iter().map(|name| name.as_ref().clone()).collect()))
    }

    /// Returns the nodes of the topology, sorted by name.
    pub fn nodes(&self) -> impl Iterator<Item = &str> {
        self.sections.node.keys().map(|node| node.as_ref().as_str())
    }

    /// Returns the nodes that have a list of services, each with its list.
    pub(crate) fn placements(&self) -> impl Iterator<Item = (&str, Vec<&str>)> {
        self.sections.node.iter().filter_map(|(node, section)| {
            let services = section.services.as_ref()?;
            Some((
                node.as_ref().as_str(),
                services.iter().map(|name| name.as_ref().as_str()).collect(),
            ))
        })
    }

    /// Returns the topics that have a section.
    pub(crate) fn topics(&self) -> impl Iterator<Item = &str> {
        self.sections.topic.keys().map(|topic| topic.as_ref().as_str())
    }

    /// Returns the nodes that may read a topic, if the topic has a list.
    pub(crate) fn readers(&self, topic: &str) -> Option<Vec<String>> {
        let readers = self.sections.topic.get(topic)?.readers.as_ref()?;
        Some(readers.iter().map(|node| node.as_ref().clone()).collect())
    }

    /// Returns whether a topic has a list of the nodes that may write it.
    pub(crate) fn has_writers(&self, topic: &str) -> bool {
        self.sections.topic.get(topic).is_some_and(|section| section.writers.is_some())
    }

    /// Checks that a node may read or write a topic, if the topic has a list.
    pub(crate) fn check_access(
        &self,
        node: &str,
        does: &str,
        topic: &str,
    ) -> Result<(), TopologyError> {
        let Some((name, section)) = self.sections.topic.get_key_value(topic) else { return Ok(()) };
        let (key, list) = match does {
            "reads" => ("readers", &section.readers),
            _ => ("writers", &section.writers),
        };
        let Some(list) = list else { return Ok(()) };
        if list.iter().any(|listed| listed.as_ref() == node) {
            return Ok(());
        }
        let place = list.first().map_or(name.span(), Spanned::span);
        let text = format!(
            "node `{node}` {does} topic `{topic}`, but is not on this list: add `{node}` to `{key}`"
        );
        Err(self.file.error(place, Problem::new(Code::NODE_NOT_LISTED, text)))
    }

    /// Checks that lists of nodes name nodes of the topology.
    pub(crate) fn check_lists(&self) -> Result<(), TopologyError> {
        let known: Vec<&str> =
            self.sections.node.keys().map(|name| name.as_ref().as_str()).collect();
        let sections = self.sections.topic.values();
        let mut names =
            sections.flat_map(|topic| topic.readers.iter().chain(&topic.writers).flatten());
        names.try_for_each(|name| self.check_name("node", name, &known))
    }

    pub(crate) fn check_topics(&self, known: &[&str]) -> Result<(), TopologyError> {
        let names: BTreeSet<&str> = known.iter().copied().collect();
        let mut unknown =
            self.sections.topic.keys().filter(|topic| !names.contains(topic.as_ref().as_str()));
        unknown.try_for_each(|topic| self.check_name("topic", topic, known))?;
        let recorded = self.sections.recorder.iter().flat_map(|section| &section.as_ref().topics);
        recorded.into_iter().try_for_each(|topic| {
            let name = Spanned::new(topic.span(), topic.as_ref().0.clone());
            self.check_name("topic", &name, known)
        })
    }

    /// Checks that the section of a service binds only the ports that the service declares,
    /// `known`.
    pub(crate) fn check_ports(&self, service: &str, known: &[&str]) -> Result<(), TopologyError> {
        let Some(section) = self.sections.service.get(service) else { return Ok(()) };
        section.ports.keys().try_for_each(|port| self.check_name("port", port, known))
    }

    /// Checks that each section `subscription` names a subscription of the program. `known` are
    /// these subscriptions: service, key, and whether the key is the name of a port.
    pub(crate) fn check_subscriptions(
        &self,
        known: &[(&str, &str, bool)],
    ) -> Result<(), TopologyError> {
        let names = || known.iter().map(|(service, key, _)| format!("{service}.{key}"));
        let sorted: BTreeSet<String> = names().collect();
        let mut sections = self.sections.subscription.keys();
        let Some(unknown) = sections.find(|name| !sorted.contains(name.as_ref())) else {
            return Ok(());
        };
        let of_service = |service: &str| {
            unknown.as_ref().strip_prefix(service).is_some_and(|key| key.starts_with('.'))
        };
        let has_port = known.iter().any(|(service, _, is_port)| *is_port && of_service(service));
        let hint = if has_port { "; a subscription by a named port is `Service.port`" } else { "" };
        Err(self.unknown("subscription", unknown, &names().collect::<Vec<_>>(), hint))
    }

    /// Returns the section of a node. A topology without nodes needs none.
    fn section_of(&self, node: &str) -> Result<Option<&NodeSection>, TopologyError> {
        let nodes = &self.sections.node;
        match nodes.get(node) {
            Some(section) => Ok(Some(section)),
            None if nodes.is_empty() => Ok(None),
            None => {
                let known: Vec<&str> = self.nodes().collect();
                let text = format!(
                    "the file has no node `{node}`, which `Node::builder` names: {}",
                    expected_instead_of(node, &known)
                );
                Err(self.file.error_of_file(Problem::new(Code::NODE_MISSING, text)))
            }
        }
    }

    pub(super) fn check_name(
        &self,
        kind: &str,
        name: &Spanned<String>,
        known: &[&str],
    ) -> Result<(), TopologyError> {
        match known.contains(&name.as_ref().as_str()) {
            true => Ok(()),
            false => Err(self.unknown(kind, name, known, "")),
        }
    }

    pub(super) fn unknown(
        &self,
        kind: &str,
        name: &Spanned<String>,
        known: &[impl AsRef<str>],
        hint: &str,
    ) -> TopologyError {
        self.file.error(name.span(), Problem::unknown(kind, name.as_ref(), known, hint))
    }
}
