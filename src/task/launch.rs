//! Creates the task of a service or an actor: a `Send` task if its type allows that, otherwise a
//! local one.
//!
//! The macro decides this at the concrete type, which the compiler knows there. Of two traits with
//! the same method, method resolution prefers the impl that needs no further reference, and that
//! impl exists for `Send` futures only.
#![expect(missing_docs, reason = "what the macro writes, hidden from users")]

use std::future::poll_fn;
use std::marker::PhantomData;
use std::sync::Arc;
use std::task::Poll;

use mycelium_executor::{LocalFuture, SendFuture};
use mycelium_transports::local::TaskBudget;

use crate::error::{Error, Result};

/// Returns the result of `run`, with its error converted to [`Error`].
pub fn outcome<E: Into<Error>>(result: Result<(), E>) -> Result<()> {
    result.map_err(Into::into)
}

/// Creates the task of a *life*, the value with which a service or an actor runs from its start to
/// its end. The task runs on any thread, or on the thread where it is created.
pub enum Launch<L> {
    Send(Box<dyn FnOnce(L) -> SendFuture<()> + Send>),
    Local(Box<dyn FnOnce(L) -> LocalFuture<()> + Send>),
}

impl<L: 'static> Launch<L> {
    #[must_use]
    pub fn send<F: Future<Output = ()> + Send + 'static>(
        run: impl FnOnce(L) -> F + Send + 'static,
    ) -> Launch<L> {
        Launch::Send(Box::new(move |life| Box::pin(run(life))))
    }

    #[must_use]
    pub fn local<F: Future<Output = ()> + 'static>(
        run: impl FnOnce(L) -> F + Send + 'static,
    ) -> Launch<L> {
        Launch::Local(Box::new(move |life| Box::pin(run(life))))
    }

    /// Returns a launch that first creates the life from another value.
    pub(crate) fn after<T: 'static>(self, life: impl FnOnce(T) -> L + Send + 'static) -> Launch<T> {
        match self {
            Launch::Send(launch) => Launch::Send(Box::new(move |of| launch(life(of)))),
            Launch::Local(launch) => Launch::Local(Box::new(move |of| launch(life(of)))),
        }
    }

    /// Wraps the task so that, during each of its polls, its publishers and subscriptions know its
    /// *current delivery* (the message that it handles), for traces. `polls` does this.
    pub(crate) fn traced(self, budget: Arc<TaskBudget>, polls: PollTraced) -> Launch<L> {
        match self {
            Launch::Send(launch) => Launch::send(move |life| {
                let mut task = launch(life);
                poll_fn(move |context| polls(&budget, &mut || task.as_mut().poll(context)))
            }),
            Launch::Local(launch) => Launch::local(move |life| {
                let mut task = launch(life);
                poll_fn(move |context| polls(&budget, &mut || task.as_mut().poll(context)))
            }),
        }
    }

    /// Creates a task that stays on this thread.
    pub(crate) fn here(self, life: L) -> LocalFuture<()> {
        match self {
            Launch::Send(launch) => launch(life),
            Launch::Local(launch) => launch(life),
        }
    }
}

/// Polls a task with traces.
pub(crate) type PollTraced = fn(&Arc<TaskBudget>, &mut dyn FnMut() -> Poll<()>) -> Poll<()>;

/// A function that runs a life. The module documentation explains how the compiler detects whether
/// its future is `Send`.
pub struct Runs<L, F, R>(R, PhantomData<fn(L) -> F>);

impl<L, F, R: FnOnce(L) -> F> Runs<L, F, R> {
    pub fn by(run: R) -> Runs<L, F, R> {
        Runs(run, PhantomData)
    }
}

pub trait SendRun<L> {
    fn launch(&self) -> Launch<L>;
}

impl<L, F, R> SendRun<L> for Runs<L, F, R>
where
    L: 'static,
    F: Future<Output = ()> + Send + 'static,
    R: FnOnce(L) -> F + Copy + Send + 'static,
{
    fn launch(&self) -> Launch<L> {
        Launch::send(self.0)
    }
}

pub trait LocalRun<L> {
    fn launch(&self) -> Launch<L>;
}

impl<L, F, R> LocalRun<L> for &Runs<L, F, R>
where
    L: 'static,
    F: Future<Output = ()> + 'static,
    R: FnOnce(L) -> F + Copy + Send + 'static,
{
    fn launch(&self) -> Launch<L> {
        Launch::local(self.0)
    }
}
