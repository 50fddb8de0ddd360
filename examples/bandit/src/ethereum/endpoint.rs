//! The node to follow: its URL, and the handshakes of a connection to it. With `wss` the connection
//! is encrypted by rustls, over the byte stream of any executor. The node is untrusted: whatever it
//! answers, the result is a connection or a [`HandshakeError`].

use std::{
    fmt,
    fs::File,
    io::{self, Read},
    path::Path,
    sync::Arc,
};

use async_tungstenite::tungstenite::http::Uri;
use futures_rustls::{
    TlsConnector,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
    rustls::{self, CertificateError, ClientConfig, RootCertStore, crypto::ring},
};
use mycelium_executor::Stream;

use crate::{
    ethereum::rpc::LONGEST_TEXT,
    ethereum::socket::{Connection, SocketError},
    files::FileError,
};

/// The most bytes of a file of authorities.
const LARGEST_FILE: u64 = 1 << 20;
/// What the system says of a connection that the other side has closed.
const CLOSED: [io::ErrorKind; 3] =
    [io::ErrorKind::UnexpectedEof, io::ErrorKind::ConnectionReset, io::ErrorKind::BrokenPipe];

/// A node to follow. Its text is without the path of the URL, which may have a key.
#[derive(Clone)]
pub struct Endpoint {
    url: String,
    address: String,
    /// Of `wss`: the name that the certificate of the node must have, and whom it may be from.
    tls: Option<(ServerName<'static>, TlsConnector)>,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.tls.is_some() { "wss" } else { "ws" }, self.address)
    }
}

impl Endpoint {
    /// The node at `ws[s]://host[:port][/path]`. With `wss` the authorities of the system may have
    /// issued its certificate, and those in the file `ca`.
    ///
    /// # Errors
    /// If the URL is invalid, or there are no authorities.
    pub fn new(url: &str, ca: Option<&Path>) -> Result<Self, EndpointError> {
        let invalid = || EndpointError::Url(without_secrets(url));
        let uri: Uri = url.parse().map_err(|_| invalid())?;
        let (is_tls, default) = match uri.scheme_str() {
            Some("ws") => (false, 80),
            Some("wss") => (true, 443),
            _ => return Err(invalid()),
        };
        let authority = uri.authority().ok_or_else(invalid)?;
        let (host, port) = match authority.port_u16() {
            Some(port) => (authority.host(), port),
            // Refuses a port that is not a number.
            None if authority.host() == authority.as_str() => (authority.host(), default),
            None => return Err(invalid()),
        };
        if host.is_empty() || authority.as_str().contains('@') {
            return Err(invalid());
        }
        let tls = match (is_tls, ca) {
            (true, ca) => {
                let name = host.trim_matches(['[', ']']).to_owned();
                Some((ServerName::try_from(name).map_err(|_| invalid())?, connector(ca)?))
            }
            (false, None) => None,
            (false, Some(_)) => return Err(EndpointError::NotEncrypted),
        };
        Ok(Self { url: url.to_owned(), address: format!("{host}:{port}"), tls })
    }

    /// The address to connect to, `host:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Does the handshakes of TLS and of the WebSocket over `stream`, a connection to
    /// [`address`](Self::address).
    ///
    /// It has no timeout: put a deadline around it.
    ///
    /// # Errors
    /// If the node refuses, is another one, or does not speak the protocol.
    pub async fn open(&self, stream: Stream) -> Result<Connection<Stream>, HandshakeError> {
        let stream = match &self.tls {
            None => stream,
            Some((name, connector)) => {
                let stream = connector.connect(name.clone(), stream).await;
                Stream::new(stream.map_err(HandshakeError::of_tls)?)
            }
        };
        Ok(Connection::open(stream, &self.url).await?)
    }
}

/// A URL, valid or not, without a user, and without its path, which may be a key.
fn without_secrets(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let scheme = &url[..url.len() - rest.len()];
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let host = authority.rsplit('@').next().unwrap_or_default();
    let dots = |is_cut| if is_cut { ".." } else { "" };
    let user = dots(host.len() < authority.len());
    format!("{scheme}{user}{host}{}", dots(!path.is_empty()))
}

/// Trusts the authorities of the system, and those of a file.
fn connector(ca: Option<&Path>) -> Result<TlsConnector, EndpointError> {
    let system = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // Skips authorities of the system that rustls cannot read.
    roots.add_parsable_certificates(system.certs);
    if let Some(path) = ca {
        let mut read = || -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
            let mut text = Vec::new();
            File::open(path)?.take(LARGEST_FILE).read_to_end(&mut text)?;
            let mut certificates = CertificateDer::pem_slice_iter(&text).peekable();
            certificates.peek().ok_or("expected a certificate in PEM form")?;
            certificates.try_for_each(|certificate| Ok(roots.add(certificate?)?))
        };
        read().map_err(FileError::of("read the authorities", path))?;
    }
    if roots.is_empty() {
        return Err(EndpointError::NoAuthorities(format!("{:?}", system.errors)));
    }
    let settings = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(settings).into())
}

/// The options do not name a node.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// The URL, here without its secrets, has another form.
    #[error(
        "invalid URL of the node `{0}`: expected `ws://<host>[:<port>]` or \
         `wss://<host>[:<port>]`, and a path"
    )]
    Url(String),
    /// There are authorities for a connection without TLS.
    #[error("`--ca` has authorities for `wss://`, and the URL of the node is `ws://`")]
    NotEncrypted,
    /// The file of authorities cannot be used.
    #[error(transparent)]
    Authorities(#[from] FileError),
    /// Nobody could have issued the certificate of the node.
    #[error("this system has no authorities for `wss://` ({0}): `--ca` names a file of them")]
    NoAuthorities(String),
    /// The library has no protocol for these settings.
    #[error(transparent)]
    Tls(#[from] rustls::Error),
}

/// A connection to the node has no WebSocket.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// The certificate of the node has other names than the URL.
    #[error("the certificate of the node has another name: {0}")]
    OtherName(String),
    /// No authority that is trusted here has issued the certificate of the node.
    #[error(
        "no authority of this system, or of the file of `--ca`, has issued the certificate of the \
         node"
    )]
    UnknownIssuer,
    /// The certificate of the node has expired, or the clock of this machine is wrong.
    #[error("the certificate of the node has expired: {0}")]
    Expired(String),
    /// The certificate of the node is not valid for another reason.
    #[error("the certificate of the node is invalid: {0}")]
    Certificate(String),
    /// The node sent something else, such as HTTP.
    #[error("the node does not speak TLS: is its URL `ws://`?")]
    NotTls,
    /// The node closed the connection, as one that does not speak TLS may do.
    #[error("the node closed the connection in the handshake of TLS: is its URL `ws://`?")]
    Closed,
    /// The handshake of TLS failed for another reason.
    #[error("the handshake of TLS failed: {0}")]
    Tls(io::Error),
    /// The other side is not a WebSocket server.
    #[error(transparent)]
    Socket(#[from] SocketError),
}

impl HandshakeError {
    fn of_tls(error: io::Error) -> Self {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        let text = |error: &CertificateError| {
            let text = match error {
                CertificateError::Other(other) => other.to_string(),
                error => error.to_string(),
            };
            text.chars().take(LONGEST_TEXT).collect()
        };
        match inner {
            Some(rustls::Error::InvalidCertificate(certificate)) => match certificate {
                CertificateError::NotValidForName
                | CertificateError::NotValidForNameContext { .. } => {
                    Self::OtherName(text(certificate))
                }
                // An authority of the same name with another key.
                CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                    Self::UnknownIssuer
                }
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                    Self::Expired(text(certificate))
                }
                _ => Self::Certificate(text(certificate)),
            },
            Some(rustls::Error::InvalidMessage(_)) => Self::NotTls,
            None if CLOSED.contains(&error.kind()) => Self::Closed,
            _ => Self::Tls(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_or_refused() {
        for (url, address) in [
            ("ws://127.0.0.1:8545", "127.0.0.1:8545"),
            ("ws://node.example/v3/key?x=1", "node.example:80"),
            ("ws://[::1]:8546/", "[::1]:8546"),
            ("ws://[::1]/", "[::1]:80"),
            ("wss://node.example/v3/key", "node.example:443"),
            ("wss://[::1]", "[::1]:443"),
            ("wss://127.0.0.1:1/", "127.0.0.1:1"),
        ] {
            let endpoint = Endpoint::new(url, None).unwrap();
            assert_eq!(endpoint.address(), address);
            assert!(!endpoint.to_string().contains("key"), "{endpoint}");
        }
        for url in [
            "",
            "ws://",
            "127.0.0.1:8545",
            "http://x/",
            "wss:x",
            "ws://x:99999/",
            "ws://:80/",
            "ws://user:password@x/",
            "wss://a..b/",
            "https://user:password@x/v3/key?key",
        ] {
            let error = Endpoint::new(url, None).err().unwrap().to_string();
            assert!(!error.contains("key") && !error.contains("password"), "{error}");
        }
        let error = Endpoint::new("ws://x/", Some(Path::new("ca.pem"))).err().unwrap();
        assert!(matches!(error, EndpointError::NotEncrypted));
    }

    #[test]
    fn a_file_without_authorities_is_an_error_that_names_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ca.pem");
        let begin = "-----BEGIN CERTIFICATE-----\n";
        for (text, expected) in [
            ("", "expected a certificate in PEM form"),
            ("no certificate", "expected a certificate in PEM form"),
            (begin, "section end"),
            (&format!("{begin}AAAA\n-----END CERTIFICATE-----\n"), "certificate"),
        ] {
            std::fs::write(&path, text).unwrap();
            let error = Endpoint::new("wss://x/", Some(&path)).err().unwrap().to_string();
            assert!(error.contains(path.to_str().unwrap()) && error.contains(expected), "{error}");
        }
        for path in [directory.path(), &directory.path().join("none")] {
            let error = Endpoint::new("wss://x/", Some(path)).err().unwrap().to_string();
            assert!(error.contains(path.to_str().unwrap()), "{error}");
        }
    }
}
