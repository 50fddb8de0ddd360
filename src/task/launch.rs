//! Makes a task of a service: a `Send` task if its type allows that, otherwise a local one.
//!
//! The macro decides this at the concrete type, where the compiler knows. Of two traits with the
//! same method, method resolution prefers the one whose impl needs no further reference, and that
//! impl exists for `Send` futures only.
#![expect(missing_docs, reason = "what the macro writes, hidden from users")]

use std::cell::Cell;
use std::future::{poll_fn, ready};
use std::marker::PhantomData;
use std::sync::Arc;

use mycelium_executor::{LocalFuture, SendFuture};
use mycelium_transports::local::{TaskBudget, poll_traced};

use crate::error::{Error, Result};

/// Returns the result of `run`, with its error converted to [`Error`].
pub fn outcome<E: Into<Error>>(result: Result<(), E>) -> Result<()> {
    result.map_err(Into::into)
}

/// The task of a service: it runs anywhere, or on one thread.
pub enum Task {
    Send(SendFuture<()>),
    Local(LocalFuture<()>),
}

impl Task {
    #[must_use]
    pub fn send(future: impl Future<Output = ()> + Send + 'static) -> Task {
        Task::Send(Box::pin(future))
    }

    #[must_use]
    pub fn local(future: impl Future<Output = ()> + 'static) -> Task {
        Task::Local(Box::pin(future))
    }

    /// Wraps the task so that, during each of its polls, its publishers and subscriptions know its
    /// *current delivery*: the message that it handles, for traces.
    pub(crate) fn traced(self, budget: Arc<TaskBudget>) -> Task {
        match self {
            Task::Send(mut task) => Task::send(poll_fn(move |context| {
                poll_traced(&budget, || task.as_mut().poll(context))
            })),
            Task::Local(mut task) => Task::local(poll_fn(move |context| {
                poll_traced(&budget, || task.as_mut().poll(context))
            })),
        }
    }

    pub(crate) fn into_send(self) -> Option<SendFuture<()>> {
        match self {
            Task::Send(future) => Some(future),
            Task::Local(_) => None,
        }
    }

    pub(crate) fn into_local(self) -> LocalFuture<()> {
        match self {
            Task::Send(future) => future,
            Task::Local(future) => future,
        }
    }
}

/// Finds out whether the future that a function returns is `Send`, in the way that the module's
/// page explains.
pub struct FutureKind<F>(PhantomData<fn() -> F>);

impl<F> FutureKind<F> {
    pub fn of<L>(_: impl FnOnce(L) -> F) -> FutureKind<F> {
        FutureKind(PhantomData)
    }
}

pub trait IsSend {
    fn is_send(&self) -> bool {
        true
    }
}

impl<F: Send> IsSend for FutureKind<F> {}

pub trait IsLocal {
    fn is_send(&self) -> bool {
        false
    }
}

impl<F> IsLocal for &FutureKind<F> {}

/// Makes a [`Task`] of a future, by the same rule as [`FutureKind`].
pub struct Launch<F>(Cell<Option<F>>);

impl<F> Launch<F> {
    pub fn of(future: F) -> Launch<F> {
        Launch(Cell::new(Some(future)))
    }
}

pub trait SendTask {
    fn task(&self) -> Task;
}

impl<F: Future<Output = ()> + Send + 'static> SendTask for Launch<F> {
    fn task(&self) -> Task {
        self.0.take().map_or_else(|| Task::send(ready(())), Task::send)
    }
}

pub trait LocalTask {
    fn task(&self) -> Task;
}

impl<F: Future<Output = ()> + 'static> LocalTask for &Launch<F> {
    fn task(&self) -> Task {
        self.0.take().map_or_else(|| Task::local(ready(())), Task::local)
    }
}
