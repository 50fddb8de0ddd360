//! The default methods of `Executor`, on an executor that implements only the required methods.

use std::io;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use mycelium_core::wait::WaitStrategy;
use mycelium_executor::{
    Executor, SendFuture, SpawnError, Thread, ThreadError, bind_tcp, block_on,
};

struct Minimal;

impl Executor for Minimal {
    fn name(&self) -> String {
        "minimal".to_owned()
    }

    fn spawn(&self, _: SendFuture<()>) -> Result<(), SpawnError> {
        Err(SpawnError::Ended)
    }

    fn now(&self) -> Duration {
        Duration::ZERO
    }

    fn sleep_until(&self, _: Duration) -> SendFuture<()> {
        Box::pin(std::future::pending())
    }
}

#[test]
fn without_a_network_streams_and_listeners_are_errors_that_name_the_executor() {
    let listener = bind_tcp("127.0.0.1:0").unwrap();
    let socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let refused: [io::Error; 4] = [
        block_on(Minimal.connect("127.0.0.1:1".to_owned()), WaitStrategy::Park).unwrap_err(),
        Minimal.tcp_stream(socket).unwrap_err(),
        Minimal.tcp_listener(listener).unwrap_err(),
        Minimal.unix_stream(UnixStream::pair().unwrap().0).unwrap_err(),
    ];
    for error in refused {
        assert_eq!(error.kind(), io::ErrorKind::Unsupported);
        assert!(error.to_string().contains("`minimal` has no network"), "{error}");
    }
}

#[test]
fn without_threads_local_tasks_and_dedicated_threads_are_errors() {
    let local = Minimal.spawn_local(Box::new(|| Box::pin(async {})));
    assert_eq!(local, Err(SpawnError::LocalUnsupported));
    let dedicated = Minimal.dedicate(Thread::default(), Box::new(|_| Box::pin(async {})));
    assert!(matches!(dedicated, Err(ThreadError::Unsupported { .. })), "{dedicated:?}");
}

#[test]
fn signals_need_the_feature() {
    let polled = Minimal.interrupted().as_mut().poll(&mut Context::from_waker(Waker::noop()));
    if cfg!(feature = "signals") {
        assert!(polled.is_pending());
        return;
    }
    let Poll::Ready(Err(error)) = polled else { panic!("{polled:?}") };
    assert_eq!(error.kind(), io::ErrorKind::Unsupported);
    assert!(error.to_string().contains("feature `signals`"), "{error}");
}
