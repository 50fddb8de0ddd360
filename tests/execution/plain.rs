//! An executor that does what it must and nothing more.

use std::io;
#[cfg(unix)]
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, SystemTime};

use mycelium_executor::{Executor, Listener, SendFuture, SpawnError, Stream};
use mycelium_tokio::Tokio;

pub(crate) struct Plain(pub(crate) Tokio);

impl Executor for Plain {
    fn name(&self) -> String {
        "plain".to_owned()
    }

    fn spawn(&self, task: SendFuture<()>) -> Result<(), SpawnError> {
        self.0.spawn(task)
    }

    fn blocking(&self, work: Box<dyn FnOnce() + Send>) -> Result<(), SpawnError> {
        self.0.blocking(work)
    }

    fn now(&self) -> Duration {
        self.0.now()
    }

    fn sleep_until(&self, deadline: Duration) -> SendFuture<()> {
        self.0.sleep_until(deadline)
    }

    fn wall_clock(&self) -> SystemTime {
        self.0.wall_clock()
    }

    fn entropy(&self) -> u64 {
        self.0.entropy()
    }

    fn connect(&self, address: String) -> SendFuture<io::Result<Stream>> {
        self.0.connect(address)
    }

    fn listen(&self, address: String) -> SendFuture<io::Result<Listener>> {
        self.0.listen(address)
    }

    #[cfg(unix)]
    fn unix_stream(&self, socket: UnixStream) -> io::Result<Stream> {
        self.0.unix_stream(socket)
    }

    #[cfg(unix)]
    fn unix_listener(&self, socket: UnixListener) -> io::Result<Listener> {
        self.0.unix_listener(socket)
    }

    fn interrupted(&self) -> SendFuture<io::Result<()>> {
        self.0.interrupted()
    }
}
