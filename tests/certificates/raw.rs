//! TLS of peers that do not use our code: rustls with its defaults, and a node's files.

use std::path::Path;
use std::sync::Arc;

use futures_rustls::pki_types::pem::PemObject;
use futures_rustls::pki_types::{CertificateDer, PrivateKeyDer};
use futures_rustls::rustls::crypto::CryptoProvider;
use futures_rustls::rustls::crypto::ring::default_provider;
use futures_rustls::rustls::server::WebPkiClientVerifier;
use futures_rustls::rustls::version::TLS13;
use futures_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};

/// The contents of a node's files.
struct Files {
    provider: Arc<CryptoProvider>,
    authorities: Arc<RootCertStore>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Files {
    fn read(directory: &Path, node: &str) -> Files {
        let file = |name: &str| directory.join(name);
        let certificates = |name: &str| CertificateDer::pem_file_iter(file(name)).unwrap();
        let mut authorities = RootCertStore::empty();
        authorities.add_parsable_certificates(certificates("ca.pem").map(Result::unwrap));
        Files {
            provider: Arc::new(default_provider()),
            authorities: Arc::new(authorities),
            chain: certificates(&format!("{node}.pem")).map(Result::unwrap).collect(),
            key: PrivateKeyDer::from_pem_file(file(&format!("{node}.key"))).unwrap(),
        }
    }
}

/// Returns the configuration of a client with the certificate of a node.
pub(crate) fn client(directory: &Path, node: &str) -> Arc<ClientConfig> {
    let Files { provider, authorities, chain, key } = Files::read(directory, node);
    let client = ClientConfig::builder_with_provider(provider);
    let client = client.with_protocol_versions(&[&TLS13]).unwrap();
    let client = client.with_root_certificates(authorities).with_client_auth_cert(chain, key);
    Arc::new(client.unwrap())
}

/// Returns the configuration of a server with the certificate of a node; its clients need one, too.
pub(crate) fn server(directory: &Path, node: &str) -> Arc<ServerConfig> {
    let Files { provider, authorities, chain, key } = Files::read(directory, node);
    let clients = WebPkiClientVerifier::builder_with_provider(authorities, provider.clone());
    let server = ServerConfig::builder_with_provider(provider);
    let server = server.with_protocol_versions(&[&TLS13]).unwrap();
    let server = server.with_client_cert_verifier(clients.build().unwrap());
    Arc::new(server.with_single_cert(chain, key).unwrap())
}
