//! Finds the place of a setting in the file.

use std::collections::BTreeMap;
use std::ops::Range;

#[cfg(feature = "tls")]
use mycelium_transports::tls::TlsFile;
use serde_spanned::Spanned;

use super::error::{Problem, SourceLocation, TopologyError};
use super::{Setting, Topology};

/// The places of settings in the file, for the errors of a node that no longer has the file.
#[derive(Debug, Default)]
pub(crate) struct Places(BTreeMap<String, Place>);

#[derive(Debug)]
struct Place {
    location: SourceLocation,
    /// The source text of the value, if it has environment variables.
    written: Option<String>,
}

/// Returns a text that identifies a setting.
fn key(setting: Setting<'_>) -> String {
    format!("{setting:?}")
}

impl Places {
    /// Returns file, line and column of a setting, if the file has it.
    pub(crate) fn of(&self, setting: Setting<'_>) -> Option<String> {
        self.0.get(&key(setting)).map(|place| place.location.to_string())
    }

    /// Returns an error with this problem and the place of a setting, if the file has the setting.
    pub(crate) fn error(&self, setting: Setting<'_>, problem: Problem) -> Option<TopologyError> {
        let Place { location, written } = self.0.get(&key(setting))?;
        let (location, written) = (location.clone(), written.clone());
        Some(TopologyError { location, problem, written })
    }
}

impl Topology {
    /// Returns the places of the settings that can cause errors when a node with links to `peers`
    /// starts.
    pub(crate) fn places_for<'a>(
        &'a self,
        node: &'a str,
        peers: impl Iterator<Item = &'a str>,
    ) -> Places {
        let of_node = [
            Setting::Node(node),
            Setting::HugePages(node),
            Setting::Socket(node),
            Setting::Tcp(node),
            Setting::Access(node),
            Setting::NodeExecutor(node),
            Setting::Metrics(node),
            Setting::NodeQueue(node),
        ];
        let of_services = self.sections.service.iter().flat_map(|(service, section)| {
            let service = service.as_ref().as_str();
            let of_service = [
                Setting::Execution(service),
                Setting::Executor(service),
                Setting::Run(service),
                Setting::Class(service),
                Setting::Queue(service),
            ];
            let ports = section.ports.keys().map(|port| Setting::Port(service, port.as_ref()));
            of_service.into_iter().chain(ports)
        });
        let of_topics = self.sections.topic.keys().flat_map(|topic| {
            let topic = topic.as_ref().as_str();
            [Setting::Capacity(topic), Setting::Retain(topic), Setting::Transport(topic)]
        });
        let of_links = peers.map(|peer| Setting::LinkTransport(node, peer));
        let all = of_node.into_iter().chain(of_services).chain(of_topics).chain(of_links);
        #[cfg(feature = "tls")]
        let all =
            all.chain([TlsFile::Certificate, TlsFile::Key, TlsFile::Authorities].map(Setting::Tls));
        let places = all.filter_map(|setting| {
            let span = self.span_of(setting)?;
            let written = self.file.substituted(&span);
            Some((key(setting), Place { location: self.file.location(span), written }))
        });
        Places(places.collect())
    }

    /// Returns file, line and column of a setting, if the file has it.
    pub(crate) fn place_of(&self, setting: Setting<'_>) -> Option<String> {
        self.span_of(setting).map(|span| self.file.location(span).to_string())
    }

    /// Returns an error with this problem and the place of a setting.
    pub(crate) fn error_at(&self, setting: Setting<'_>, problem: Problem) -> TopologyError {
        self.file.error(self.span_of(setting).unwrap_or(0..0), problem)
    }

    fn span_of(&self, setting: Setting<'_>) -> Option<Range<usize>> {
        let sections = &self.sections;
        let span = match setting {
            Setting::Node(node) => sections.node.get_key_value(node)?.0.span(),
            Setting::Memory(node) => sections.node.get(node)?.memory.as_ref()?.span(),
            Setting::HugePages(node) => sections.node.get(node)?.huge_pages.as_ref()?.span(),
            Setting::Socket(node) => sections.node.get(node)?.socket.as_ref()?.span(),
            Setting::Tcp(node) => {
                let section = sections.node.get(node)?;
                let listen = section.listen.as_ref().map(Spanned::span);
                let address = || section.address.as_ref().map(Spanned::span);
                let port = || section.port.as_ref().map(Spanned::span);
                listen.or_else(address).or_else(port)?
            }
            Setting::Access(node) => {
                let section = sections.node.get(node)?;
                let users = section.users.as_ref().map(Spanned::span);
                let group = || section.group.as_ref().map(Spanned::span);
                users.or_else(group).or_else(|| section.mode.as_ref().map(Spanned::span))?
            }
            Setting::NodeExecutor(node) => sections.node.get(node)?.executor.as_ref()?.span(),
            Setting::Metrics(node) => sections.node.get(node)?.listen_metrics.as_ref()?.span(),
            #[cfg(feature = "describe")]
            Setting::Description(node) => sections.node.get(node)?.description.as_ref()?.span(),
            Setting::Service(service) => {
                let lists = sections.node.values().filter_map(|section| section.services.as_ref());
                lists.flatten().find(|listed| listed.as_ref() == service)?.span()
            }
            Setting::Execution(service) => {
                let section = sections.service.get(service)?;
                let executor = section.executor.as_ref().map(Spanned::span);
                executor.or_else(|| section.run.as_ref().map(Spanned::span))?
            }
            Setting::Executor(service) => sections.service.get(service)?.executor.as_ref()?.span(),
            Setting::Run(service) => sections.service.get(service)?.run.as_ref()?.span(),
            Setting::Class(service) => sections.service.get(service)?.class.as_ref()?.span(),
            Setting::Queue(service) => {
                let section = sections.service.get(service)?;
                let shares = section.shares.as_ref().map(Spanned::span);
                shares.or_else(|| section.latency.as_ref().map(Spanned::span))?
            }
            Setting::NodeQueue(node) => {
                let section = sections.node.get(node)?;
                let shares = section.shares.as_ref().map(Spanned::span);
                shares.or_else(|| section.latency.as_ref().map(Spanned::span))?
            }
            Setting::Policy(service, port) => {
                let section = sections.subscription.get(format!("{service}.{port}").as_str())?;
                section.policy.as_ref()?.span()
            }
            Setting::Port(service, port) => sections.service.get(service)?.ports.get(port)?.span(),
            Setting::Supervisor(name) => sections.supervisor.get_key_value(name)?.0.span(),
            Setting::SupervisedChild(name, child) => {
                let children = sections.supervisor.get(name)?.children.as_ref()?;
                // If a child is listed twice, the second place is the mistake.
                children.iter().rfind(|listed| listed.as_ref() == child)?.span()
            }
            Setting::Capacity(topic) => sections.topic.get(topic)?.capacity.as_ref()?.span(),
            Setting::Arena(topic) => sections.topic.get(topic)?.arena.as_ref()?.span(),
            Setting::Retain(topic) => sections.topic.get(topic)?.retain.as_ref()?.span(),
            Setting::WorkQueue(topic) => sections.topic.get(topic)?.work_queue.as_ref()?.span(),
            Setting::Transport(topic) => sections.topic.get(topic)?.transport.as_ref()?.span(),
            Setting::LinkTransport(node, other) => self.span_of_transport(node, other)?,
            #[cfg(feature = "tls")]
            Setting::Tls(file) => {
                let section = sections.tls.as_ref()?.as_ref();
                match file {
                    TlsFile::Certificate => section.certificate.span(),
                    TlsFile::Key => section.key.span(),
                    _ => section.authorities.span(),
                }
            }
        };
        // Settings that the program adds have no place in the file.
        (!span.is_empty()).then_some(span)
    }
}
