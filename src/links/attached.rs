//! Transports that the program attaches to a node, in addition to the links of the topology.

use std::collections::BTreeSet;
use std::sync::Arc;

use mycelium_core::Code;
use mycelium_transports::seam::Transport;

use crate::error::BuildError;
use crate::plan::BoundPorts;
use crate::support::names::expected_instead_of;

/// A transport with its topics.
pub(crate) struct Attached {
    pub(crate) transport: Box<dyn Transport>,
    pub(crate) sends: Vec<String>,
    pub(crate) receives: Vec<String>,
}

impl Attached {
    /// Checks that services of the node emit and read the transport's topics, and that the
    /// transport can fulfil the policies of these subscriptions.
    pub(crate) fn check(&self, services: &[(String, BoundPorts)]) -> Result<(), BuildError> {
        let emits = services.iter().flat_map(|(_, ports)| &ports.emits);
        let emits = emits.filter(|port| !port.is_request);
        self.check_topics(&self.sends, emits.map(|port| &port.topic), "emits")?;
        let reads = services.iter().flat_map(|(_, ports)| &ports.reads);
        let reads = reads.filter(|port| !port.is_request);
        self.check_topics(&self.receives, reads.map(|port| &port.topic), "reads")?;
        let capabilities = self.transport.capabilities();
        for (service, ports) in services {
            for port in
                ports.reads.iter().filter(|port| self.receives.iter().any(|it| **it == *port.topic))
            {
                let policy = port.options.policy;
                let Some(what) = capabilities.lacks(policy) else { continue };
                let key = format!("{service}.{}", port.key);
                return Err(self.refused(
                    &port.topic,
                    &format!(
                        "it cannot {what}, which the policy `{policy}` of `{key}` needs: let that \
                     subscription drop messages (`policy = \"drop-oldest\"` or `\"latest\"` in \
                     `[subscription.\"{key}\"]`), or join the nodes by a link"
                    ),
                ));
            }
        }
        Ok(())
    }

    /// Checks that each topic is in `known`, the topics of this node's services. `does` is the verb
    /// of the error text: "emits" or "reads".
    fn check_topics<'p>(
        &self,
        topics: &[String],
        known: impl Iterator<Item = &'p Arc<str>>,
        does: &str,
    ) -> Result<(), BuildError> {
        let known: BTreeSet<&str> = known.map(|topic| &**topic).collect();
        match topics.iter().find(|topic| !known.contains(topic.as_str())) {
            None => Ok(()),
            Some(topic) => {
                let known: Vec<&str> = known.into_iter().collect();
                let expected = expected_instead_of(topic, &known);
                Err(self.refused(topic, &format!("no service of this node {does} it: {expected}")))
            }
        }
    }

    fn refused(&self, topic: &str, problem: &str) -> BuildError {
        let (transport, topic) = (self.transport.name(), topic.escape_debug());
        let problem = format!(
            "topic `{topic}` over transport `{transport}` (`Builder::transport`): {problem}"
        );
        BuildError::new(Code::TRANSPORT, problem)
    }
}
