//! A node behind TLS, with certificates of a private authority.

use std::{fs, num::NonZeroUsize, path::Path, pin::pin, sync::Arc};

use bandit::ethereum::feed::{Feed, Settings};
use futures_channel::oneshot;
use futures_rustls::{
    TlsAcceptor,
    pki_types::PrivateKeyDer,
    rustls::{ServerConfig, crypto::ring},
};
use futures_util::{
    AsyncReadExt, AsyncWriteExt,
    future::{Either, select},
};
use mycelium::{Context, Node, Result, Running, service};
use mycelium_executor::{Address, Stream};
use mycelium_tokio::Tokio;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};

use crate::program::{command, ran, undisturbed};

/// What a node does with a connection.
#[derive(Clone, Copy, PartialEq)]
enum Manner {
    /// Serves the recorded day over TLS.
    Serves,
    /// The same, but the first connection gets no answer.
    ServesTheSecond,
    /// Answers what a web server does.
    AnswersHttp,
    /// Closes the connection.
    Closes,
}

struct TlsNode {
    manner: Manner,
    feed: Arc<Feed>,
    acceptor: TlsAcceptor,
    listening: Option<oneshot::Sender<Address>>,
}

#[service()]
impl TlsNode {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut listener = ctx.listen("127.0.0.1:0").await?;
        self.listening.take().unwrap().send(listener.local_addr()?).unwrap();
        loop {
            let shutdown = pin!(ctx.shutdown_requested());
            let Either::Left((accepted, _)) = select(pin!(listener.accept()), shutdown).await
            else {
                return Ok(());
            };
            let (mut stream, _) = accepted?;
            let (feed, acceptor, clock) = (self.feed.clone(), self.acceptor.clone(), ctx.clock());
            match self.manner {
                Manner::Closes => {}
                Manner::AnswersHttp => {
                    stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await?;
                    // Until the client closes the connection: a reset would lose the answer.
                    drop(ctx.spawn(async move { stream.read_to_end(&mut Vec::new()).await }));
                }
                Manner::ServesTheSecond => {
                    self.manner = Manner::Serves;
                    drop(ctx.spawn(async move { stream.read_to_end(&mut Vec::new()).await }));
                }
                Manner::Serves => drop(ctx.spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        let _ = feed.serve(Stream::new(stream), clock).await;
                    }
                })),
            }
        }
    }
}

/// A private authority.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Writes the file for `--ca`.
    fn write(&self, path: &Path) -> String {
        fs::write(path, self.0.pem()).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// The settings of a node whose certificate is for `localhost` and ends in this year.
    fn acceptor(&self, last_year: i32) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.not_after = date_time_ymd(last_year, 1, 1);
        let chain = vec![params.signed_by(&key, &self.0).unwrap().der().clone()];
        let settings = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, PrivateKeyDer::try_from(key.serialize_der()).unwrap());
        Arc::new(settings.unwrap()).into()
    }
}

/// Starts a node. Returns its port, too.
async fn start(manner: Manner, acceptor: &TlsAcceptor, settings: Settings) -> (Running, u16) {
    let (sender, listening) = oneshot::channel();
    let (mut sender, feed) = (Some(sender), Arc::new(Feed::new(settings, false)));
    let acceptor = acceptor.clone();
    let node = Node::builder("node").service(move || {
        let (feed, acceptor) = (feed.clone(), acceptor.clone());
        TlsNode { manner, feed, acceptor, listening: sender.take() }
    });
    let running = node.build().unwrap().start(Tokio::current().unwrap()).unwrap();
    let address = listening.await.unwrap().to_string();
    let port = address.rsplit(':').next().unwrap().parse().unwrap();
    (running, port)
}

/// Runs the program. Returns whether it succeeded, and its whole output.
async fn run(url: &str, arguments: &[&str]) -> (bool, String) {
    let command = command(&[&["--url", url], arguments].concat());
    tokio::task::spawn_blocking(|| ran(command)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_signals_are_the_same_over_tls() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let ca = authority.write(&directory.path().join("ca.pem"));
    let acceptor = authority.acceptor(3000);
    let path = directory.path().to_owned();
    let expected = tokio::task::spawn_blocking(move || undisturbed(&path)).await.unwrap();
    let drops = Settings { drop_every: NonZeroUsize::new(97), ..Settings::default() };
    let mut runs = vec![
        ("tokio", Manner::Serves, Settings::default()),
        ("tokio", Manner::ServesTheSecond, Settings::default()),
        ("smol", Manner::Serves, drops.clone()),
    ];
    if cfg!(all(target_os = "linux", feature = "glommio")) {
        runs.push(("glommio", Manner::Serves, drops));
    }
    for (executor, manner, settings) in runs {
        let (node, port) = start(manner, &acceptor, settings).await;
        let signals = directory.path().join("signals.jsonl");
        let arguments =
            ["--executor", executor, "--ca", &ca, "--signals", signals.to_str().unwrap()];
        let (succeeded, output) = run(&format!("wss://localhost:{port}/key"), &arguments).await;
        assert!(succeeded, "{output}");
        assert_eq!(fs::read(&signals).unwrap(), expected, "{executor}");
        assert_eq!(output.contains("no answer within"), manner == Manner::ServesTheSecond);
        assert!(!output.contains("/key"), "{output}");
        node.shutdown();
        node.join().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_of_tls_name_the_cause() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let ca = authority.write(&directory.path().join("ca.pem"));
    let other = Authority::new().write(&directory.path().join("other.pem"));
    let (valid, expired) = (authority.acceptor(3000), authority.acceptor(2020));
    let cases = [
        (Manner::Serves, &valid, "127.0.0.1", &ca, "the certificate of the node has another name"),
        (Manner::Serves, &valid, "localhost", &other, "no authority of this system"),
        (Manner::Serves, &expired, "localhost", &ca, "the certificate of the node has expired"),
        (Manner::AnswersHttp, &valid, "localhost", &ca, "the node does not speak TLS"),
        (Manner::Closes, &valid, "localhost", &ca, "the node closed the connection in the handsh"),
        (Manner::Serves, &valid, "no-such-host.invalid", &ca, "cannot connect to no-such-host.inv"),
    ];
    for (manner, acceptor, host, ca, expected) in cases {
        let (node, port) = start(manner, acceptor, Settings::default()).await;
        let url = format!("wss://{host}:{port}");
        let (succeeded, output) = run(&url, &["--ca", ca]).await;
        assert!(!succeeded, "{output}");
        let error = format!("error: PolygonAdapter: no connection to {url}: {expected}");
        assert!(output.contains(&error), "expected `{error}` in:\n{output}");
        node.shutdown();
        node.join().await.unwrap();
    }
}
