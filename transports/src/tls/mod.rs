//! TLS: nodes of different machines prove their names to each other by certificates.
//!
//! A node has a certificate with its name, the private key of the certificate, and the certificates
//! of the authorities that it trusts: three files ([`TlsFiles`]). [`Tls`] reads them when the node
//! starts and again for each connection, so that a certificate can be replaced while the node runs.
//! Both sides of a connection require the other side's certificate (mutual authentication). TLS 1.3
//! is required. Sessions are not resumed: each connection proves the names again.
//!
//! Certificates name nodes, not machines. The side that connects expects the name of the node from
//! which it reads. The other side compares the name in the link's first frame with the certificate.

mod error;
mod files;

use std::fmt;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use event_listener::Event;
use futures_io::{AsyncRead, AsyncWrite};
use futures_rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use futures_rustls::rustls::client::{Resumption, WebPkiServerVerifier, verify_server_name};
use futures_rustls::rustls::crypto::{CryptoProvider, ring};
use futures_rustls::rustls::server::danger::ClientCertVerifier;
use futures_rustls::rustls::server::{
    NoServerSessionStorage, ParsedCertificate, WebPkiClientVerifier,
};
use futures_rustls::rustls::version::TLS13;
use futures_rustls::rustls::{self, ClientConfig, ServerConfig};
use futures_rustls::{TlsAcceptor, TlsConnector};
use futures_util::future::{Either, select};
use mycelium_executor::{Duplex, Peer, SendFuture, Stream, Thread};

use crate::gate::{Gate, NameProof, Secured};
use crate::sync::lock;
use files::{Contents, Credentials, can_prove};

pub use error::{TlsError, TlsFile, TlsProblem};
pub use files::TlsFiles;

/// The most bytes of a link that one write encrypts: 64 KiB of messages and the header of their run.
/// Without room for the header each such batch would take two writes.
const WRITE: usize = 65 << 10;

/// The proof of a node's name, and the authorities that it trusts. See the [module](self).
pub struct Tls(Arc<Shared>);

struct Shared {
    node: String,
    files: TlsFiles,
    state: Mutex<State>,
    /// Notified when the files were read.
    read: Event,
    on_reload: OnReload,
}

/// Called when the files have changed: with `None` if the new files are in use, or with the reason
/// why they are not. Also called with the error each time a file cannot be read, perhaps for each
/// connection, so limit your log. After an error the earlier files stay in use.
pub type OnReload = Box<dyn Fn(Option<&TlsError>) + Send + Sync>;

struct State {
    /// The files that are in use.
    contents: Contents,
    settings: Settings,
    /// A thread is reading the files.
    is_reading: bool,
    /// The last invalid files, which were reported already. They may become valid later, because a
    /// certificate has a start date.
    invalid: Option<Contents>,
}

/// The settings that all connections of a node share.
#[derive(Clone)]
struct Settings {
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
}

impl Tls {
    /// Reads the files of the node `node`, and checks them: the certificate must be valid now, an
    /// authority of the file must have issued it, it must have the name of the node, and the key
    /// must belong to it.
    ///
    /// `on_reload` is called when the files have changed, or cannot be read again.
    ///
    /// # Errors
    /// If a file cannot be read, or the check fails.
    pub fn load(node: &str, files: TlsFiles, on_reload: OnReload) -> Result<Tls, TlsError> {
        let contents = files.read()?;
        let settings = Settings::new(node, &files, &contents)?;
        let state = State { contents, settings, is_reading: false, invalid: None };
        let (node, state, read) = (node.to_owned(), Mutex::new(state), Event::new());
        Ok(Tls(Arc::new(Shared { node, files, state, read, on_reload })))
    }

    /// Whether a certificate can prove this name of a node: it must be the name of a host in lower
    /// case, such as `feed` or `feed.example`. Certificates do not distinguish upper and lower
    /// case, while the names of nodes do.
    #[must_use]
    pub fn can_prove(node: &str) -> bool {
        can_prove(node)
    }

    /// Connects, proves the name of this node, and checks that the other side proves the name
    /// `peer`.
    ///
    /// # Errors
    /// If the other side does not prove its name, or the connection ends. This side learns that its
    /// own name was refused only when it reads.
    pub async fn connect(&self, stream: Stream, peer: &str) -> io::Result<Stream> {
        let name = ServerName::try_from(peer.to_owned()).map_err(io::Error::other)?;
        let settings = Shared::settings(&self.0).await;
        let connected = TlsConnector::from(settings.client).connect(name, stream).await;
        let mut connected = connected.map_err(handshake_failed)?;
        connected.get_mut().1.set_buffer_limit(Some(WRITE));
        Ok(Stream::new(TlsStream(connected)))
    }

    /// Connects as [`connect`](Tls::connect) does, but fails once `late` is ready, which is after
    /// `limit`.
    pub(crate) async fn connect_within(
        &self,
        stream: Stream,
        peer: &str,
        late: SendFuture<()>,
        limit: Duration,
    ) -> io::Result<Stream> {
        match select(pin!(self.connect(stream, peer)), late).await {
            Either::Left((connected, _)) => connected,
            Either::Right(_) => {
                let text =
                    format!("handshake timeout: the peer did not prove its name within {limit:?}");
                Err(io::Error::new(io::ErrorKind::TimedOut, text))
            }
        }
    }
}

impl Shared {
    /// Returns the settings for another connection, from files that have changed. A separate thread
    /// reads the files, because a file system may not answer. While it runs, other connections use
    /// the earlier settings.
    async fn settings(shared: &Arc<Shared>) -> Settings {
        let read = shared.read.listen();
        if Shared::read_again(shared) {
            read.await;
        }
        lock(&shared.state).settings.clone()
    }

    /// Starts to read the files, unless a thread does so already. Returns false if there is nothing
    /// to wait for.
    fn read_again(shared: &Arc<Shared>) -> bool {
        if std::mem::replace(&mut lock(&shared.state).is_reading, true) {
            return false;
        }
        let own = shared.clone();
        let thread = std::thread::Builder::new().name("certificates".to_owned()).spawn(move || {
            // The new thread must not inherit the placement of the thread that started it.
            _ = Thread::default().apply_to_current();
            let read = own.files.read();
            let changed = lock(&own.state).replace(&own.node, &own.files, read);
            if let Some(changed) = changed {
                (own.on_reload)(changed.err().as_ref());
            }
            own.read.notify(usize::MAX);
        });
        if thread.is_err() {
            // The thread did not start. The next connection tries again.
            lock(&shared.state).is_reading = false;
        }
        thread.is_ok()
    }
}

impl State {
    /// Uses files that were read, if they have changed and are valid. Returns `None` if there is
    /// nothing to report.
    fn replace(
        &mut self,
        node: &str,
        files: &TlsFiles,
        read: Result<Contents, TlsError>,
    ) -> Option<Result<(), TlsError>> {
        self.is_reading = false;
        match read {
            Ok(contents) if contents == self.contents => {
                self.invalid = None;
                None
            }
            Ok(contents) => match Settings::new(node, files, &contents) {
                Ok(settings) => {
                    (self.contents, self.settings, self.invalid) = (contents, settings, None);
                    Some(Ok(()))
                }
                Err(error) => {
                    let is_new = self.invalid.as_ref() != Some(&contents);
                    self.invalid = Some(contents);
                    is_new.then_some(Err(error))
                }
            },
            // Reports each failed read, because it is unknown whether the files have changed.
            Err(error) => Some(Err(error)),
        }
    }
}

/// The gate of the accepting side checks that the other side has a certificate of an authority; the
/// name is compared with it later.
impl Gate for Tls {
    /// Accepts every address, because an address proves nothing; [`secure`](Gate::secure) checks
    /// the certificate.
    fn check(&self, _: &Peer) -> Result<(), String> {
        Ok(())
    }

    fn secure(&self, stream: Stream) -> SendFuture<io::Result<Secured>> {
        let shared = self.0.clone();
        Box::pin(async move {
            let settings = Shared::settings(&shared).await;
            let accepted = TlsAcceptor::from(settings.server).accept(stream).await;
            let mut accepted = accepted.map_err(handshake_failed)?;
            let (_, connection) = accepted.get_mut();
            connection.set_buffer_limit(Some(WRITE));
            let certificates = connection.peer_certificates().unwrap_or_default();
            let certificate =
                certificates.first().map(|first| Certificate(first.clone().into_owned()));
            // The peer has a certificate: without one the handshake would have failed.
            let proof =
                certificate.ok_or_else(|| io::Error::other("the peer has no certificate"))?;
            Ok(Secured { stream: Stream::new(TlsStream(accepted)), proof: Some(Arc::new(proof)) })
        })
    }
}

impl PartialEq for Tls {
    fn eq(&self, other: &Tls) -> bool {
        (&self.0.node, &self.0.files) == (&other.0.node, &other.0.files)
    }
}

impl Eq for Tls {}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shared { node, files, .. } = &*self.0;
        f.debug_struct("Tls").field("node", node).field("files", files).finish_non_exhaustive()
    }
}

impl Settings {
    /// Creates the settings of the node `node`, which has these files.
    fn new(node: &str, files: &TlsFiles, contents: &Contents) -> Result<Settings, TlsError> {
        let Credentials { chain, key, authorities } = contents.parse(files)?;
        let (authorities, provider) = (Arc::new(authorities), Arc::new(ring::default_provider()));
        let trusted = (authorities.clone(), provider.clone());
        let servers = WebPkiServerVerifier::builder_with_provider(trusted.0, trusted.1).build();
        let servers = servers.map_err(|error| files.no_authorities(error.to_string()))?;
        let clients = WebPkiClientVerifier::builder_with_provider(authorities, provider.clone());
        let clients = clients.build().map_err(|error| files.no_authorities(error.to_string()))?;
        files.check(node, &chain, &*servers, &*clients)?;
        let client = client_settings(&provider, servers, chain.clone(), key.clone_key());
        let client = client.map_err(|error| files.no_key(&error, &key))?;
        let server = server_settings(&provider, clients, chain, key.clone_key());
        let server = server.map_err(|error| files.no_key(&error, &key))?;
        Ok(Settings { client: Arc::new(client), server: Arc::new(server) })
    }
}

fn client_settings(
    provider: &Arc<CryptoProvider>,
    servers: Arc<WebPkiServerVerifier>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ClientConfig, rustls::Error> {
    let mut settings = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&TLS13])?
        .with_webpki_verifier(servers)
        .with_client_auth_cert(chain, key)?;
    settings.resumption = Resumption::disabled();
    Ok(settings)
}

fn server_settings(
    provider: &Arc<CryptoProvider>,
    clients: Arc<dyn ClientCertVerifier>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, rustls::Error> {
    let mut settings = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(clients)
        .with_single_cert(chain, key)?;
    settings.send_tls13_tickets = 0;
    settings.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(settings)
}

/// Returns the error of a handshake, in words about the two nodes.
fn handshake_failed(error: io::Error) -> io::Error {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let text = match inner {
        Some(refused @ rustls::Error::InvalidCertificate(_)) => {
            format!("the certificate of the peer was refused: {}", error::reason(refused))
        }
        Some(rustls::Error::AlertReceived(alert)) => {
            format!("the peer refused the connection, or the certificate of this node: {alert:?}")
        }
        Some(rustls::Error::InvalidMessage(message)) => {
            format!("the peer does not speak TLS: {message:?}")
        }
        _ => error.to_string(),
    };
    io::Error::new(error.kind(), format!("the TLS handshake failed: {text}"))
}

/// The certificate of a peer, which an authority has issued.
#[derive(Debug)]
struct Certificate(CertificateDer<'static>);

impl NameProof for Certificate {
    fn check(&self, node: &str) -> Result<(), String> {
        if !can_prove(node) {
            return Err("no certificate can have this name".to_owned());
        }
        let name = ServerName::try_from(node).map_err(|error| error.to_string())?;
        let certificate =
            ParsedCertificate::try_from(&self.0).map_err(|error| error.to_string())?;
        verify_server_name(&certificate, &name).map_err(|error| error::reason(&error))
    }
}

// A stream over TLS, for links.

/// Reports the end of the connection as a stream without TLS does, even if it was not announced: a
/// process that dies, or a network that cuts the connection, does not announce it. A link does not
/// need the announcement, because it has its own closing frame, and does not treat the end of a
/// stream as the end of its messages.
struct TlsStream<S>(S);

impl<S: Duplex> AsyncRead for TlsStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_read(context, buffer).map(|read| match read {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
            read => read,
        })
    }
}

impl<S: Duplex> AsyncWrite for TlsStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, buffer)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(context, buffers)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_close(context)
    }
}
