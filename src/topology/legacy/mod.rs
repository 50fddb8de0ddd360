//! The listeners for clients of the original system: the checked `legacy` sections.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use mycelium_core::legacy::LONGEST_PAYLOAD;
use mycelium_transports::endpoint::{Access, Endpoint, LONGEST_PATH};
use serde_spanned::Spanned;

use super::Topology;
use super::error::TopologyError;
use crate::topology::keys::legacy_config::{LegacyType, ListenerConfig, OnBadFrame, OnSlowClient};
use crate::topology::keys::legacy_section::{LegacySection, TypeEntry};
use crate::topology::keys::values::{Bytes, Text};
use crate::topology::nodes::{access, contradiction_of_mode};

const CONNECTIONS: u32 = 64;
const TIMEOUT: Duration = Duration::from_secs(10);
const PAYLOAD: usize = 64 << 10;
const QUEUE: usize = 1 << 20;

impl Topology {
    /// Checks the listeners for clients of the original system.
    pub(super) fn check_legacy(&self) -> Result<(), TopologyError> {
        let contradiction =
            |place: Range<usize>, text: String| Err(self.file.contradiction(place, text));
        let nodes: Vec<&str> = self.nodes().collect();
        for (name, section) in &self.sections.legacy {
            let is_plain = |letter: char| letter.is_alphanumeric() || "-_.".contains(letter);
            if name.as_ref().is_empty() || !name.as_ref().chars().all(is_plain) {
                let found = name.as_ref().escape_debug();
                return contradiction(
                    name.span(),
                    format!(
                        "invalid name of a listener `{found}`: expected letters, digits, `-`, `_` and `.`"
                    ),
                );
            }
            match &section.node {
                Some(node) => self.check_name("node", node, &nodes)?,
                None if nodes.len() > 1 => {
                    let nodes = nodes.join(", ");
                    return contradiction(
                        name.span(),
                        format!(
                            "a file with several nodes says which one listens: add `node`, one of: {nodes}"
                        ),
                    );
                }
                None => {}
            }
            if section.listen.is_some() == section.socket.is_some() {
                return contradiction(
                    name.span(),
                    "expected one address: either `listen = \"10.0.0.1:7401\"` for TCP, or \
                     `socket = \"/run/me/floor.sock\"`"
                        .to_owned(),
                );
            }
            if section.types.is_empty() {
                return contradiction(
                    name.span(),
                    format!(
                        "a listener without types serves nothing: add `[legacy.{}.types]`, with lines such as \
                         `11 = \"ticks\"`",
                        name.as_ref()
                    ),
                );
            }
            self.check_legacy_limits(name.as_ref(), section)?;
            self.check_legacy_types(section)?;
        }
        Ok(())
    }

    fn check_legacy_limits(
        &self,
        name: &str,
        section: &LegacySection,
    ) -> Result<(), TopologyError> {
        let error = |place: Range<usize>, text: String| Err(self.file.contradiction(place, text));
        if let Some(connections) = section.connections.as_ref().filter(|it| *it.as_ref() == 0) {
            return error(
                connections.span(),
                "invalid number of connections 0: expected 1 or more".to_owned(),
            );
        }
        if let Some(payload) = &section.payload {
            let Bytes(bytes) = *payload.as_ref();
            if !(1..=LONGEST_PAYLOAD as usize).contains(&bytes) {
                return error(
                    payload.span(),
                    format!("invalid payload of {bytes} bytes: expected 1 to {LONGEST_PAYLOAD}"),
                );
            }
        }
        let Some(socket) = &section.socket else {
            if section.users.is_some() || section.group.is_some() || section.mode.is_some() {
                let place = section.listen.as_ref().map_or(0..0, Spanned::span);
                return error(
                    place,
                    "`users`, `group` and `mode` are for a Unix socket (`socket`): a TCP address proves no user"
                        .to_owned(),
                );
            }
            return Ok(());
        };
        if let Some(mode) = &section.mode
            && let Some(text) =
                contradiction_of_mode(mode, section.users.is_some(), section.group.is_some())
        {
            return error(mode.span(), text.to_owned());
        }
        let has_path = Endpoint::unix(socket.as_ref(), Access::default()).check();
        has_path.or_else(|found| {
            let (path, length) = (found.path.display(), found.found);
            error(
                socket.span(),
                format!(
                    "legacy listener `{name}` would listen at `{path}`, which has {length} bytes, but the path \
                     of a socket has at most {LONGEST_PATH}"
                ),
            )
        })
    }

    fn check_legacy_types(&self, section: &LegacySection) -> Result<(), TopologyError> {
        let error = |place: Range<usize>, text: String| Err(self.file.contradiction(place, text));
        let (mut sent, mut received) = (BTreeMap::new(), BTreeMap::new());
        for (id, entry) in &section.types {
            let (name, topic) = (id.as_ref(), &entry.as_ref().topic);
            if name.parse::<u16>().map(|id| id.to_string()).as_ref() != Ok(name) {
                return error(
                    id.span(),
                    format!(
                        "invalid type `{}`: expected a number from 0 to {}",
                        name.escape_debug(),
                        u16::MAX
                    ),
                );
            }
            let TypeEntry { from_clients, to_clients, .. } = *entry.as_ref();
            for (is_mapped, by_topic) in [(from_clients, &mut sent), (to_clients, &mut received)] {
                if let Some(first) = is_mapped.then(|| by_topic.insert(topic, id)).flatten() {
                    return error(
                        entry.span(),
                        format!(
                            "topic `{topic}` has type {first} already: expected one type in each direction \
                             (`clients = \"send\"`, `clients = \"receive\"`)",
                            first = first.as_ref()
                        ),
                    );
                }
            }
            let is_believed =
                section.socket.is_some() || section.trust.is_some_and(|it| it.0.is_network);
            let Some(listed) = self.sections.topic.get(topic.as_str()).filter(|_| !is_believed)
            else {
                continue;
            };
            let lists = [
                ("readers", &listed.readers, to_clients),
                ("writers", &listed.writers, from_clients),
            ];
            if let Some((list, ..)) =
                lists.into_iter().find(|(_, list, is_open)| list.is_some() && *is_open)
            {
                return error(
                    entry.span(),
                    format!(
                        "topic `{topic}` has a list of `{list}`, but any process that can connect to this \
                         listener would be one: if no other process can, write `trust = \"network\"`, or \
                         listen at a Unix socket (`socket`)"
                    ),
                );
            }
        }
        Ok(())
    }

    /// Returns the listeners for clients of the original system.
    pub(crate) fn legacy_listeners(&self) -> Vec<ListenerConfig> {
        let listeners = self.sections.legacy.iter().map(|(name, section)| {
            let (endpoint, place) = Topology::legacy_endpoint(name, section);
            let node = section.node.as_ref().map(|node| node.as_ref().as_str());
            let bad = |name: Option<Text<OnBadFrame>>, default| name.map_or(default, |name| name.0);
            ListenerConfig {
                name: name.as_ref().clone(),
                node: node.or_else(|| self.nodes().next()).map(str::to_owned),
                endpoint,
                place: self.file.location(place).to_string(),
                digests: section.wire.0.clone(),
                unknown: bad(section.unknown, OnBadFrame::Drop),
                invalid: bad(section.invalid, OnBadFrame::End),
                slow: section.slow.map_or(OnSlowClient::End, |name| name.0),
                connections: section.connections.as_ref().map_or(CONNECTIONS, |it| *it.as_ref())
                    as usize,
                timeout: section.timeout.map_or(TIMEOUT, |span| span.0),
                payload: section.payload.as_ref().map_or(PAYLOAD, |it| it.as_ref().0) as u32,
                queue: section.queue.map_or(QUEUE, |bytes| bytes.0),
                types: section.types.iter().filter_map(|(id, entry)| type_of(id, entry)).collect(),
            }
        });
        listeners.collect()
    }

    /// Returns the endpoint of a listener, and the place of the key that sets it.
    pub(super) fn legacy_endpoint(
        name: &Spanned<String>,
        section: &LegacySection,
    ) -> (Endpoint, Range<usize>) {
        match (&section.listen, &section.socket) {
            (Some(listen), _) => {
                let (addresses, place) = (listen.as_ref().0.clone(), listen.span());
                (Endpoint::Tcp { addresses, listen: Vec::new() }, place)
            }
            (None, Some(socket)) => {
                let access = access(section.users.as_deref(), section.group, section.mode.as_ref());
                (Endpoint::unix(socket.as_ref(), access), socket.span())
            }
            // Never happens: `check_legacy` refuses a section without an address.
            (None, None) => (Endpoint::unix("", Access::default()), name.span()),
        }
    }

    /// Returns whether the file lists the services of a node.
    pub(crate) fn lists_services(&self, node: &str) -> bool {
        self.sections.node.get(node).is_some_and(|section| section.services.is_some())
    }

    /// Returns the error of a type whose topic no service of the program has.
    pub(crate) fn unknown_legacy_topic(
        &self,
        listener: &str,
        of: &LegacyType,
        known: &[&str],
    ) -> TopologyError {
        let topic = Spanned::new(self.span_of_legacy_type(listener, of), of.topic.clone());
        self.unknown("topic", &topic, known, "")
    }

    /// Returns the error of a type for whose message the program has no codec.
    pub(crate) fn no_legacy_codec(
        &self,
        listener: &str,
        of: &LegacyType,
        message: &str,
    ) -> TopologyError {
        let text = format!(
            "type {} is message `{message}`, for which the program has no codec: add \
             `.legacy(LegacyCodec::<{message}>::same_bytes())` to the builder, or `LegacyCodec::new` \
             with a conversion",
            of.id
        );
        self.file.contradiction(self.span_of_legacy_type(listener, of), text)
    }

    fn span_of_legacy_type(&self, listener: &str, of: &LegacyType) -> Range<usize> {
        let section = self.sections.legacy.get(listener);
        let entry = section.and_then(|section| section.types.get(of.id.to_string().as_str()));
        entry.map_or(0..0, Spanned::span)
    }
}

fn type_of(id: &Spanned<String>, entry: &Spanned<TypeEntry>) -> Option<LegacyType> {
    let TypeEntry { topic, from_clients, to_clients } = entry.as_ref().clone();
    Some(LegacyType { id: id.as_ref().parse().ok()?, topic, from_clients, to_clients })
}

#[cfg(test)]
mod tests;
