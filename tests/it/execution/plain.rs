//! An executor with only the required methods.

use std::io;
use std::net::TcpListener;
#[cfg(unix)]
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, SystemTime};

use mycelium_executor::{Executor, Listener, SendFuture, SpawnError, Stream};
use mycelium_tokio::Tokio;

pub(crate) struct Plain {
    inner: Tokio,
    before_spawn: Box<dyn Fn() + Send + Sync>,
}

impl Plain {
    /// Called before each task that it takes.
    pub(crate) fn new(inner: Tokio, before_spawn: impl Fn() + Send + Sync + 'static) -> Plain {
        Plain { inner, before_spawn: Box::new(before_spawn) }
    }
}

impl Executor for Plain {
    fn name(&self) -> String {
        "plain".to_owned()
    }

    fn spawn(&self, task: SendFuture<()>) -> Result<(), SpawnError> {
        (self.before_spawn)();
        self.inner.spawn(task)
    }

    fn blocking(&self, work: Box<dyn FnOnce() + Send>) -> Result<(), SpawnError> {
        self.inner.blocking(work)
    }

    fn now(&self) -> Duration {
        self.inner.now()
    }

    fn sleep_until(&self, deadline: Duration) -> SendFuture<()> {
        self.inner.sleep_until(deadline)
    }

    fn wall_clock(&self) -> SystemTime {
        self.inner.wall_clock()
    }

    fn entropy(&self) -> u64 {
        self.inner.entropy()
    }

    fn connect(&self, address: String) -> SendFuture<io::Result<Stream>> {
        self.inner.connect(address)
    }

    fn tcp_listener(&self, socket: TcpListener) -> io::Result<Listener> {
        self.inner.tcp_listener(socket)
    }

    #[cfg(unix)]
    fn unix_stream(&self, socket: UnixStream) -> io::Result<Stream> {
        self.inner.unix_stream(socket)
    }

    #[cfg(unix)]
    fn unix_listener(&self, socket: UnixListener) -> io::Result<Listener> {
        self.inner.unix_listener(socket)
    }

    fn interrupted(&self) -> SendFuture<io::Result<()>> {
        self.inner.interrupted()
    }
}
