//! One pool of threads in the process for work that blocks, for adapters whose runtime has none that fits.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

use crate::thread::Thread;

/// Runs work that blocks on a thread of the pool. A panic ends the work only.
///
/// The threads are started on demand, and end when they have been idle for a while. Each is as all others of the process,
/// whatever cores and class the caller's has.
pub fn run(work: Box<dyn FnOnce() + Send>) {
    blocking::unblock(as_all_others(work)).detach();
}

/// The addresses that `host:port` stands for.
///
/// # Errors
/// If the words are no address, or the system knows no such host.
pub async fn addresses(address: String) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = address.parse() {
        return Ok(vec![address]);
    }
    let resolve = move || address.to_socket_addrs().map(Iterator::collect);
    blocking::unblock(as_all_others(resolve)).await
}

fn as_all_others<T>(work: impl FnOnce() -> T) -> impl FnOnce() -> T {
    || {
        // Refused, it blocks where it is.
        let _ = Thread::default().apply_to_current();
        work()
    }
}
