//! Where the server of a test listens: tests of hostile peers run over each carrier by the same
//! code.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use mycelium_transports::endpoint::{Access, Endpoint, unix};

#[cfg(feature = "tls")]
use super::tls::{self, TlsSocket};

/// The kind of socket of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carrier {
    Unix,
    Tcp,
    #[cfg(feature = "tls")]
    Tls,
}

/// The address of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Unix(PathBuf),
    Tcp(String),
    /// An address, and the directory of the certificates.
    #[cfg(feature = "tls")]
    Tls(String, PathBuf),
}

impl Place {
    pub(crate) fn endpoint(&self) -> Endpoint {
        match self {
            Place::Unix(path) => Endpoint::unix(path, Access::default()),
            Place::Tcp(address) => {
                Endpoint::Tcp { addresses: vec![address.clone()], listen: Vec::new() }
            }
            #[cfg(feature = "tls")]
            Place::Tls(address, directory) => tls::endpoint(address, directory),
        }
    }

    /// A connection that does not block, except for a handshake of TLS.
    pub(crate) fn open(&self) -> io::Result<Socket> {
        match self {
            Place::Unix(path) => unix::connect(path).map(Socket::Unix),
            Place::Tcp(address) => {
                let socket = TcpStream::connect(address)?;
                socket.set_nonblocking(true)?;
                Ok(Socket::Tcp(socket))
            }
            #[cfg(feature = "tls")]
            Place::Tls(address, directory) => TlsSocket::open(address, directory).map(Socket::Tls),
        }
    }

    /// Whether a process listens there.
    pub(crate) fn is_served(&self) -> bool {
        match self {
            Place::Unix(path) => UnixStream::connect(path).is_ok(),
            Place::Tcp(address) => TcpStream::connect(address).is_ok(),
            #[cfg(feature = "tls")]
            Place::Tls(address, _) => TcpStream::connect(address).is_ok(),
        }
    }
}

impl From<&Path> for Place {
    fn from(path: &Path) -> Place {
        Place::Unix(path.to_owned())
    }
}

impl From<&PathBuf> for Place {
    fn from(path: &PathBuf) -> Place {
        Place::Unix(path.clone())
    }
}

impl From<&Place> for Place {
    fn from(place: &Place) -> Place {
        place.clone()
    }
}

/// The form in which a child process gets it.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Unix(path) => write!(f, "unix={}", path.display()),
            Place::Tcp(address) => write!(f, "tcp={address}"),
            #[cfg(feature = "tls")]
            Place::Tls(address, directory) => write!(f, "{}={address}", directory.display()),
        }
    }
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Place, String> {
        match text.split_once('=') {
            Some(("unix", path)) => Ok(Place::Unix(path.into())),
            Some(("tcp", address)) => Ok(Place::Tcp(address.to_owned())),
            #[cfg(feature = "tls")]
            Some((directory, address)) => Ok(Place::Tls(address.to_owned(), directory.into())),
            _ => Err(format!("invalid place `{text}`")),
        }
    }
}

/// A connection without an executor, which does not block.
#[derive(Debug)]
pub(crate) enum Socket {
    Unix(UnixStream),
    Tcp(TcpStream),
    #[cfg(feature = "tls")]
    Tls(TlsSocket),
}

impl Socket {
    /// Reads the bytes that have arrived. Returns whether the connection is open.
    pub(crate) fn hear(&mut self) -> bool {
        let mut bytes = [0; 4096];
        loop {
            match self.read(&mut bytes) {
                Ok(0) => return false,
                Ok(_) => {}
                Err(error) => return error.kind() == ErrorKind::WouldBlock,
            }
        }
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Socket::Unix(socket) => socket.read(buffer),
            Socket::Tcp(socket) => socket.read(buffer),
            #[cfg(feature = "tls")]
            Socket::Tls(socket) => socket.read(buffer),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match self {
            Socket::Unix(socket) => socket.write(buffer),
            Socket::Tcp(socket) => socket.write(buffer),
            #[cfg(feature = "tls")]
            Socket::Tls(socket) => socket.write(buffer),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Makes a test of each of these functions over Unix sockets, TCP and TLS, such as
/// `over_tcp::name`. The tokens before a name are the attribute of its tests.
macro_rules! over_each_carrier {
    ($($(#[$test:meta])+ $name:ident;)+) => {
        mod over_unix {
            $($(#[$test])+ async fn $name() { super::$name(crate::exchange::harness::Carrier::Unix).await })+
        }
        mod over_tcp {
            $($(#[$test])+ async fn $name() { super::$name(crate::exchange::harness::Carrier::Tcp).await })+
        }
        #[cfg(feature = "tls")]
        mod over_tls {
            $($(#[$test])+ async fn $name() { super::$name(crate::exchange::harness::Carrier::Tls).await })+
        }
    };
}
pub(crate) use over_each_carrier;
