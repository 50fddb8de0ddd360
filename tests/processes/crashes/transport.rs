//! The transport between the nodes of a run: its lines in the topology file, and checks of its
//! sockets while the nodes run, and after their end.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::certificates::Certificates;
use super::loopback::host;
use super::roles;

/// The nodes from which others read.
const LISTENING: [&str; 2] = ["source", "processor"];

fn addresses() -> [String; 2] {
    LISTENING.map(|_| format!("{}:7400", host()))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    /// Shared memory, with Unix sockets for control.
    Memory,
    Unix,
    Tcp,
    /// TLS, if its feature is enabled.
    Tls,
}

impl FromStr for Transport {
    type Err = String;

    fn from_str(text: &str) -> Result<Transport, String> {
        match text {
            "shm" => Ok(Transport::Memory),
            "unix" => Ok(Transport::Unix),
            "tcp" => Ok(Transport::Tcp),
            "tls" if cfg!(feature = "tls") => Ok(Transport::Tls),
            "tls" => Err("`tls` needs the feature `tls`".to_owned()),
            _ => Err(format!("invalid transport `{text}`: expected `shm`, `unix`, `tcp` or `tls`")),
        }
    }
}

/// The addresses at which the nodes of a run listen.
pub(crate) enum Layout {
    /// Unix sockets in this directory.
    Sockets { directory: PathBuf, memory: bool },
    /// The addresses of the nodes in [`LISTENING`], and the certificates of all nodes.
    Addresses([String; 2], Option<Certificates>),
}

impl Layout {
    pub(crate) fn new(transport: Transport, place: &Path) -> Layout {
        let sockets = |memory| Layout::Sockets { directory: roles::sockets(place), memory };
        match transport {
            Transport::Memory => sockets(true),
            Transport::Unix => sockets(false),
            Transport::Tcp => Layout::Addresses(addresses(), None),
            Transport::Tls => {
                let directory = place.join("certificates");
                let nodes = ["source", "processor", "sink"];
                Layout::Addresses(addresses(), Some(Certificates::in_directory(&directory, &nodes)))
            }
        }
    }

    /// Returns the text of the topology file.
    pub(crate) fn topology(&self) -> String {
        let mut text = roles::TOPOLOGY.to_owned();
        let transport = match self {
            Layout::Sockets { memory: true, .. } => return text,
            Layout::Sockets { memory: false, .. } => "unix",
            Layout::Addresses(addresses, certificates) => {
                for (node, address) in LISTENING.iter().zip(addresses) {
                    let section = format!("[node.{node}]\n");
                    text = text.replace(&section, &format!("{section}address = \"{address}\"\n"));
                }
                match certificates {
                    Some(certificates) => {
                        text += &certificates.section();
                        "tls"
                    }
                    None => "tcp",
                }
            }
        };
        let section = "[link.default]\n";
        text.replace(section, &format!("{section}transport = \"{transport}\"\n"))
    }

    /// Checks that each listening node can be reached, even if its previous start has left a file.
    pub(crate) fn check_reachable(&self) {
        match self {
            Layout::Sockets { directory, .. } => {
                for member in LISTENING {
                    let path = directory.join(format!("{member}.sock"));
                    let found = fs::symlink_metadata(&path).unwrap();
                    assert!(found.file_type().is_socket());
                    UnixStream::connect(&path).unwrap();
                }
            }
            Layout::Addresses(addresses, _) => {
                addresses.iter().for_each(|address| drop(TcpStream::connect(address).unwrap()));
            }
        }
    }

    /// Checks that nothing of the nodes is left after their end.
    pub(crate) fn check_left(&self) {
        match self {
            Layout::Sockets { directory, .. } => {
                for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
                    assert!(!entry.file_type().unwrap().is_socket(), "{:?} is left", entry.path());
                }
            }
            Layout::Addresses(addresses, _) => {
                addresses.iter().for_each(|address| drop(TcpListener::bind(address).unwrap()));
            }
        }
    }
}
