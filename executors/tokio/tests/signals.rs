//! Signals, in a separate test program because they reach the whole process.
#![cfg(all(unix, not(miri)))]

use std::task::{Context, Waker};

use mycelium_executor::Executor;
use mycelium_tokio::Tokio;
use rustix::process::{Signal, getpid, kill_process};

#[tokio::test]
async fn both_ctrl_c_and_sigterm_interrupt() {
    let executor = Tokio::current().unwrap();
    for signal in [Signal::TERM, Signal::INT, Signal::TERM] {
        let mut interrupted = executor.interrupted();
        // From the first poll on, the signal does not end this process.
        let mut context = Context::from_waker(Waker::noop());
        assert!(interrupted.as_mut().poll(&mut context).is_pending());
        kill_process(getpid(), signal).unwrap();
        interrupted.await.unwrap();
    }
}
