//! Helpers of listeners that have too many connections: [`oldest_of_most`] chooses the connection
//! to evict, and a [`SpareDescriptor`] shows whether a peer waits when the system has no descriptor
//! left.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::net::IpAddr;

use mycelium_executor::Peer;

/// Returns the oldest connection of the process or address that has the most connections. The
/// connections must be sorted by age, the oldest first.
pub fn oldest_of_most<T>(
    mut connections: impl Iterator<Item = T> + Clone,
    peer: impl Fn(&T) -> &Peer,
) -> Option<T> {
    let mut counts: BTreeMap<Source, usize> = BTreeMap::new();
    for connection in connections.clone() {
        *counts.entry(Source::of(peer(&connection))).or_default() += 1;
    }
    let most = counts.values().max()?;
    let is_most = |connection: &T| counts.get(&Source::of(peer(connection))) == Some(most);
    connections.find(is_most)
}

/// The origin of connections, by which they are counted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    Process(u32),
    /// An address may stand for many processes, so there is no limit for each address.
    Address(IpAddr),
    Unknown,
}

impl Source {
    fn of(peer: &Peer) -> Source {
        match (process(peer), peer) {
            (Some(process), _) => Source::Process(process),
            (None, Peer::Tcp(address)) => Source::Address(address.ip().to_canonical()),
            (None, _) => Source::Unknown,
        }
    }
}

/// Returns the process at the other end, if the system reports it.
pub(crate) fn process(peer: &Peer) -> Option<u32> {
    match peer {
        Peer::Unix(credentials) => credentials.process,
        _ => None,
    }
}

/// A descriptor that is kept for the next connection when the system has no other. `accept` fails
/// for lack of a descriptor before it looks for a peer, so without the spare one a listener could
/// not know whether a peer waits, and would evict each connection that took the last descriptor.
#[derive(Debug)]
pub struct SpareDescriptor(Option<File>);

impl SpareDescriptor {
    /// Opens the spare descriptor, if the system has one left.
    #[must_use]
    pub fn new() -> SpareDescriptor {
        SpareDescriptor(open().ok())
    }

    /// Closes the descriptor, so that the next connection can use it. Returns false if it was
    /// closed already.
    #[must_use]
    pub fn give(&mut self) -> bool {
        self.0.take().is_some()
    }

    /// Opens the descriptor again, if it was closed. Returns false if the system has none left.
    #[must_use]
    pub fn restore(&mut self) -> bool {
        if self.0.is_some() {
            return true;
        }
        let opened = open();
        let is_short = opened.as_ref().is_err_and(is_shortage);
        self.0 = opened.ok();
        !is_short
    }
}

impl Default for SpareDescriptor {
    fn default() -> SpareDescriptor {
        SpareDescriptor::new()
    }
}

fn open() -> io::Result<File> {
    File::open(if cfg!(windows) { "NUL" } else { "/dev/null" })
}

/// Whether the system has no descriptor or memory for another connection.
#[must_use]
pub fn is_shortage(error: &io::Error) -> bool {
    #[cfg(target_os = "linux")]
    {
        use rustix::io::Errno;
        let shortages = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
        Errno::from_io_error(error).is_some_and(|error| shortages.contains(&error))
    }
    #[cfg(not(target_os = "linux"))]
    {
        error.kind() == io::ErrorKind::OutOfMemory
    }
}
