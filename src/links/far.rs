//! The endpoints for nodes of other hosts: plain TCP, or TLS with the files of the topology.

use std::sync::Arc;
#[cfg(feature = "tls")]
use std::time::Duration;

#[cfg(feature = "tls")]
use mycelium_core::Code;
use mycelium_transports::endpoint::Endpoint;
#[cfg(feature = "tls")]
use mycelium_transports::tls::{Tls, TlsError, TlsProblem};

#[cfg(feature = "tls")]
use super::log::Level;
use super::log::Log;
use crate::error::StartError;
use crate::plan::Plan;
#[cfg(feature = "tls")]
use crate::topology::Setting;

/// The files with which the node proves its name to nodes of other hosts.
pub(super) struct Far {
    /// `None` if no link uses TLS.
    #[cfg(feature = "tls")]
    tls: Option<Arc<Tls>>,
}

#[cfg(feature = "tls")]
impl Far {
    /// Reads the TLS files of the node, if one of its links uses TLS.
    pub(super) fn load(plan: &Plan, log: &Arc<Log>) -> Result<Far, StartError> {
        let (node, settings, carriers) = (&*plan.node, &plan.settings, &plan.carriers);
        let listens = carriers.requires_tls() && settings.tcp.is_some();
        let is_used = carriers.use_tls() || listens;
        let files = settings.tls.clone().filter(|_| is_used);
        let Some(files) = files else { return Ok(Far { tls: None }) };
        let (name, log) = (node.to_owned(), log.clone());
        let on_reload = Box::new(move |error: Option<&TlsError>| {
            let Some(error) = error else {
                return crate::support::log::info!(node = name, "the certificates were read again");
            };
            let problem = match error.problem {
                TlsProblem::Unreadable(_) => "the certificates cannot be read again",
                _ => "the certificates have changed",
            };
            let words = format_args!("{problem}, and the earlier ones stay in use: {error}");
            log.limited(Level::Warn, (problem, String::new()), &words);
        });
        let tls = Tls::load(node, files, on_reload).map_err(|error| {
            let place = plan.places.of(Setting::Tls(error.file));
            without_tls(node, place, &error.to_string())
        })?;
        Ok(Far { tls: Some(Arc::new(tls)) })
    }

    /// Returns the endpoint at which this node connects to `peer`.
    pub(super) fn of_peer(&self, plan: &Plan, peer: &str) -> Result<Endpoint, StartError> {
        let link = &plan.links[peer];
        let plain = link.endpoint.clone();
        match plan.carriers.over_tls(peer) {
            true => self.secured(peer, plain, link.config.handshake),
            false => Ok(plain),
        }
    }

    /// Returns the endpoint with the addresses of `plain`, at which nodes of other hosts connect to
    /// this one.
    pub(super) fn of_self(&self, plan: &Plan, plain: Endpoint) -> Result<Endpoint, StartError> {
        // Sets no limit here: the server of the endpoint limits the handshakes of other nodes.
        match plan.carriers.requires_tls() {
            true => self.secured(&plan.node, plain, Duration::MAX),
            false => Ok(plain),
        }
    }

    /// Returns the TLS endpoint with the addresses of `plain`, or an error; never the plain
    /// endpoint.
    fn secured(
        &self,
        node: &str,
        plain: Endpoint,
        handshake: Duration,
    ) -> Result<Endpoint, StartError> {
        match (&self.tls, plain) {
            (Some(tls), Endpoint::Tcp { addresses, listen }) => {
                let (node, tls) = (node.to_owned(), tls.clone());
                Ok(Endpoint::Tls { addresses, listen, node, tls, handshake })
            }
            (_, other) => {
                Err(without_tls(node, None, &format!("no certificate was read for {other}")))
            }
        }
    }
}

/// Returns the error of a node that cannot prove its name to nodes of other hosts.
#[cfg(feature = "tls")]
fn without_tls(node: &str, place: Option<String>, problem: &str) -> StartError {
    let problem = format!("node `{node}` cannot use TLS: {problem}");
    StartError::at(place, Code::NO_TLS, problem)
}

/// Without the feature `tls` no topology has links over TLS.
#[cfg(not(feature = "tls"))]
impl Far {
    #[allow(clippy::unnecessary_wraps, reason = "with the feature `tls` it reads files")]
    pub(super) fn load(_: &Plan, _: &Arc<Log>) -> Result<Far, StartError> {
        Ok(Far {})
    }

    #[allow(
        clippy::unused_self,
        clippy::unnecessary_wraps,
        reason = "with the feature `tls` it has files"
    )]
    pub(super) fn of_peer(&self, plan: &Plan, peer: &str) -> Result<Endpoint, StartError> {
        Ok(plan.links[peer].endpoint.clone())
    }

    #[allow(
        clippy::unused_self,
        clippy::unnecessary_wraps,
        reason = "with the feature `tls` it has files"
    )]
    pub(super) fn of_self(&self, _: &Plan, plain: Endpoint) -> Result<Endpoint, StartError> {
        Ok(plain)
    }
}
