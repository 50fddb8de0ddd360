//! Tests of tokio's particular behaviour, beyond the laws of executors.

use std::task::{Context, Poll, Waker};
use std::time::Duration;

use mycelium_executor::{Executor, SpawnError, bind_tcp};
use mycelium_tokio::{NoRuntime, Tokio, local};

#[tokio::test]
async fn an_executor_that_has_outlived_local_takes_no_local_task() {
    let executor = local(async |executor: Tokio| executor).await.unwrap();
    let refused = executor.spawn_local(Box::new(|| Box::pin(async {})));
    assert_eq!(refused, Err(SpawnError::Ended));
}

#[test]
fn outside_a_runtime_current_is_an_error() {
    assert_eq!(Tokio::current().unwrap_err(), NoRuntime);
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
    // The future is ready if the law of signals has just sent a signal to this process.
    let interrupted = executor.interrupted().as_mut().poll(&mut context);
    assert!(!matches!(interrupted, Poll::Ready(Err(_))), "{interrupted:?}");
    assert!(executor.sleep_until(Duration::MAX).as_mut().poll(&mut context).is_pending());
}
