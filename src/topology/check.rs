//! Checks of names: within a topology, and against the program.

use std::collections::{BTreeMap, BTreeSet};

use mycelium_bundle::protocol::is_name;
use serde_spanned::Spanned;

use super::Topology;
use super::error::{Problem, TopologyError};
use crate::topology::keys::sections::NodeSection;

impl Topology {
    /// Checks the names of nodes. Sockets have these names in their paths, and links and counters
    /// in their own names; frames and launchers have no room for longer ones.
    pub(super) fn check_node_names(&self) -> Result<(), TopologyError> {
        let is_plain = |letter: char| letter.is_alphanumeric() || "-_.".contains(letter);
        let is_valid =
            |name: &str| is_name(name) && name.chars().all(is_plain) && !name.contains("..");
        let invalid = self.sections.node.keys().find(|name| !is_valid(name.as_ref()));
        let Some(invalid) = invalid else { return Ok(()) };
        let problem = Problem::NodeName { name: invalid.as_ref().clone() };
        Err(self.file.error(invalid.span(), problem))
    }

    /// Checks that no service is placed twice.
    pub(super) fn check_owners(&self) -> Result<(), TopologyError> {
        let mut places = BTreeMap::new();
        for (node, section) in &self.sections.node {
            for service in section.services.iter().flatten() {
                if let Some(first) = places.insert(service.as_ref(), node.as_ref()) {
                    let first = format!("node `{first}`");
                    let service_name = service.as_ref().clone();
                    let problem = Problem::Duplicate { service: service_name, first };
                    return Err(self.file.error(service.span(), problem));
                }
            }
        }
        Ok(())
    }

    /// Returns the services of `node` in their order, if the topology places services. Checks that
    /// all services in the list exist.
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

    /// The nodes of the topology, in the order of their names.
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

    /// Returns the nodes that may read a topic, if it has a list.
    pub(crate) fn readers(&self, topic: &str) -> Option<Vec<String>> {
        let readers = self.sections.topic.get(topic)?.readers.as_ref()?;
        Some(readers.iter().map(|node| node.as_ref().clone()).collect())
    }

    /// Checks that a node may read or write a topic, if the topic has a list.
    pub(crate) fn check_access(
        &self,
        node: &str,
        does: &'static str,
        topic: &str,
    ) -> Result<(), TopologyError> {
        let Some((name, section)) = self.sections.topic.get_key_value(topic) else { return Ok(()) };
        let list = if does == "reads" { &section.readers } else { &section.writers };
        let Some(list) = list else { return Ok(()) };
        if list.iter().any(|listed| listed.as_ref() == node) {
            return Ok(());
        }
        let place = list.first().map_or(name.span(), Spanned::span);
        let (node, topic) = (node.to_owned(), topic.to_owned());
        Err(self.file.error(place, Problem::Forbidden { node, does, topic }))
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
        unknown.try_for_each(|topic| self.check_name("topic", topic, known))
    }

    /// Checks that the section of a service binds only ports that the service declares: `known`.
    pub(crate) fn check_ports(&self, service: &str, known: &[&str]) -> Result<(), TopologyError> {
        let Some(section) = self.sections.service.get(service) else { return Ok(()) };
        section.ports.keys().try_for_each(|port| self.check_name("port", port, known))
    }

    /// Checks that subscriptions are known: by service, key, and whether the key is a named port.
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
        Err(self.unknown("subscription", unknown, names().collect(), hint.to_owned()))
    }

    /// The section of a node. A topology without nodes needs none.
    fn section_of(&self, node: &str) -> Result<Option<&NodeSection>, TopologyError> {
        let nodes = &self.sections.node;
        match nodes.get(node) {
            Some(section) => Ok(Some(section)),
            None if nodes.is_empty() => Ok(None),
            None => {
                let known = nodes.keys().map(|name| name.as_ref().clone()).collect();
                let problem = Problem::NoNode { node: node.to_owned(), known };
                Err(self.file.error_of_file(problem))
            }
        }
    }

    pub(super) fn check_name(
        &self,
        kind: &'static str,
        name: &Spanned<String>,
        known: &[&str],
    ) -> Result<(), TopologyError> {
        if known.contains(&name.as_ref().as_str()) {
            return Ok(());
        }
        let known = known.iter().map(|&name| name.to_owned()).collect();
        Err(self.unknown(kind, name, known, String::new()))
    }

    pub(super) fn unknown(
        &self,
        kind: &'static str,
        name: &Spanned<String>,
        known: Vec<String>,
        hint: String,
    ) -> TopologyError {
        let problem = Problem::Unknown { kind, name: name.as_ref().clone(), known, hint };
        self.file.error(name.span(), problem)
    }
}
