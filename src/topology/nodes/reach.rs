//! How a program outside the topology, such as a tool or a recorder, reaches a node.

use mycelium_core::debug_as_display;
use mycelium_transports::endpoint::Endpoint;
use serde_spanned::Spanned;
use thiserror::Error;

#[cfg(feature = "tls")]
use crate::observe::report::Carrier;
use crate::support::names::nearest;
use crate::topology::{RECORDER, Topology};

/// Why a program cannot reach a node of a topology.
#[derive(Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct ReachError(String);

debug_as_display!(ReachError);

fn unknown(name: &str, known: &[&str]) -> ReachError {
    let instead = match nearest(name, known) {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None if known.is_empty() => "the file has no nodes".to_owned(),
        None => format!("expected one of: {}", known.join(", ")),
    };
    ReachError(format!("unknown node `{}`: {instead}", name.escape_debug()))
}

impl Topology {
    /// Returns the endpoints where a program outside the topology reaches a node, in the order to
    /// try: its Unix socket if there is one on this machine, then its TCP addresses.
    ///
    /// `own` is the node whose name the program uses. Over TLS the program has the certificate of
    /// this node, and it may read topics with a list `readers` that includes this node. The node
    /// must have `services = []`: otherwise the program would get the messages that are kept for
    /// its services. Without a name, the program may read only topics without `readers`.
    ///
    /// ```
    /// use mycelium::Topology;
    ///
    /// let topology = Topology::parse("app.toml", r#"
    /// [node.feed]
    /// services = ["Feed"]
    /// address = "127.0.0.1:7001"
    /// "#)?;
    /// let endpoints = topology.reach("feed", None)?;
    /// assert_eq!(endpoints.last().map(|it| it.to_string()).as_deref(), Some("127.0.0.1:7001"));
    ///
    /// let error = topology.reach("feet", None).unwrap_err();
    /// assert_eq!(error.to_string(), "unknown node `feet`: did you mean `feed`?");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ReachError`]: the file does not have these nodes, `own` may run services, or a required
    /// certificate is missing.
    pub fn reach(&self, node: &str, own: Option<&str>) -> Result<Vec<Endpoint>, ReachError> {
        for name in [Some(node), own].into_iter().flatten() {
            if !self.sections.node.contains_key(name) {
                return Err(unknown(name, &self.nodes().collect::<Vec<_>>()));
            }
        }
        if let Some(own) = own {
            let section = self.sections.node.get(own);
            let services = section.and_then(|section| section.services.as_ref());
            let is_recorder = |service: &Spanned<String>| service.as_ref() == RECORDER;
            if services.is_none_or(|services| !services.iter().all(is_recorder)) {
                return Err(ReachError(format!(
                    "node `{own}` may run services, and their publishers would wait for a program \
                     with its name: use the name of a node with `services = []`, such as \
                     `[node.viewer]`, and name it in the `readers` of topics that have them"
                )));
            }
        }
        let far = self.tcp(node).map(|plain| self.secured(node, own, plain));
        let near = self.endpoint(node);
        // Leaves out a socket that is on another machine: if no endpoint accepts a connection, the
        // error is about the first one.
        let is_here = match &near {
            Endpoint::Unix { path, .. } => far.is_none() || path.exists(),
            _ => true,
        };
        let near = is_here.then_some(near);
        match far {
            // Without a certificate the program may still reach the node through its socket.
            Some(Err(error)) => near.map_or(Err(error), |near| Ok(vec![near])),
            Some(Ok(far)) => Ok(near.into_iter().chain([far]).collect()),
            None => Ok(near.into_iter().collect()),
        }
    }

    /// Returns the TCP endpoint `plain`, or, if the program must use TLS, a TLS endpoint with the
    /// same addresses.
    #[cfg(feature = "tls")]
    fn secured(
        &self,
        node: &str,
        own: Option<&str>,
        plain: Endpoint,
    ) -> Result<Endpoint, ReachError> {
        use std::sync::Arc;

        use mycelium_transports::tls::Tls;

        let asked = own.and_then(|own| self.transport(own, node));
        let carrier = asked.filter(|it| matches!(it, Carrier::Tcp | Carrier::Tls));
        let Endpoint::Tcp { addresses, listen } = plain else { return Ok(plain) };
        if carrier.unwrap_or_else(|| self.far_carrier()) != Carrier::Tls {
            return Ok(Endpoint::Tcp { addresses, listen });
        }
        let Some(own) = own else {
            return Err(ReachError(format!(
                "node `{node}` is reached over TLS, where each side proves its name: name a node \
                 of the file whose certificate this program has"
            )));
        };
        let refused = |problem: &str| ReachError(format!("certificate of node `{own}`: {problem}"));
        let files = self.tls_files(own);
        let files = files.ok_or_else(|| refused("the file has no section `[tls]`"))?;
        let tls = Tls::load(own, files, Box::new(|_| {}));
        let tls = Arc::new(tls.map_err(|error| refused(&error.to_string()))?);
        let (node, handshake) = (node.to_owned(), self.link(own, node).handshake);
        Ok(Endpoint::Tls { addresses, listen, node, tls, handshake })
    }

    #[cfg(not(feature = "tls"))]
    #[allow(clippy::unused_self, clippy::unnecessary_wraps, reason = "with `tls` it has files")]
    fn secured(&self, _: &str, _: Option<&str>, plain: Endpoint) -> Result<Endpoint, ReachError> {
        Ok(plain)
    }
}
