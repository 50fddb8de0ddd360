//! The executors that run the laws, and the streams under the links.

#[path = "../../examples/custom_executor/src/own_loop.rs"]
pub(crate) mod own_loop;
#[cfg(target_os = "linux")]
#[path = "../../executors/glommio/tests/it/subjects.rs"]
mod with_glommio;
#[path = "../../executors/smol/tests/it/subjects.rs"]
mod with_smol;
#[path = "../../executors/tokio/tests/it/subjects.rs"]
mod with_tokio;

use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;

use mycelium_executor::conformance::Subject;
use mycelium_executor::{Address, Credentials, Executor, MakeDedicated, Peer, Stream};
use mycelium_transports::conformance::{StreamPair, TestExecutor};
use own_loop::OwnLoop;
#[cfg(target_os = "linux")]
use with_glommio::GlommioOne;
use with_smol::{SmolMany, SmolOne};
use with_tokio::{TokioMany, TokioOne};

/// Returns the executors with a network.
pub(crate) fn adapters() -> Vec<TestExecutor> {
    vec![
        TestExecutor::of::<TokioOne>(),
        TestExecutor::of::<TokioMany>(),
        TestExecutor::of::<SmolOne>(),
        TestExecutor::of::<SmolMany>(),
        #[cfg(target_os = "linux")]
        TestExecutor::of::<GlommioOne>(),
        TestExecutor::of::<Fourth>(),
    ]
}

/// Returns the executors without a network, which run only the local transport.
pub(crate) fn without_network() -> Vec<TestExecutor> {
    vec![TestExecutor::of::<Own>()]
}

/// The adapter of the example: one thread per task.
struct Fourth;

impl Subject for Fourth {
    const NAME: &'static str = "fourth";

    fn run(body: MakeDedicated) {
        fourth_adapter::run(|threads| body(Arc::new(threads)));
    }
}

/// The hand-written loop of the example.
struct Own;

impl Subject for Own {
    const NAME: &'static str = "own-loop";

    fn run(body: MakeDedicated) {
        let own = OwnLoop::new();
        own.run(body(Arc::new(own.clone())));
    }
}

/// Unix sockets under a link.
pub(crate) struct UnixSockets;

impl StreamPair for UnixSockets {
    type Socket = UnixStream;
    const NAME: &'static str = "link";

    fn connect() -> io::Result<(UnixStream, UnixStream)> {
        UnixStream::pair()
    }

    fn cut(socket: &UnixStream) -> io::Result<Box<dyn FnOnce() + Send>> {
        let socket = socket.try_clone()?;
        // The shutdown fails if the connection has already ended; that is fine.
        Ok(Box::new(move || _ = socket.shutdown(Shutdown::Both)))
    }

    fn stream(executor: &dyn Executor, socket: UnixStream) -> io::Result<Stream> {
        executor.unix_stream(socket)
    }

    fn peer() -> (Address, Peer) {
        let credentials = Credentials { process: None, user: 0, group: 0 };
        (Address::Unix(PathBuf::new()), Peer::Unix(credentials))
    }
}

/// TCP sockets under a link.
pub(crate) struct TcpSockets;

impl StreamPair for TcpSockets {
    type Socket = TcpStream;
    const NAME: &'static str = "tcp";

    fn connect() -> io::Result<(TcpStream, TcpStream)> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let near = TcpStream::connect(listener.local_addr()?)?;
        Ok((near, listener.accept()?.0))
    }

    fn cut(socket: &TcpStream) -> io::Result<Box<dyn FnOnce() + Send>> {
        let socket = socket.try_clone()?;
        // The shutdown fails if the connection has already ended; that is fine.
        Ok(Box::new(move || _ = socket.shutdown(Shutdown::Both)))
    }

    fn stream(executor: &dyn Executor, socket: TcpStream) -> io::Result<Stream> {
        executor.tcp_stream(socket)
    }

    fn peer() -> (Address, Peer) {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        (Address::Tcp(address), Peer::Tcp(address))
    }
}
