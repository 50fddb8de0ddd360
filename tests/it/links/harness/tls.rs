//! TLS for the tests: all peers share one certificate, with the server's name.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use futures_rustls::rustls::{ClientConnection, StreamOwned};
use mycelium_transports::endpoint::Endpoint;
use mycelium_transports::tls::Tls;

use super::PATIENCE;
use crate::certificates::{self, Certificates, raw};

/// The name in the certificate.
const NODE: &str = "there";

/// Writes the files of the certificate to a directory, which the caller removes.
pub(super) fn write_files(directory: &Path) {
    std::mem::forget(Certificates::in_directory(directory, &[NODE]));
}

/// Returns the endpoint of an address, with the files of a directory.
pub(super) fn endpoint(address: &str, directory: &Path) -> Endpoint {
    let files = certificates::of_node(directory, NODE);
    let tls = Arc::new(Tls::load(NODE, files, Box::new(|_| ())).unwrap());
    let (addresses, listen, node) = (vec![address.to_owned()], Vec::new(), NODE.to_owned());
    Endpoint::Tls { addresses, listen, node, tls, handshake: PATIENCE }
}

/// A client without our code. Its first read or write does the whole handshake and blocks until it
/// has ended; nothing else blocks.
#[derive(Debug)]
pub(crate) struct TlsSocket(Box<StreamOwned<ClientConnection, TcpStream>>);

impl TlsSocket {
    pub(super) fn open(address: &str, directory: &Path) -> io::Result<TlsSocket> {
        let socket = TcpStream::connect(address)?;
        let (imports, name) = (raw::client(directory, NODE), NODE.try_into().unwrap());
        let connection = ClientConnection::new(imports, name).unwrap();
        Ok(TlsSocket(Box::new(StreamOwned::new(connection, socket))))
    }

    /// Returns the stream after the handshake.
    fn secured(&mut self) -> io::Result<&mut StreamOwned<ClientConnection, TcpStream>> {
        let StreamOwned { conn, sock } = &mut *self.0;
        if conn.is_handshaking() {
            conn.complete_io(sock)?;
            sock.set_nonblocking(true)?;
        }
        Ok(&mut self.0)
    }
}

impl Read for TlsSocket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.secured()?.read(buffer)
    }
}

impl Write for TlsSocket {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.secured()?.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.secured()?.flush()
    }
}
