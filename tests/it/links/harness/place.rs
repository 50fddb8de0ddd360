//! Where the server of a test listens. With it, the tests of hostile peers run over each carrier.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

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
pub(crate) struct Place {
    pub(super) carrier: Carrier,
    /// The network address, or the path of the socket.
    pub(super) address: String,
    /// The directory of the certificates, for TLS.
    pub(super) directory: PathBuf,
}

impl Place {
    pub(crate) fn endpoint(&self) -> Endpoint {
        let address = self.address.clone();
        match self.carrier {
            Carrier::Unix => Endpoint::unix(address, Access::default()),
            Carrier::Tcp => Endpoint::Tcp { addresses: vec![address], listen: Vec::new() },
            #[cfg(feature = "tls")]
            Carrier::Tls => tls::endpoint(&address, &self.directory),
        }
    }

    /// Opens a connection, which blocks only in a TLS handshake.
    pub(crate) fn open(&self) -> io::Result<Box<dyn Socket>> {
        match self.carrier {
            Carrier::Unix => Ok(Box::new(unix::connect(Path::new(&self.address))?)),
            Carrier::Tcp => {
                let socket = TcpStream::connect(&self.address)?;
                socket.set_nonblocking(true)?;
                Ok(Box::new(socket))
            }
            #[cfg(feature = "tls")]
            Carrier::Tls => Ok(Box::new(TlsSocket::open(&self.address, &self.directory)?)),
        }
    }

    /// Returns whether a process listens here.
    pub(crate) fn is_served(&self) -> bool {
        match self.carrier {
            Carrier::Unix => UnixStream::connect(&self.address).is_ok(),
            _ => TcpStream::connect(&self.address).is_ok(),
        }
    }

    /// Parses the text that a child process got.
    pub(super) fn parse(text: &str) -> Place {
        let [carrier, address, directory] = text.split(' ').collect::<Vec<_>>()[..] else {
            panic!("invalid place `{text}`")
        };
        let carrier = match carrier {
            "Unix" => Carrier::Unix,
            #[cfg(feature = "tls")]
            "Tls" => Carrier::Tls,
            _ => Carrier::Tcp,
        };
        Place { carrier, address: address.to_owned(), directory: directory.into() }
    }
}

/// Formats the place for a child process; `parse` reads it.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {} {}", self.carrier, self.address, self.directory.display())
    }
}

/// A non-blocking connection that needs no executor.
pub(crate) trait Socket: Read + Write {
    /// Reads the bytes that have arrived. Returns whether the connection is open.
    fn hear(&mut self) -> bool {
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

impl<S: Read + Write> Socket for S {}

/// Makes a test of each of these functions over Unix sockets, TCP and TLS, such as
/// `over_tcp::name`. The tokens before the names are the attribute of each test.
macro_rules! over_each_carrier {
    (#[$test:meta] $($name:ident;)+) => {
        mod over_unix {
            $(#[$test] async fn $name() { super::$name(crate::links::harness::Carrier::Unix).await })+
        }
        mod over_tcp {
            $(#[$test] async fn $name() { super::$name(crate::links::harness::Carrier::Tcp).await })+
        }
        #[cfg(feature = "tls")]
        mod over_tls {
            $(#[$test] async fn $name() { super::$name(crate::links::harness::Carrier::Tls).await })+
        }
    };
}
pub(crate) use over_each_carrier;
