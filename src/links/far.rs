//! How nodes of other hosts are reached: over plain TCP, or over TLS with the files that the
//! topology names.

use std::sync::Arc;
use std::time::Duration;

use mycelium_transports::endpoint::Endpoint;
#[cfg(feature = "tls")]
use mycelium_transports::tls::{Tls, TlsError, TlsProblem};

#[cfg(feature = "tls")]
use super::log::Level;
use super::log::Log;
use crate::error::StartError;
use crate::plan::Carriers;
use crate::topology::Topology;

/// What the node proves its name with to nodes of other hosts.
pub(super) struct Far {
    /// `None` if no link goes over TLS.
    #[cfg(feature = "tls")]
    tls: Option<Arc<Tls>>,
}

#[cfg(feature = "tls")]
impl Far {
    /// Reads the files of the node, if a link of it goes over TLS.
    pub(super) fn load(
        node: &str,
        topology: &Topology,
        carriers: &Carriers,
        log: &Arc<Log>,
    ) -> Result<Far, StartError> {
        let listens = carriers.requires_tls() && topology.tcp(node).is_some();
        let is_used = carriers.use_tls() || listens;
        let files = topology.tls_files(node).filter(|_| is_used);
        let Some(files) = files else { return Ok(Far { tls: None }) };
        let (name, log) = (node.to_owned(), log.clone());
        let on_reload = Box::new(move |error: Option<&TlsError>| {
            let Some(error) = error else {
                return crate::log::info!(node = name, "the certificates were read again");
            };
            let problem = match error.problem {
                TlsProblem::Unreadable(_) => "the certificates cannot be read again",
                _ => "the certificates have changed",
            };
            let words = format_args!("{problem}, and the earlier ones stay in use: {error}");
            log.limited(Level::Warn, (problem, String::new()), &words);
        });
        let tls = Tls::load(node, files, on_reload).map_err(|error| {
            let place = topology.place_of_tls(error.file);
            StartError::Tls { node: node.to_owned(), place, problem: error.to_string() }
        })?;
        Ok(Far { tls: Some(Arc::new(tls)) })
    }

    /// The endpoint of another node, which has these addresses, and this long for a handshake.
    pub(super) fn of_peer(
        &self,
        carriers: &Carriers,
        (peer, handshake): (&str, Duration),
        plain: Endpoint,
    ) -> Result<Endpoint, StartError> {
        if carriers.over_tls(peer) { self.secured(peer, plain, handshake) } else { Ok(plain) }
    }

    /// The endpoint of this node, which has these addresses.
    pub(super) fn of_self(
        &self,
        carriers: &Carriers,
        node: &str,
        plain: Endpoint,
    ) -> Result<Endpoint, StartError> {
        // Its server has the limit for handshakes of others.
        if carriers.requires_tls() { self.secured(node, plain, Duration::MAX) } else { Ok(plain) }
    }

    /// An endpoint that is to be secured is never plain.
    fn secured(
        &self,
        node: &str,
        plain: Endpoint,
        handshake: Duration,
    ) -> Result<Endpoint, StartError> {
        let node = node.to_owned();
        match (&self.tls, plain) {
            (Some(tls), Endpoint::Tcp { addresses, listen }) => {
                Ok(Endpoint::Tls { addresses, listen, node, tls: tls.clone(), handshake })
            }
            (_, other) => {
                let problem = format!("no certificate was read for {other}");
                Err(StartError::Tls { node, place: None, problem })
            }
        }
    }
}

/// Without the feature no topology has links over TLS.
#[cfg(not(feature = "tls"))]
impl Far {
    pub(super) fn load(
        _: &str,
        _: &Topology,
        _: &Carriers,
        _: &Arc<Log>,
    ) -> Result<Far, StartError> {
        Ok(Far {})
    }

    #[allow(clippy::unused_self, reason = "with the feature `tls` it has files")]
    pub(super) fn of_peer(
        &self,
        _: &Carriers,
        _: (&str, Duration),
        plain: Endpoint,
    ) -> Result<Endpoint, StartError> {
        Ok(plain)
    }

    #[allow(clippy::unused_self, reason = "with the feature `tls` it has files")]
    pub(super) fn of_self(
        &self,
        _: &Carriers,
        _: &str,
        plain: Endpoint,
    ) -> Result<Endpoint, StartError> {
        Ok(plain)
    }
}
