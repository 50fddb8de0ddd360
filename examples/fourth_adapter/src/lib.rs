//! An adapter that was written from the documents alone: one thread per task, blocked by
//! `pollster`, with timers and sockets of `async-io`. [`run`] runs a future with such an executor.
#![cfg(unix)]

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::thread::{self, ThreadId};
use std::time::Duration;

use async_io::{Async, Timer};
use event_listener::Event;
use futures_channel::mpsc::{UnboundedSender, unbounded};
use futures_util::future::select;
use futures_util::stream::{FuturesUnordered, StreamExt};
use mycelium_executor::{
    Clock, Executor, GrantedPlacement, Listener, LocalFuture, MakeDedicated, MakeLocal, SendFuture,
    SpawnError, Stream, Thread, ThreadError, connect_first, contain, pool, prepare_tcp,
};

/// One thread per task. Local tasks run on the thread that [`run`] blocks.
#[derive(Clone, Debug)]
pub struct Threads {
    clock: Clock,
    local_thread: ThreadId,
    end: Arc<(AtomicBool, Event)>,
}

thread_local! {
    /// Takes local tasks of the executor whose [`run`] blocks this thread.
    static LOCAL: RefCell<Option<UnboundedSender<LocalFuture<()>>>> = const { RefCell::new(None) };
}

/// Runs a future to its end. The tasks that it has spawned end with it.
pub fn run(body: impl FnOnce(Threads) -> LocalFuture<()>) {
    let (local_thread, end) = (thread::current().id(), Arc::default());
    let threads = Threads { clock: Clock::start(), local_thread, end };
    let _end = EndOnDrop(threads.clone());
    let (spawn, mut spawned) = unbounded();
    LOCAL.set(Some(spawn));
    let (mut body, mut tasks) = (body(threads), FuturesUnordered::new());
    pollster::block_on(poll_fn(|context| {
        loop {
            while let Poll::Ready(Some(task)) = spawned.poll_next_unpin(context) {
                tasks.push(task);
            }
            if body.as_mut().poll(context).is_ready() {
                return Poll::Ready(());
            }
            if !matches!(tasks.poll_next_unpin(context), Poll::Ready(Some(()))) {
                return Poll::Pending;
            }
        }
    }));
}

/// Ends its executor when dropped, also after a panic of the future.
struct EndOnDrop(Threads);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        LOCAL.set(None);
        self.0.end.0.store(true, Ordering::SeqCst);
        self.0.end.1.notify(usize::MAX);
    }
}

impl Executor for Threads {
    fn name(&self) -> String {
        "threads, one per task".to_owned()
    }

    fn spawn(&self, task: SendFuture<()>) -> Result<(), SpawnError> {
        let (task, end) = (contain(task), self.end.1.listen());
        if self.end.0.load(Ordering::SeqCst) {
            return Err(SpawnError::Ended);
        }
        let until_end = move || _ = pollster::block_on(select(pin!(task), end));
        let thread = Thread { name: "task".to_owned(), ..Thread::default() };
        thread.start(|| Ok(until_end)).map(drop).map_err(|_| SpawnError::NoThread)
    }

    fn runs_local(&self) -> bool {
        true
    }

    fn spawn_local(&self, make: MakeLocal) -> Result<(), SpawnError> {
        if self.local_thread != thread::current().id() {
            return Err(SpawnError::WrongThread);
        }
        let spawn = LOCAL.with_borrow(Clone::clone).ok_or(SpawnError::Ended)?;
        spawn.unbounded_send(Box::pin(contain(make()))).map_err(|_| SpawnError::Ended)
    }

    fn dedicate(
        &self,
        thread: Thread,
        make: MakeDedicated,
    ) -> Result<GrantedPlacement, ThreadError> {
        let (_, granted) = thread.start(|| Ok(|| run(|own| make(Arc::new(own)))))?;
        Ok(granted)
    }

    fn blocking(&self, work: Box<dyn FnOnce() + Send>) -> Result<(), SpawnError> {
        if self.end.0.load(Ordering::SeqCst) {
            return Err(SpawnError::Ended);
        }
        pool::run(work);
        Ok(())
    }

    fn now(&self) -> Duration {
        self.clock.now()
    }

    fn sleep_until(&self, deadline: Duration) -> SendFuture<()> {
        self.clock.sleep_until(deadline, async |at| _ = Timer::at(at).await)
    }

    fn connect(&self, address: String) -> SendFuture<io::Result<Stream>> {
        Box::pin(async { tcp_stream(connect_first(address, Async::<TcpStream>::connect).await?) })
    }

    fn tcp_stream(&self, socket: TcpStream) -> io::Result<Stream> {
        tcp_stream(Async::new(socket)?)
    }

    fn tcp_listener(&self, socket: TcpListener) -> io::Result<Listener> {
        let adopt = |socket| tcp_stream(Async::new(socket)?);
        Ok(Listener::watching(Async::new(socket)?, |socket, cx| socket.poll_readable(cx), adopt))
    }

    fn unix_stream(&self, socket: UnixStream) -> io::Result<Stream> {
        unix_stream(socket)
    }

    fn unix_listener(&self, socket: UnixListener) -> io::Result<Listener> {
        let socket = Async::new(socket)?;
        Ok(Listener::watching(socket, |socket, cx| socket.poll_readable(cx), unix_stream))
    }
}

fn tcp_stream(stream: Async<TcpStream>) -> io::Result<Stream> {
    prepare_tcp(stream.get_ref())?;
    // `async-io` does not shut down the write direction when a stream is closed.
    Ok(Stream::closing(stream, |stream| stream.get_ref().shutdown(Shutdown::Write)))
}

fn unix_stream(socket: UnixStream) -> io::Result<Stream> {
    Ok(Stream::closing(Async::new(socket)?, |socket| socket.get_ref().shutdown(Shutdown::Write)))
}
