//! TCP endpoints, which connect processes of several machines.
//!
//! A node may have several addresses. It listens at all of them, and a peer tries one after the
//! other. An address proves nothing: a peer over plain TCP may state any name.

use std::io;
use std::net::TcpListener;
use std::time::Duration;

use futures_util::future::{Either, select};
use mycelium_executor::{Executor, Listener, Stream, bind_tcp};

use super::error::BindError;

/// How long a peer waits for one address to accept before it tries the next.
const ATTEMPT: Duration = Duration::from_secs(5);

/// Listening TCP sockets, one for each address.
#[derive(Debug)]
pub struct BoundTcp {
    first: TcpListener,
    others: Vec<TcpListener>,
}

impl BoundTcp {
    /// Starts to listen at all addresses of `listen`, or of `addresses` if `listen` is empty.
    /// Resolving a host name blocks.
    ///
    /// # Errors
    /// If an address is in use, is invalid, or belongs to another machine; or if there is none.
    pub(super) fn bind(addresses: &[String], listen: &[String]) -> Result<BoundTcp, BindError> {
        let listen = if listen.is_empty() { addresses } else { listen };
        let bind = |address: &String| {
            bind_tcp(address).map_err(|error| BindError::Tcp { address: address.clone(), error })
        };
        let mut sockets = listen.iter().map(bind);
        let first = sockets.next().unwrap_or_else(|| bind(&String::new()))?;
        Ok(BoundTcp { first, others: sockets.collect::<Result<_, _>>()? })
    }

    /// Returns a listener that accepts the connections of all addresses on an executor.
    pub(super) fn listener(&self, executor: &dyn Executor) -> io::Result<Listener> {
        let adopt = |socket: &TcpListener| executor.tcp_listener(socket.try_clone()?);
        self.others.iter().try_fold(adopt(&self.first)?, |all, socket| Ok(all.and(adopt(socket)?)))
    }
}

/// Connects to the first of these addresses that accepts, and over which the connection can be
/// secured.
///
/// # Errors
/// If no address accepts: contains the error of each address.
pub(super) async fn connect<S: Future<Output = io::Result<Stream>> + Send>(
    addresses: &[String],
    executor: &dyn Executor,
    secure: impl Fn(Stream) -> S + Sync,
) -> io::Result<Stream> {
    let mut last = None;
    let mut texts = Vec::new();
    for address in addresses {
        let limit = executor.sleep_until(executor.now().saturating_add(ATTEMPT));
        let connected = match select(executor.connect(address.clone()), limit).await {
            Either::Left((connected, _)) => connected,
            Either::Right(_) => {
                let text = format!("no answer within {ATTEMPT:?}");
                Err(io::Error::new(io::ErrorKind::TimedOut, text))
            }
        };
        // Securing has its own time limit and error.
        let secured = match connected {
            Ok(stream) => secure(stream).await,
            Err(error) => Err(error),
        };
        let error = match secured {
            Ok(stream) => return Ok(stream),
            Err(error) => error,
        };
        texts.push(match error.kind() {
            io::ErrorKind::ConnectionRefused => {
                format!("no process listens at `{address}`: {error}")
            }
            _ => format!("`{address}`: {error}"),
        });
        last = Some(error.kind());
    }
    Err(io::Error::new(last.unwrap_or(io::ErrorKind::InvalidInput), texts.join("; ")))
}
