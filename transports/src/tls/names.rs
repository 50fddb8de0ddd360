//! The names of nodes that certificates can have.

use futures_rustls::pki_types::ServerName;

/// Whether a certificate can prove exactly this name.
pub(super) fn can_prove(node: &str) -> bool {
    let is_exact = !node.ends_with('.') && !node.contains(char::is_uppercase);
    is_exact && matches!(ServerName::try_from(node), Ok(ServerName::DnsName(_)))
}
