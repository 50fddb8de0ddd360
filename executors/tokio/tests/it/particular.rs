//! Tests of tokio's particular behaviour, beyond the laws of executors.

use std::future::poll_fn;
use std::io::IoSlice;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::mpsc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use mycelium_executor::{Executor, SpawnError, bind_tcp};
use mycelium_tokio::{NoRuntime, Tokio, local};

#[tokio::test]
async fn one_vectored_write_writes_every_buffer() {
    let executor = Tokio::current().unwrap();
    let mut listener = executor.tcp_listener(bind_tcp("127.0.0.1:0").unwrap()).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut client = executor.connect(address).await.unwrap();
    let (mut server, _) = listener.accept().await.unwrap();

    let parts = [[1u8; 100], [2; 100], [3; 100]];
    let slices: Vec<_> = parts.iter().map(|part| IoSlice::new(part)).collect();
    let written = poll_fn(|context| Pin::new(&mut client).poll_write_vectored(context, &slices));
    assert_eq!(written.await.unwrap(), 300);

    client.close().await.unwrap();
    let mut received = Vec::new();
    server.read_to_end(&mut received).await.unwrap();
    assert_eq!(received, parts.concat());
}

#[tokio::test]
async fn local_futures_run_only_where_they_can() {
    let refused = Tokio::current().unwrap().spawn_local(Box::new(|| Box::pin(async {})));
    assert_eq!(refused, Err(SpawnError::LocalUnsupported));

    let (done, finished) = mpsc::channel();
    let executor = local(async |executor: Tokio| {
        let make = move || {
            let shared = Rc::new(7);
            Box::pin(async move {
                tokio::task::yield_now().await;
                done.send(*shared).unwrap();
            }) as Pin<Box<dyn Future<Output = ()>>>
        };
        executor.spawn_local(Box::new(make)).unwrap();
        executor.sleep_until(executor.now() + Duration::from_millis(1)).await;
        let elsewhere = executor.clone();
        let refused =
            std::thread::spawn(move || elsewhere.spawn_local(Box::new(|| Box::pin(async {}))));
        assert_eq!(refused.join().unwrap(), Err(SpawnError::WrongThread));
        executor
    })
    .await
    .unwrap();
    assert_eq!(finished.try_recv(), Ok(7));
    let refused = executor.spawn_local(Box::new(|| Box::pin(async {})));
    assert_eq!(refused, Err(SpawnError::Ended), "the executor has outlived `local`");
}

#[test]
fn outside_a_runtime_current_is_an_error() {
    assert_eq!(Tokio::current().unwrap_err(), NoRuntime);
}

#[test]
fn an_ended_runtime_refuses_everything_without_a_panic() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let executor = runtime.block_on(async { Tokio::current().unwrap() });
    drop(runtime);
    assert_eq!(executor.spawn(Box::pin(async {})), Err(SpawnError::Ended));
    assert_eq!(executor.blocking(Box::new(|| {})), Err(SpawnError::Ended));
    #[cfg(unix)]
    {
        let (socket, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        assert!(executor.unix_stream(socket).is_err());
    }
    assert!(executor.tcp_listener(bind_tcp("127.0.0.1:0").unwrap()).is_err());
}

#[test]
fn futures_may_be_polled_outside_the_runtime() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let executor = runtime.block_on(async { Tokio::current().unwrap() });
    let mut context = Context::from_waker(Waker::noop());
    let address = {
        let listener = executor.tcp_listener(bind_tcp("127.0.0.1:0").unwrap()).unwrap();
        listener.local_addr().unwrap().to_string()
    };
    assert!(pollster::block_on(executor.connect(address)).is_err(), "the listener is closed");
    // Ready if the law about signals has just sent one to this process.
    let interrupted = executor.interrupted().as_mut().poll(&mut context);
    assert!(!matches!(interrupted, Poll::Ready(Err(_))), "{interrupted:?}");
    assert!(executor.sleep_until(Duration::MAX).as_mut().poll(&mut context).is_pending());
}
