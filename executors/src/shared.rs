//! An executor that several hold is one.

use std::io;
#[cfg(unix)]
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::{
    Executor, GrantedPlacement, Listener, MakeDedicated, MakeLocal, SendFuture, SpawnError, Stream,
    Thread, ThreadError,
};

impl<E: Executor + ?Sized> Executor for Arc<E> {
    fn name(&self) -> String {
        (**self).name()
    }

    fn spawn(&self, task: SendFuture<()>) -> Result<(), SpawnError> {
        (**self).spawn(task)
    }

    fn runs_local(&self) -> bool {
        (**self).runs_local()
    }

    fn spawn_local(&self, make: MakeLocal) -> Result<(), SpawnError> {
        (**self).spawn_local(make)
    }

    fn dedicate(
        &self,
        thread: Thread,
        make: MakeDedicated,
    ) -> Result<GrantedPlacement, ThreadError> {
        (**self).dedicate(thread, make)
    }

    fn blocking(&self, work: Box<dyn FnOnce() + Send>) -> Result<(), SpawnError> {
        (**self).blocking(work)
    }

    fn now(&self) -> Duration {
        (**self).now()
    }

    fn sleep_until(&self, deadline: Duration) -> SendFuture<()> {
        (**self).sleep_until(deadline)
    }

    fn wall_clock(&self) -> SystemTime {
        (**self).wall_clock()
    }

    fn entropy(&self) -> u64 {
        (**self).entropy()
    }

    fn connect(&self, address: String) -> SendFuture<io::Result<Stream>> {
        (**self).connect(address)
    }

    fn listen(&self, address: String) -> SendFuture<io::Result<Listener>> {
        (**self).listen(address)
    }

    #[cfg(unix)]
    fn unix_stream(&self, socket: UnixStream) -> io::Result<Stream> {
        (**self).unix_stream(socket)
    }

    #[cfg(unix)]
    fn unix_listener(&self, socket: UnixListener) -> io::Result<Listener> {
        (**self).unix_listener(socket)
    }

    fn interrupted(&self) -> SendFuture<io::Result<()>> {
        (**self).interrupted()
    }
}
