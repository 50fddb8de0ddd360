//! Blocking work and name resolution on a pool of threads, one pool for the process, for adapters
//! whose runtime has no suitable one.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

use crate::thread::Thread;

/// Runs blocking work on a thread of the pool. A panic ends the work only.
///
/// The pool starts threads on demand and ends them when they have been idle for a while. They have
/// the process's cores and the normal class, independent of the calling thread.
pub fn run(work: Box<dyn FnOnce() + Send>) {
    blocking::unblock(unplaced(work)).detach();
}

/// Resolves `host:port` and connects to its addresses in turn, until one attempt succeeds.
///
/// # Errors
/// If the address is invalid or unknown, or the error of the last attempt.
pub async fn connect_first<T, F: Future<Output = io::Result<T>>>(
    address: String,
    mut connect: impl FnMut(SocketAddr) -> F,
) -> io::Result<T> {
    let addresses = match address.parse() {
        Ok(address) => vec![address],
        Err(_) => {
            let resolve = move || address.to_socket_addrs().map(Vec::from_iter);
            blocking::unblock(unplaced(resolve)).await?
        }
    };
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    for address in addresses {
        match connect(address).await {
            Ok(connected) => return Ok(connected),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Undoes the placement that the pool's thread inherited from the thread that started it.
fn unplaced<T>(work: impl FnOnce() -> T) -> impl FnOnce() -> T {
    || {
        // If the system refuses, the work runs where it is.
        let _ = Thread::default().apply_to_current();
        work()
    }
}
