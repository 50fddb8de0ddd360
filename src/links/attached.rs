//! Transports that the program attaches to a node, beside the links of the topology.

use mycelium_transports::seam::Transport;

use crate::error::BuildError;
use crate::plan::{BoundPorts, refuse_policies};
use crate::support::names::expected_instead_of;

/// A transport with its topics.
pub(crate) struct Attached {
    pub(crate) transport: Box<dyn Transport>,
    pub(crate) sends: Vec<String>,
    pub(crate) receives: Vec<String>,
}

impl Attached {
    /// Checks that these services of the node emit and read its topics, and that it keeps what the
    /// policies of their subscriptions promise.
    pub(crate) fn check(&self, services: &[(String, BoundPorts)]) -> Result<(), BuildError> {
        let ports = || services.iter().map(|(_, ports)| ports);
        let emitted: Vec<&str> =
            ports().flat_map(BoundPorts::outputs).map(|it| &*it.topic).collect();
        let read: Vec<&str> = ports().flat_map(BoundPorts::inputs).map(|it| &*it.topic).collect();
        for (topics, known, what) in
            [(&self.sends, emitted, "emits"), (&self.receives, read, "reads")]
        {
            if let Some(topic) = topics.iter().find(|topic| !known.contains(&topic.as_str())) {
                let problem = format!(
                    "no service of this node {what} it: {}",
                    expected_instead_of(topic, &known)
                );
                return Err(self.refused(topic, problem));
            }
        }
        let capabilities = self.transport.capabilities();
        self.receives.iter().try_for_each(|topic| {
            refuse_policies(capabilities, topic, services)
                .map_err(|problem| self.refused(topic, problem))
        })
    }

    fn refused(&self, topic: &str, problem: String) -> BuildError {
        let (transport, topic) = (self.transport.name().to_owned(), topic.to_owned());
        BuildError::Transport { transport, topic, problem }
    }
}
