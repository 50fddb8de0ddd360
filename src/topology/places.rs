//! Where in the file a setting is.

use std::ops::Range;

use serde_spanned::Spanned;

use super::error::{Problem, TopologyError};
use super::{Setting, Topology};

impl Topology {
    /// File, line and column of a setting, if the file has it.
    pub(crate) fn place_of(&self, setting: Setting<'_>) -> Option<String> {
        self.span_of(setting).map(|span| self.file.location(span).to_string())
    }

    /// The error of a setting.
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
            Setting::Service(service) => {
                let lists = sections.node.values().filter_map(|section| section.services.as_ref());
                lists.flatten().find(|listed| listed.as_ref() == service)?.span()
            }
            Setting::Execution(service) => {
                let section = sections.service.get(service)?;
                let executor = section.executor.as_ref().map(Spanned::span);
                executor.or_else(|| section.run.as_ref().map(Spanned::span))?
            }
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
                // Of a child that is listed twice, the second place.
                children.iter().rfind(|listed| listed.as_ref() == child)?.span()
            }
            Setting::Capacity(topic) => sections.topic.get(topic)?.capacity.as_ref()?.span(),
            Setting::Transport(topic) => sections.topic.get(topic)?.transport.as_ref()?.span(),
            Setting::LinkTransport(node, other) => self.span_of_transport(node, other)?,
        };
        // What the program adds has no place in the file.
        (!span.is_empty()).then_some(span)
    }
}
