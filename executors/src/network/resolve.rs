//! Resolves host names, on threads of their own.
//!
//! The system's resolver blocks, for half a minute if no server answers, and cannot be stopped. So
//! each name is resolved on its own thread, which belongs to no executor: neither the end of a
//! runtime nor its blocking work waits for it. Tasks that need the same name at the same time share
//! one lookup, so a name has at most one thread, however many connects need it. Results are not
//! kept, so the next attempt sees a new address.

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::thread::Thread;

/// Resolves `host:port` and connects to its addresses in turn, until one attempt succeeds.
/// `connect` is the runtime's attempt to connect to one address.
///
/// A numeric address is not resolved. The future may be dropped at any time.
///
/// ```
/// use std::net::{TcpListener, TcpStream};
///
/// use mycelium_core::wait::WaitStrategy;
/// use mycelium_executor::{block_on, connect_first};
///
/// # // Miri isolates programs from the network.
/// # if cfg!(miri) { return Ok(()) }
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let address = listener.local_addr()?.to_string();
/// let connect = |address| async move { TcpStream::connect(address) };
/// let connecting = connect_first(address, connect);
/// let stream = block_on(connecting, WaitStrategy::Park)?;
/// assert_eq!(stream.peer_addr()?, listener.local_addr()?);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
/// If the address is invalid or unknown, or the error of the last attempt.
pub async fn connect_first<T, F: Future<Output = io::Result<T>>>(
    address: String,
    mut connect: impl FnMut(SocketAddr) -> F,
) -> io::Result<T> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    for address in resolve(&address).await? {
        match connect(address).await {
            Ok(connected) => return Ok(connected),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Resolves `host:port` to all addresses of the host, in the order in which the system returns
/// them. The future may be dropped at any time.
async fn resolve(address: &str) -> io::Result<Vec<SocketAddr>> {
    match address.parse() {
        Ok(address) => Ok(vec![address]),
        Err(_) => SYSTEM.resolve(address, system)?.await,
    }
}

static SYSTEM: Resolver = Resolver { pending: Mutex::new(BTreeMap::new()) };

fn system(address: &str) -> io::Result<Vec<SocketAddr>> {
    address.to_socket_addrs().map(Vec::from_iter)
}

/// The lookups in progress.
struct Resolver {
    pending: Mutex<BTreeMap<String, Arc<Lookup>>>,
}

impl Resolver {
    /// Joins the lookup of this address, or starts one.
    ///
    /// # Errors
    /// If the system has no thread left.
    fn resolve(
        &'static self,
        address: &str,
        look_up: impl FnOnce(&str) -> io::Result<Vec<SocketAddr>> + Send + 'static,
    ) -> io::Result<Resolving> {
        let mut pending = lock(&self.pending);
        if let Some(lookup) = pending.get(address) {
            return Ok(Resolving::new(lookup));
        }
        let (lookup, name) = (Arc::<Lookup>::default(), address.to_owned());
        let (own, key) = (lookup.clone(), address.to_owned());
        std::thread::Builder::new().name("resolver".to_owned()).spawn(move || {
            // The new thread must not inherit the placement of the thread that started it.
            let _ = Thread::default().apply_to_current();
            let found = look_up(&name);
            // From now on another attempt starts a new lookup.
            lock(&self.pending).remove(&name);
            own.end(found);
        })?;
        pending.insert(key, lookup.clone());
        Ok(Resolving::new(&lookup))
    }
}

/// One call of the resolver.
#[derive(Default)]
struct Lookup(Mutex<LookupState>);

#[derive(Default)]
struct LookupState {
    /// The result. An error is stored as its kind and text, because all waiting tasks get it.
    found: Option<Result<Vec<SocketAddr>, (io::ErrorKind, String)>>,
    waiting: BTreeMap<u64, Waker>,
    last: u64,
}

impl Lookup {
    fn end(&self, found: io::Result<Vec<SocketAddr>>) {
        let mut state = lock(&self.0);
        state.found = Some(found.map_err(|error| (error.kind(), error.to_string())));
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        waiting.into_values().for_each(Waker::wake);
    }
}

/// Waits for a lookup.
struct Resolving {
    lookup: Arc<Lookup>,
    number: u64,
}

impl Resolving {
    fn new(lookup: &Arc<Lookup>) -> Resolving {
        let mut state = lock(&lookup.0);
        state.last += 1;
        Resolving { lookup: lookup.clone(), number: state.last }
    }
}

impl Future for Resolving {
    type Output = io::Result<Vec<SocketAddr>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = lock(&self.lookup.0);
        match &state.found {
            Some(Ok(addresses)) => Poll::Ready(Ok(addresses.clone())),
            Some(Err((kind, text))) => Poll::Ready(Err(io::Error::new(*kind, text.clone()))),
            None => {
                state.waiting.insert(self.number, context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for Resolving {
    fn drop(&mut self) {
        lock(&self.lookup.0).waiting.remove(&self.number);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
