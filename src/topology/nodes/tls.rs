//! The section `tls`: the files with which nodes prove their names to nodes of other hosts.

#[cfg(feature = "tls")]
use std::path::{Path, PathBuf};

#[cfg(feature = "tls")]
use serde_spanned::Spanned;

use crate::observe::report::Carrier;
use crate::topology::Topology;
use crate::topology::error::TopologyError;

/// The placeholder for the name of a node in a path.
#[cfg(feature = "tls")]
const NODE: &str = "{node}";

impl Topology {
    /// Returns the default carrier of a link between two hosts.
    pub(crate) fn far_carrier(&self) -> Carrier {
        if self.sections.tls.is_some() { Carrier::Tls } else { Carrier::Tcp }
    }

    /// Checks that the file has a section `[tls]` if a link requests TLS.
    pub(crate) fn check_tls(&self) -> Result<(), TopologyError> {
        let mut links = self.sections.link.values();
        let asks = |transport: Option<Carrier>| transport == Some(Carrier::Tls);
        let Some(link) = links.find(|link| asks(link.transport())) else { return Ok(()) };
        if self.sections.tls.is_some() {
            return Ok(());
        }
        let message = "`transport = \"tls\"` needs a section `[tls]`, with the files `certificate`, \
                       `key` and `authorities`";
        Err(self.file.contradiction(link.place_of_transport().unwrap_or(0..0), message))
    }

    /// Checks a link over TLS: a certificate must be able to prove the names of both nodes.
    #[cfg(feature = "tls")]
    pub(crate) fn check_certified(&self, nodes: [&str; 2]) -> Result<(), TopologyError> {
        use mycelium_transports::tls::Tls;
        let Some(node) = nodes.into_iter().find(|node| !Tls::can_prove(node)) else {
            return Ok(());
        };
        let section = self.sections.node.get_key_value(node);
        let place = section.map_or(0..0, |(name, _)| name.span());
        let message = format!(
            "node `{node}` has links over TLS, but no certificate can have its name: expected one \
             like that of a host, such as `feed` or `feed-1.example`"
        );
        Err(self.file.contradiction(place, message))
    }

    /// Does nothing: without the feature no file has links over TLS.
    #[cfg(not(feature = "tls"))]
    pub(crate) fn check_certified(&self, _nodes: [&str; 2]) -> Result<(), TopologyError> {
        Ok(())
    }

    /// Returns the TLS files of a node.
    #[cfg(feature = "tls")]
    pub(crate) fn tls_files(&self, node: &str) -> Option<mycelium_transports::tls::TlsFiles> {
        let section = self.sections.tls.as_ref()?.as_ref();
        let path = |key: &Spanned<PathBuf>| {
            // Relative to the file with the key, which may be an included one.
            let directory = self.file.file(&key.span()).parent().unwrap_or(Path::new(""));
            match key.as_ref().to_str() {
                Some(path) => directory.join(path.replace(NODE, node)),
                None => directory.join(key.as_ref()),
            }
        };
        // Makes paths absolute: the current directory may change before the process reads the files
        // again.
        let path = |key| {
            let path = path(key);
            std::path::absolute(&path).unwrap_or(path)
        };
        Some(mycelium_transports::tls::TlsFiles {
            certificate: path(&section.certificate),
            key: path(&section.key),
            authorities: path(&section.authorities),
        })
    }
}
