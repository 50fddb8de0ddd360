//! TLS under a link.

use std::io;
use std::net::TcpStream;
use std::sync::{Arc, LazyLock, Mutex};

use mycelium_executor::{Address, Executor, Peer, SendFuture, Stream};
use mycelium_transports::conformance::StreamPair;
use mycelium_transports::endpoint::Gate;
use mycelium_transports::tls::Tls;

use crate::certificates::{Certificates, of_node};
use crate::subjects::TcpSockets;

/// TCP sockets whose two sides prove their names.
pub(crate) struct TlsSockets;

impl StreamPair for TlsSockets {
    type Socket = TcpStream;
    const NAME: &'static str = "tls";

    fn connect() -> io::Result<(TcpStream, TcpStream)> {
        TcpSockets::connect()
    }

    fn cut(socket: &TcpStream) -> io::Result<Box<dyn FnOnce() + Send>> {
        TcpSockets::cut(socket)
    }

    fn stream(executor: &dyn Executor, socket: TcpStream) -> io::Result<Stream> {
        TcpSockets::stream(executor, socket)
    }

    fn peer() -> (Address, Peer) {
        TcpSockets::peer()
    }

    fn gate() -> Arc<dyn Gate> {
        SIDES[0].clone()
    }

    fn secure(stream: Stream) -> SendFuture<io::Result<Stream>> {
        Box::pin(async { SIDES[1].connect(stream, NAMES[0]).await })
    }
}

/// The names of the publishers' side and of the readers' side.
const NAMES: [&str; 2] = ["there", "here"];

/// The files of both sides, which are read for each connection.
static CERTIFICATES: Mutex<Option<Certificates>> = Mutex::new(None);

/// Removes the files; statics are not dropped.
pub(crate) fn clean() {
    CERTIFICATES.lock().unwrap().take();
}

static SIDES: LazyLock<[Arc<Tls>; 2]> = LazyLock::new(|| {
    let certificates =
        CERTIFICATES.lock().unwrap().insert(Certificates::of("laws", &NAMES)).path().to_owned();
    NAMES.map(|node| {
        let files = of_node(&certificates, node);
        Arc::new(Tls::load(node, files, Box::new(|_| ())).expect("the files are valid"))
    })
});
